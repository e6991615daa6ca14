"""What can be done with snapshots of other tools, and what is refused so that nothing breaks."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hypervisor.fake_world import FakeInternal
from hypervisor.port import ForeignSnapshot
from hypervisor.qemu_img import QemuImages
from stillframe.errors import HypervisorFailed
from stillframe.operations import DeleteSnapshot, ExtractVolume, Operation, RevertSnapshot
from stillframe.states import VmState
from tests.workers.fake_world import BLOCK_FOLDER, World, ok
from workers.carry import End, Ending
from workers.foreign import ACTIONS, why_not
from workers.operations.foreign import remove_internal
from workers.reading import read_vm

REVERT, DELETE = RevertSnapshot(snapshot_id="x"), DeleteSnapshot(snapshot_id="x")
EXTRACT = ExtractVolume(snapshot_id="x", target="vda")


def do(world: World, operation: Operation, name: str = "s") -> Ending:
    """A job about a snapshot of another tool."""
    return world.about_foreign(operation, name).to_the_end()


def cannot(world: World, name: str = "s") -> set[str]:
    """The actions that the worker's look says are not possible."""
    seen = read_vm(world.host.images, world.facts(), BLOCK_FOLDER)
    assert seen.foreign is not None
    return set(next(one for one in seen.foreign if one.name == name).cannot)


def refused(ending: Ending) -> str:
    """Why a job was refused."""
    assert ending.end is End.FAILED
    assert ending.error is not None
    return f"{ending.error['code']}: {ending.error['detail']}"


def test_a_revert_brings_back_ram_and_disks() -> None:
    """The guest goes on in the boot and at the count of the snapshot, again and again; nothing else is left."""
    world = World({"vda": "qcow2", "vdb": "qcow2"})
    at, boot = world.guest.tick(), world.guest.boot_id
    world.guest.take_internal("s")
    files = world.files()
    assert cannot(world) == set()
    for _ in range(2):
        world.guest.tick()
        world.guest.crash()
        ok(do(world, REVERT))
        assert (world.guest.boot_id, world.guest.counter) == (boot, at)
        assert {world.guest.read("counter", target) for target in ("vda", "vdb")} == {at}
        assert (world.facts().state, world.files()) == (VmState.RUNNING, files)


@pytest.mark.parametrize(("after", "state"), [("keep", "running"), ("start", "running"), ("stop", "off")])
def test_a_revert_without_ram_leaves_the_vm_as_asked(after: str, state: str) -> None:
    """One that was taken off brings back the disks; whether the VM runs afterwards is as for one of ours."""
    world = World()
    at = world.guest.tick()
    world.guest.shut_down()
    world.guest.take_internal("s")
    world.guest.boot()
    world.guest.tick()
    ok(do(world, replace(REVERT, after=after)))  # type: ignore[arg-type]
    assert (world.facts().state, world.guest.read("counter")) == (state, at)


def test_a_paused_vm_comes_back_paused() -> None:
    """As when it was taken; what comes after cannot be chosen for one with RAM."""
    world = World()
    world.guest.change(state=VmState.PAUSED, reason="user")
    world.guest.take_internal("s")
    ok(do(world, REVERT))
    assert world.facts().state is VmState.PAUSED
    assert "after_not_for_memory" in refused(do(world, replace(REVERT, after="stop")))


def test_a_deletion_leaves_the_guest_and_the_others() -> None:
    """It is gone from the images and from libvirt, known to it or not; the guest goes on."""
    world = World({"vda": "qcow2", "vdb": "qcow2"})
    for name in ("s", "t", "u"):
        world.guest.tick()
        world.guest.take_internal(name)
    world.guest.forget_foreign("s")
    at = world.guest.tick()
    for name in ("s", "t"):
        ok(do(world, DELETE, name))
    assert [one.name for one in world.facts().foreign_snapshots] == ["u"]
    assert world.guest.tick() == at + 1


