"""A worker that is to die: `python -m tests.workers.doomed VAR GUEST WHAT BUDGET_S`, on the lab in the folder VAR."""

import sys
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from hypervisor.libvirt_host import LibvirtHost
from hypervisor.port import Source
from lab import Lab
from stillframe.errors import HypervisorFailed
from stillframe.operations import CreateSnapshot
from tests.workers.real_world import RealWorld


def save(world: RealWorld) -> None:
    """RAM and disks, of a VM that stands still all the while."""
    images, folder = world.host.images, world.guest.folder
    layers = {}
    for volume in world.facts().volumes:
        layer = str(folder / f"layer-{volume.target}.qcow2")
        images.create_layer(layer, Source(volume.path, volume.format), volume.virtual_bytes)
        layers[volume.target] = Source(layer, "qcow2")
    world.host.vm(world.uuid).cut(layers, str(folder / "memory.save"), False, lambda *_: None)


def main(var: str, guest: str, what: str, budget_s: str) -> None:
    """Does one thing to the guest, on record, and then stays there until it is killed."""
    lab = Lab(Path(var))
    world = RealWorld(lab, lab.guest(guest), LibvirtHost(lab.libvirt_uri, "lab"))
    wards = world.wards(uuid4(), freeze_budget_s=float(budget_s), pause_budget_s=float(budget_s))
    if what == "create":
        world.run(CreateSnapshot(vm="x", type="hot", quiesce="require"), uuid4())
        return
    if what == "save":
        with suppress(HypervisorFailed), wards.pause(ours=True):
            world.guest.domain.suspend()
            save(world)
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
