"""A live merge of a real guest, met in the middle: QEMU killed under it, or a cancel."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import libvirt
import pytest

from hypervisor.libvirt_host import LibvirtHost
from hypervisor.libvirt_vm import LibvirtVm
from hypervisor.port import Source
from lab import Lab
from stillframe.operations import CreateSnapshot, DeleteSnapshot, ExtractVolume
from stillframe.states import VmState
from tests.workers.fake_world import Death
from tests.workers.operations.test_on_the_guest import _qemu_of
from tests.workers.real_world import RealJob, RealWorld
from workers.carry import End
from workers.progress import Progress

pytestmark = pytest.mark.qemu

_numbers = count()
_SLOWLY = libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE | libvirt.VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES
#: More than QEMU has under way at once, whatever its speed is set to.
_MUCH = 24 << 20


@dataclass
class InTheMiddle(Progress):
    """Does something at the first word of a merge that is under way."""

    act: Callable[[], None] = field(default=lambda: None)
    met: bool = False

    def __call__(self, done: int, total: int) -> None:
        if self.step.startswith("commit:") and total and not self.met:
            self.met = True
            self.act()
        super().__call__(done, total)


@pytest.fixture
def world(machine: Lab, host: LibvirtHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealWorld]:
    """A guest of two disks with s1 and s2, whose first merge is slow enough to be met."""
    begin = LibvirtVm.start_commit

    def slowly(self: LibvirtVm, target: str, top: str, base: str) -> None:
        monkeypatch.setattr(LibvirtVm, "start_commit", begin)
        guest.domain.blockCommit(target, base, None, 1 << 16, _SLOWLY)

    monkeypatch.setattr(LibvirtVm, "start_commit", slowly)
    guest = machine.create_guest(f"merge-{next(_numbers)}", ("raw", "qcow2"))
    try:
        guest.wait_tick()
        world = RealWorld(machine, guest, host)
        world.create("s1", "hot", quiesce="never")
        world.create("s2", "hot", quiesce="never")
        for target in guest.disks:
            guest.sh(f"yes {target} | head -c {_MUCH} > /disk/{target}/much && sync", timeout_s=60)
        yield world
    finally:
        guest.remove()


def _delete(world: RealWorld, name: str) -> RealJob:
    return world.job(DeleteSnapshot(snapshot_id=str(world.ids[name])), world.ids[name])


def _marks(world: RealWorld) -> list[str]:
    return [path for path in world.files() if path.endswith(".merging.json")]


def test_a_qemu_killed_in_the_middle_of_a_merge_leaves_a_base_that_nobody_uses_alone(
    world: RealWorld,
) -> None:
    """The base is marked, and a definition that names it alone is refused; taken up again, the job ends the merge."""
    heads = world.tree().heads
    base = world.tree().frozen[world.ids["s2"]]["vda"]
    job = _delete(world, "s2")

    def both_die() -> None:
        os.kill(_qemu_of(world), signal.SIGKILL)
        world.guest.wait_off()
        raise Death

    with pytest.raises(Death):
        job.run(InTheMiddle(act=both_die))

    assert world.facts().state in {VmState.OFF, VmState.CRASHED}
    assert dict(world.tree().half_merged) == {base: frozenset({heads["vda"]})}
    vm = world.host.vm(world.uuid)
    vm.define(vm.definition(), {"vda": Source(base, "qcow2")})
    ending = world.run(CreateSnapshot(vm="x", type="cold"), world.ids["s1"])
    assert (ending.error or {})["code"] == "layer.half_merged"
    vm.define(vm.definition(), {"vda": Source(heads["vda"], "qcow2")})

    assert job.run().end is End.SUCCEEDED

    assert world.outputs["commit:vda:0"]["offline_by"] == 2
    assert not _marks(world)
    world.check("s1")
    world.guest.start()
    world.check_guest("s2")
    for target in world.guest.disks:
        world.guest.sh(f"yes {target} | head -c {_MUCH} | cmp - /disk/{target}/much", timeout_s=60)


def test_a_deletion_is_stopped_in_the_middle_of_a_merge_and_ended_later(world: RealWorld) -> None:
    """Cancelled: no block job is left, the guest runs on in the same boot on the same layers, s1 reads right and can be
    extracted; deleted again, all space is given back.
    """
    boot, heads, before = world.guest.wait_tick().boot_id, world.tree().heads, len(world.files())
    job = _delete(world, "s2")

    def cancel() -> None:
        job.journal.cancel_asked = progress.cancel_asked = True

    progress = InTheMiddle(act=cancel)
    ending = job.run(progress)

    assert ending.end is End.CANCELLED
    assert "again" in (ending.error or {})["remedy"]
    assert world.host.vm(world.uuid).block_job("vda") is None
    assert world.tree().heads == heads
    assert len(_marks(world)) == 1
    assert world.guest.wait_tick().boot_id == boot
    world.check("s1")
    extract = ExtractVolume(snapshot_id=str(world.ids["s1"]), target="vdb")
    assert world.run(extract, world.ids["s1"]).end is End.SUCCEEDED

    assert _delete(world, "s2").run().end is End.SUCCEEDED

    assert not _marks(world)
    world.check("s1")
    assert len(world.files()) < before + 2
    assert world.check_guest("s2").boot_id == boot
