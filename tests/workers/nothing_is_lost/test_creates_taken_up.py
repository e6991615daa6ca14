"""A creation whose worker dies says of its snapshot what is so when it is taken up, not what was so before."""

import pytest

from hypervisor import fake_vm
from hypervisor.fake_world import FakeFile
from hypervisor.port import CutFacts, Source
from stillframe.errors import HypervisorFailed
from stillframe.states import VmState
from tests.workers import fake_world
from tests.workers.fake_world import World, ok
from tests.workers.nothing_is_lost.hurt import TWO, attach, cancelled_with, die_at
from workers.carry import End


def _consistency(world: World) -> str | None:
    (manifest,) = world.manifests()
    return manifest.consistency


def test_ram_that_a_power_cut_took_is_not_said_to_be_kept() -> None:
    """The power goes when the VM was cut and before its RAM is on the storage: no snapshot is made, and the disks are whole."""
    world = World(TWO)
    world.guest.tick()
    job = world.create("s1", "memory")
    die_at(world, job, "after cut")
    at = world.guest.tick()
    world.guest.crash()
    with world.machine.world() as inside:
        (memory,) = (path for path, file in inside.files.items() if file.kind == "memory")
        inside.files[memory] = FakeFile("text")

    assert job.run().end is End.FAILED

    assert world.manifests() == ()
    world.guest.boot()
    assert world.guest.counter == at
    assert not [path for path in world.files() if "stillframe" in path]


def test_ram_that_is_whole_is_kept() -> None:
    """The worker dies right after the cut: the next one finds the RAM and keeps it."""
    world = World()
    world.guest.tick()
    job = world.create("s1", "memory")
    die_at(world, job, "after cut")
    ok(job.run())
    assert _consistency(world) == "memory"


@pytest.mark.parametrize("quiesce", ["prefer", "require"])
def test_a_freeze_of_somebody_else_that_is_over_is_not_counted_on(quiesce: str) -> None:
    """A backup tool has frozen the guest when the job begins, and thaws it before it is cut: the guest is frozen anew."""
    world = World()
    world.guest.tick()
    world.guest.change(frozen=True)
    job = world.create("s1", "hot", quiesce=quiesce)
    die_at(world, job, "before cut")
    world.guest.change(frozen=False)

    ok(job.run())

    assert _consistency(world) == "filesystem"
    assert job.outputs["cut"]["freeze_ms"] > 0, "nobody had frozen it"


@pytest.mark.parametrize(("quiesce", "end"), [("prefer", End.SUCCEEDED), ("require", End.FAILED)])
def test_a_freeze_of_somebody_else_that_ends_in_the_cut_is_not_counted_on(
    quiesce: str, end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they thawed before or after the instant nobody knows: it is no more than after a power cut."""
    world = World()
    world.guest.tick()
    world.guest.change(frozen=True)
    real = fake_vm.FakeVm.cut

    def cut(self: fake_vm.FakeVm, *words: object) -> CutFacts:
        world.guest.change(frozen=False)
        return real(self, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(fake_vm.FakeVm, "cut", cut)
    assert world.create("s1", "hot", quiesce=quiesce).to_the_end().end is end
    assert [one.consistency for one in world.manifests()] == (["crash"] if end is End.SUCCEEDED else [])


def test_a_guest_that_others_have_frozen_stays_so() -> None:
    """They thaw it; until then it is as consistent as it can be."""
    world = World()
    world.guest.tick()
    world.guest.change(frozen=True)
    ok(world.create("s1", "hot").to_the_end())
    assert _consistency(world) == "filesystem"
    with world.machine.world() as inside:
        assert inside.vms[str(world.guest.uuid)].frozen


def test_a_vm_that_was_started_meanwhile_gets_no_cold_snapshot() -> None:
    """Somebody starts it before its layers are put on: what runs is not what was off."""
    world = World()
    world.guest.tick()
    world.guest.shut_down()
    job = world.create("s1", "cold")
    die_at(world, job, "before cut")
    world.guest.boot()
    ending = job.run()
    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "snapshot.cold_needs_stopped")


def test_a_vm_that_was_started_in_the_moment_of_a_cold_cut_boots_from_what_it_wrote_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its definition names the layers, and it runs on what is below: the definition is put right, and it can be asked again."""
    world = World(TWO)
    world.guest.tick()
    world.guest.shut_down()
    old = world.host.vm(world.guest.uuid).definition()
    real = fake_vm.FakeVm.cut

    def cut(self: fake_vm.FakeVm, *words: object) -> CutFacts:
        real(self, *words)  # type: ignore[arg-type]
        world.guest.change(live=old, state=VmState.RUNNING, ram={"counter": 7})
        raise HypervisorFailed(detail="somebody else changed the VM during the cut")

    monkeypatch.setattr(fake_vm.FakeVm, "cut", cut)
    assert world.create("s1", "cold").to_the_end().end is End.FAILED
    monkeypatch.undo()
    world.guest.tick()

    ok(world.create("s2", "hot").to_the_end())

    world.guest.shut_down()
    world.guest.boot()
    assert world.guest.counter == 8


@pytest.mark.parametrize("kind", ["hot", "memory"])
def test_a_disk_that_was_attached_meanwhile_is_not_missing(kind: str) -> None:
    """The worker dies before the cut and a disk is attached: no snapshot without it is made, and the next one has it."""
    world = World()
    world.guest.tick()
    job = world.create("s1", kind)
    die_at(world, job, "before cut")
    attach(world, "vdb")
    at = world.guest.tick()

    ending = job.run()

    assert (ending.end, "vdb was attached" in str(ending.error)) == (End.FAILED, True)
    assert world.manifests() == ()
    ok(world.create("s2", kind).to_the_end())
    world.guest.tick()
    ok(world.revert("s2").to_the_end())
    assert {world.guest.read("counter", target) for target in TWO} == {at}


def test_the_first_layers_on_block_devices_of_a_host_that_are_never_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing lies in the folder for them as yet, and the job is cancelled right before: it ends, and the next one is made."""
    monkeypatch.setattr(fake_world, "BLOCK_FOLDER", "/layers")
    world = World()
    world.guest.shut_down()
    world.host.images.rename("/images/vm1/vda.qcow2", "/dev/vg/vm1")
    vm = world.host.vm(world.guest.uuid)
    vm.define(vm.definition(), {"vda": Source("/dev/vg/vm1", "qcow2")})
    world.guest.boot()
    job = world.create("s1", "hot")
    cancelled_with(job, "check_vm")
    ending = job.run()
    assert ending.end is End.CANCELLED, ending.error
    ok(world.create("s2", "hot").to_the_end())
