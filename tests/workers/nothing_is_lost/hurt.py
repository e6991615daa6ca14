"""What others do to a VM in the middle of things, and a worker that dies at a named point."""

import re

from hypervisor.fake_world import FakeFile
from tests.workers.fake_world import Death, Job, World
from workers.steps import Output

TWO = {"vda": "qcow2", "vdb": "qcow2"}


def without(definition: str, target: str) -> str:
    disks = re.findall(r"<disk .*?</disk>", definition, re.S)
    (found,) = [one for one in disks if f'dev="{target}"' in one or f"dev='{target}'" in one]
    return definition.replace(found, "")


def detach(world: World, target: str) -> None:
    """Somebody takes a disk out of the running VM and its definition (`virsh detach-disk --live --config`)."""
    with world.machine.world() as inside:
        row = inside.vms[str(world.guest.uuid)]
        row.definition = without(row.definition, target)
        row.live = row.live and without(row.live, target)


def attach(world: World, target: str) -> None:
    """Somebody gives the VM one more disk, now and for good (`virsh attach-disk --live --config`)."""
    path = f"/images/vm1/{target}.qcow2"
    disk = (
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
        f"<source file='{path}'/><target dev='{target}' bus='virtio'/></disk></devices>"
    )
    with world.machine.world() as inside:
        inside.files[path] = FakeFile("image", format="qcow2", virtual_bytes=64 << 20)
        row = inside.vms[str(world.guest.uuid)]
        row.definition = row.definition.replace("</devices>", disk)
        row.live = row.live and row.live.replace("</devices>", disk)


def die_at(world: World, job: Job, word: str, nth: int = 0) -> None:
    """Runs the job until the nth point called so, and kills the worker there."""
    mortality = world.machine.mortality
    mortality.points.clear()
    mortality.dies_at = None
    seen = {"n": -1}
    real = mortality.pass_by

    def pass_by(point: str) -> None:
        real(point)
        if point == word:
            seen["n"] += 1
            if seen["n"] == nth:
                raise Death(point)

    mortality.pass_by = pass_by  # type: ignore[method-assign]
    try:
        job.run()
    except Death:
        return
    finally:
        mortality.pass_by = real  # type: ignore[method-assign]
    raise AssertionError(f"never came by {word}: {mortality.points}")


def cancelled_with(job: Job, last: str) -> None:
    """A cancel is accepted in the last moment before the end of that step, or of its undo, is written down."""
    real = job.journal.finish

    def finish(step: str, output: Output, then: str | None, no_return: bool = False) -> bool:
        job.journal.cancel_asked = step == last
        return real(step, output, then, no_return)

    job.journal.finish = finish  # type: ignore[method-assign]


def cancelled_behind(job: Job, last: str) -> None:
    """A cancel is heard when the end of that step is written down; nothing is past the point of no return."""
    real = job.journal.finish

    def finish(step: str, output: Output, then: str | None, no_return: bool = False) -> bool:
        heard = real(step, output, then)
        job.progress.cancel_asked = job.progress.cancel_asked or step == last
        return heard

    job.journal.finish = finish  # type: ignore[method-assign]