def test_an_extract_reads_what_the_image_held_then() -> None:
    """The copy has the count of the snapshot while the guest counts on."""
    world = World()
    at = world.guest.tick()
    world.guest.take_internal("s")
    world.guest.tick()
    job = world.about_foreign(EXTRACT, "s")
    ok(job.to_the_end())
    facts = job.outputs["sum_up"]
    assert world.machine.read_back(facts["path"])["counter"] == at
    assert world.guest.tick() == at + 2
    assert "volume.not_found" in refused(do(world, replace(EXTRACT, target="vdz")))


def test_an_external_snapshot_is_shown_and_left_alone() -> None:
    """None of the actions is possible, and our own creation is refused: its deletion would take away what ours froze."""
    world = World()
    world.guest.tick()
    ok(world.create("ours", "hot").to_the_end())
    world.guest.tick()
    world.guest.take_external("s")
    files, before = world.files(), world.facts()
    assert cannot(world) == {"revert", "delete", "extract"}
    for operation in (REVERT, DELETE, EXTRACT):
        assert "snapshot.foreign" in refused(do(world, operation))
    for job in (world.create("next", "hot"), world.revert("ours"), world.delete("ours")):
        assert "vm.foreign_snapshots" in refused(job.to_the_end())
    assert (world.files(), world.facts()) == (files, before)


def test_ours_are_refused_beside_an_internal_one() -> None:
    """New layers would make it useless."""
    world = World()
    world.guest.take_internal("s")
    assert "vm.foreign_internal_snapshots: " in refused(world.create("ours", "hot").to_the_end())
    world.guest.forget_foreign("s")
    assert "vm.foreign_internal_snapshots: " in refused(world.create("ours", "hot").to_the_end())


def _on_layers_of_ours(world: World) -> None:
    ok(world.create("ours", "hot").to_the_end())
    world.guest.take_internal("s")


def _below_an_overlay(world: World) -> None:
    world.guest.take_internal("s")
    world.guest.take_external("e")


def _lacking_an_image(world: World) -> None:
    world.guest.take_internal("s")
    with world.machine.world() as inside:
        del inside.files["/images/vm1/vdb.qcow2"].internal["s"]


def _forgotten(world: World) -> None:
    world.guest.take_internal("s")
    world.guest.forget_foreign("s")


@pytest.mark.parametrize(
    ("film", "actions"),
    [
        (_on_layers_of_ours, {"revert"}),
        (_below_an_overlay, {"revert", "delete"}),
        (_lacking_an_image, {"revert"}),
        (_forgotten, {"revert"}),
    ],
)
def test_what_would_break_something_is_refused(film: Callable[[World], None], actions: set[str]) -> None:
    """The look says beforehand what the job would be refused with; nothing is touched by the refusal."""
    world = World({"vda": "qcow2", "vdb": "qcow2"})
    world.guest.tick()
    film(world)
    assert cannot(world) == actions
    before = world.facts()
    for operation in (REVERT, DELETE):
        if operation.kind.split("_")[0] in actions:
            assert "snapshot.foreign" in refused(do(world, operation))
            assert replace(world.facts(), note=None) == replace(before, note=None)
    ok(do(world, EXTRACT))


def test_a_revert_waits_for_others_who_need_the_images() -> None:
    """A clone that stands on an image would read what the revert writes: it is refused."""
    world = World()
    world.guest.take_internal("s")
    with world.machine.world() as inside:
        clone = replace(inside.files["/images/vm1/vda.qcow2"], internal={}, content={})
        clone.backing, clone.backing_format = "/images/vm1/vda.qcow2", "qcow2"
        inside.files["/images/vm1/clone.qcow2"] = clone
    assert "clone.qcow2 stands on" in refused(do(world, REVERT))


def test_another_of_the_same_name_is_not_meant() -> None:
    """A job about one that was deleted and made anew since touches nothing."""
    world = World()
    world.guest.take_internal("s")
    revert, delete = world.about_foreign(REVERT, "s"), world.about_foreign(DELETE, "s")
    for job in (revert, delete):
        assert job.foreign is not None
        job.foreign["created_at"] -= 1
    assert "snapshot.damaged" in refused(revert.to_the_end())
    ok(delete.to_the_end())
    assert [one.name for one in world.facts().foreign_snapshots] == ["s"]


