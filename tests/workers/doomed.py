"""A worker that is to die: `python -m tests.workers.doomed VAR GUEST WHAT BUDGET_S`, on the lab in the folder VAR."""

import sys
import time
from pathlib import Path
from uuid import uuid4

from hypervisor.libvirt_host import LibvirtHost
from lab import Lab
from stillframe.operations import CreateSnapshot
from tests.workers.real_world import RealWorld


def main(var: str, guest: str, what: str, budget_s: str) -> None:
    """Does one thing to the guest, on record, and then stays there until it is killed."""
    lab = Lab(Path(var))
    world = RealWorld(lab, lab.guest(guest), LibvirtHost(lab.libvirt_uri, "lab"))
    wards = world.wards(uuid4(), freeze_budget_s=float(budget_s), pause_budget_s=float(budget_s))
    if what == "create":
        world.run(CreateSnapshot(vm="x", type="hot", quiesce="require"), uuid4())
        return
    with wards.freeze() if what == "freeze" else wards.pause(ours=what == "suspend"):
        if what == "freeze":
            world.guest.domain.fsFreeze()
        elif what == "suspend":
            world.guest.domain.suspend()
        print(what, flush=True)  # noqa: T201
        time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
