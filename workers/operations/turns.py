"""Waiting until libvirt has ended what an attempt before this one asked of a VM.

A worker's death, or a connection's, does not end a call that libvirtd has begun: the RAM of a large VM goes on being
written for minutes, and layers change over at the end of it. Whoever takes the job up must not begin beside it.
"""

import time

from stillframe.errors import VmBusy
from workers.steps import Work

#: Seconds after which a VM that is never idle is said to be busy.
LONGEST_S = 3600.0


def wait_for_turn(work: Work) -> None:
    """Returns once no call of anybody changes this VM; raises VmBusy after an hour of waiting, and at once what a cancel does."""
    until = time.monotonic() + LONGEST_S
    while True:
        try:
            return work.vm.await_turn(work.pulse)
        except VmBusy:
            if time.monotonic() >= until:
                raise