def test_a_deletion_may_pause_the_vm_and_ends_that() -> None:
    """Off unless wished; a VM that a user paused stays paused, and a deletion that fails leaves no pause behind."""
    world = World()
    for name in ("s", "t", "u"):
        world.guest.take_internal(name)
    world.machine.calls.clear()
    ok(do(world, DELETE))
    assert world.machine.calls == ["delete_internal"]
    world.machine.calls.clear()
    job = world.about_foreign(DELETE, "t")
    job.pause = True
    world.machine.fail_next("delete_internal", HypervisorFailed(detail="not this time"))
    ok(job.to_the_end())
    once = ["pause", "delete_internal", "resume"]
    assert world.machine.calls == ["pause", "resume", *once]
    assert (world.facts().state, job.outputs["remove_internal"]) == (VmState.RUNNING, {"paused": True})
    world.guest.change(state=VmState.PAUSED, reason="user")
    job = world.about_foreign(DELETE, "u")
    job.pause = True
    ok(job.to_the_end())
    assert (world.facts().state, world.watch.wards()) == (VmState.PAUSED, [])


def test_a_pause_that_a_user_makes_after_a_deletion_failed_stays() -> None:
    """The job's own pause is over, and so is the record of it: whoever takes the deletion up ends nobody else's."""
    world = World()
    world.guest.take_internal("s")
    job = world.about_foreign(DELETE, "s")
    job.pause = True
    world.machine.fail_next("delete_internal", HypervisorFailed(detail="not this time"))
    with pytest.raises(HypervisorFailed):
        remove_internal(job.work())
    assert (world.facts().state, world.watch.wards()) == (VmState.RUNNING, [])
    world.guest.change(state=VmState.PAUSED, reason="user")
    ok(job.to_the_end())
    assert (world.facts().state, world.facts().foreign_snapshots) == (VmState.PAUSED, ())


def test_a_name_that_is_the_number_of_another_is_not_reverted_to() -> None:
    """QEMU would go back to the other one: it is refused. It can be deleted, and the other one can be reverted to."""
    world = World()
    world.guest.take_internal("first")
    at = world.guest.tick()
    world.guest.take_internal("1")
    assert (cannot(world, "1"), cannot(world, "first")) == ({"revert"}, set())
    assert "number of snapshot 'first'" in refused(do(world, REVERT, "1"))
    assert world.guest.counter == at
    ok(do(world, DELETE, "1"))


def test_one_of_two_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    """`qemu-img snapshot -c` makes two of one name: neither is deleted, reverted to or copied for the other."""
    path = str(tmp_path / "disk.qcow2")
    for words in (("create", "-q", "-f", "qcow2", path, "1M"), *[("snapshot", "-c", "twice", path)] * 2):
        subprocess.run(["qemu-img", *words], check=True)
    facts = World().facts()
    facts = replace(facts, volumes=(replace(facts.volumes[0], path=path),))
    one = ForeignSnapshot("twice", "internal", False, "shutoff", 1, volumes={"vda": path})
    for action in ACTIONS:
        assert "several of this name" in (why_not(action, QemuImages(), one, facts, None) or "")


@pytest.mark.parametrize("name", ["2026/11/23", ".hidden", "a\x01b", "a\0b", "a\nb", ""])
def test_what_cannot_be_named_is_refused_before_anything_is_begun(name: str) -> None:
    """A job that libvirt can never do would be stuck, and all later jobs of the VM behind it."""
    world = World()
    with world.machine.world() as inside:
        inside.files[world.tree().heads["vda"]].internal[name] = FakeInternal(1, {})
    (one,) = world.facts().foreign_snapshots
    assert "delete" in cannot(world, one.name)
    assert "snapshot.foreign: " in refused(do(world, DELETE, one.name))


def test_another_of_the_same_name_on_another_disk_is_not_taken_along() -> None:
    """What libvirt has on record is about vda alone, and vdb has one of that name which somebody else made: both stay."""
    world = World({"vda": "qcow2", "vdb": "qcow2"})
    world.guest.take_internal("s")
    with world.machine.world() as inside:
        inside.vms[str(world.guest.uuid)].foreign["s"].volumes.pop("vdb")
    assert cannot(world) == {"revert", "delete"}
    assert "vdb has another of this name" in refused(do(world, DELETE))
