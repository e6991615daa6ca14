"""Waiting until libvirt has ended what an attempt before this one asked of a VM.

A worker's death, or a connection's, does not end a call that libvirtd has begun: the RAM of a large VM goes on being
written for minutes, and layers change over at the end of it. Whoever takes the job up must not begin beside it.
"""

import time

from stillframe.errors import VmBusy
from workers import manifests
from workers.steps import Work

#: Seconds after which a VM that is never idle is said to be busy.
LONGEST_S = 3600.0


def wait_for_turn(work: Work) -> None:
    """Returns once no call of anybody changes this VM; raises VmBusy after an hour of waiting.

    libvirt lets a change of the VM's metadata wait in line behind such a call, for 30 s at a time: that is what is used.
    """
    until = time.monotonic() + LONGEST_S
    while True:
        note = work.vm.facts().note or manifests.note_of(None)
        try:
            work.vm.note(note)
        except VmBusy:
            if time.monotonic() >= until:
                raise
            work.pulse(0, 0)
        else:
            return
