"""What a plan told, and what the job then did, on a real guest."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hypervisor.facts import StorageFacts
from hypervisor.libvirt_host import LibvirtHost
from lab import Lab
from stillframe.operations import CreateSnapshot, DeleteSnapshot
from stillframe.planning import Limits, SnapshotKnown, VmKnown, plan_create, plan_delete
from stillframe.rules import SnapshotFacts, memory_needs
from stillframe.states import SnapshotState, SnapshotType
from tests.workers.real_world import BLOCK_FOLDER, RealWorld
from workers.carry import End
from workers.reading import read_vm

pytestmark = pytest.mark.qemu


@pytest.fixture
def world(machine: Lab, host: LibvirtHost) -> Iterator[RealWorld]:
    """A ticking guest of the test's own, with two disks."""
    guest = machine.create_guest("planned", ("raw", "qcow2"))
    try:
        guest.wait_tick()
        yield RealWorld(machine, guest, host)
    finally:
        guest.remove()


def known(world: RealWorld) -> VmKnown:
    """The VM as its keeper would have it recorded at this moment."""
    seen = read_vm(world.host.images, world.facts(), BLOCK_FOLDER)
    assert seen.tree is not None
    assert seen.volumes is not None
    return VmKnown(
        id=seen.uuid,
        name=seen.name,
        state=seen.state,
        host="lab",
        memory_bytes=seen.memory_bytes,
        seen_at=datetime.now(UTC),
        traits=seen.traits,
        volumes=seen.volumes,
        tree=seen.tree,
    )


def test_a_deletion_does_what_its_plan_told(world: RealWorld) -> None:
    """The same steps in the same order; bytes moved and freed as told, but for what the guest wrote since."""
    for name in ("s1", "s2"):
        world.create(name, "hot", quiesce="never")
    vm, id_ = known(world), world.ids["s1"]
    layers = dict(vm.tree.frozen[id_])
    facts = SnapshotFacts("s1", SnapshotState.READY, SnapshotType.HOT, vm.name, vm.state, vm.host)
    snapshot = SnapshotKnown(id=id_, facts=facts, layers=layers, virtual_bytes={})
    operation = DeleteSnapshot(snapshot_id=str(id_))

    told = plan_delete(operation, vm, [snapshot])
    outputs = world.must(operation, id_)

    assert told.allowed
    assert [name for name, _ in told.steps] == list(outputs)
    assert told.bytes.moved > 0
    assert _sum(outputs, "moved_bytes") == pytest.approx(told.bytes.moved, rel=0.2)
    assert _sum(outputs, "freed_bytes") == pytest.approx(told.bytes.freed, rel=0.2)
    world.check("s2")


def test_ram_that_does_not_fit_is_refused_by_plan_and_worker(
    world: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte less than RAM and 5 % free: the plan says so, the worker too, by the same code, and no file is made."""
    free = memory_needs(world.facts().memory_bytes) - 1
    full = StorageFacts(id="full", free_bytes=free, total_bytes=free)
    monkeypatch.setattr(type(world.host.images), "storage", lambda _images, _path: full)
    operation = CreateSnapshot(vm="x", type="memory", name="s1")
    before = world.files()

    told = plan_create(operation, known(world), Limits(), name_taken=False)
    ending = world.run(operation, known(world).id)

    ((when, refusal),) = told.refusals
    assert (when, refusal.code) == ("job", "storage.not_enough_space")
    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, refusal.code)
    assert world.files() == before


def _sum(outputs: dict[str, dict[str, Any]], name: str) -> int:
    return sum(int(output.get(name, 0)) for output in outputs.values())
