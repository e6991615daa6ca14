"""Every refusal and failure by a stable code, a plain sentence and a remedy: a file for each thing they are about.

The docstring of an error is its sentence, filled with the context it is raised with.
Which HTTP status and exit code an error has are tables of the web and the CLI. docs/problems.md is made from these files.
"""

from stillframe.errors.accounts import *
from stillframe.errors.families import *
from stillframe.errors.hosts import *
from stillframe.errors.jobs import *
from stillframe.errors.policies import *
from stillframe.errors.requests import *
from stillframe.errors.snapshots import *
from stillframe.errors.storage import *
from stillframe.errors.users import *
from stillframe.errors.vms import *
from stillframe.errors.volumes import *
from stillframe.errors.webhooks import *
