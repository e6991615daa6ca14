"""The lab: a private libvirt daemon, Postgres, Redis and small real guests under one folder.

Used by the demo, the tests and the bench; the product never imports it.  It leaves the machine's
own libvirt, Postgres and Redis alone, and everything it started dies when it stops.
"""

from lab.errors import LabError
from lab.guest import Guest
from lab.lab import Lab
from lab.serial import Tick

__all__ = ["Guest", "Lab", "LabError", "Tick"]
