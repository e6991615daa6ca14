"""A revert whose worker dies, and a guest that is started, works and is stopped before the next one takes the job up."""

import pytest

from stillframe.errors import HypervisorFailed
from stillframe.states import VmState
from tests.workers.fake_world import Job, World, ok
from tests.workers.nothing_is_lost.hurt import die_at
from workers.carry import End


def _works(world: World) -> None:
    """What nobody would want to do again."""
    world.guest.write("note", "mine")


def _works_and_stops(world: World) -> None:
    world.guest.boot()
    _works(world)
    world.guest.shut_down()


def _is_anywhere(world: World) -> bool:
    with world.machine.world() as inside:
        return any(file.content.get("note") == "mine" for file in inside.files.values())


def _reverted_to(kind: str, world: World) -> Job:
    world.guest.tick()
    ok(world.create("s1", kind).to_the_end())
    world.guest.tick()
    return world.revert("s1")


def test_what_a_guest_wrote_after_its_ram_came_back_stays() -> None:
    """The worker dies at the end of the restore; the guest works on and is shut down: its RAM is not restored again."""
    world = World()
    job = _reverted_to("memory", world)
    die_at(world, job, "before set_clock")
    _works(world)
    world.guest.shut_down()

    ok(job.run())

    assert world.guest.read("note") == "mine"
    assert job.outputs["bring_back"]["state"] == VmState.OFF


def test_what_a_guest_wrote_before_its_return_was_noted_is_put_aside() -> None:
    """The worker dies in the instant of the restore's end: whether it was the RAM that wrote cannot be told, both are kept."""
    world = World()
    job = _reverted_to("memory", world)
    boot_id = world.guest.boot_id
    die_at(world, job, "after restore")
    _works(world)
    world.guest.shut_down()

    ok(job.run())

    assert (world.facts().state, world.guest.boot_id) == (VmState.RUNNING, boot_id)
    (aside,) = job.outputs["bring_back"]["put_aside"]
    assert world.machine.read_back(aside)["note"] == "mine"


@pytest.mark.parametrize("still_on", [True, False])
def test_a_vm_that_was_booted_where_its_restore_was_cut_short_is_not_reverted(still_on: bool) -> None:
    """The power goes in mid-restore and the host boots the VM: that is not its RAM, and nobody says that it is back."""
    world = World()
    job = _reverted_to("memory", world)
    boot_id = world.guest.boot_id
    die_at(world, job, "before restore")
    world.guest.boot()
    _works(world)
    if not still_on:
        world.guest.shut_down()

    ending = job.run()

    assert (ending.end is End.SUCCEEDED) == (world.guest.boot_id == boot_id) == (not still_on)
    assert _is_anywhere(world)


def test_a_vm_that_was_started_while_its_revert_was_stuck_is_not_reverted() -> None:
    """The RAM cannot be restored, somebody starts the VM and resumes the job: it says that the VM has to be stopped."""
    world = World()
    job = _reverted_to("memory", world)
    for _ in range(3):
        world.machine.fail_next("restore", HypervisorFailed(detail="cannot set up guest memory"))
    assert job.to_the_end().end is End.STUCK
    world.guest.boot()

    ending = job.run()

    assert ending.end is not End.SUCCEEDED
    assert "somebody started the VM" in str(ending.error)


def test_a_restore_that_was_cut_short_is_done_again() -> None:
    """Nothing was written since: the VM comes back with its RAM."""
    world = World()
    job = _reverted_to("memory", world)
    boot_id = world.guest.boot_id
    die_at(world, job, "before restore")

    ok(job.run())

    assert (world.facts().state, world.guest.boot_id) == (VmState.RUNNING, boot_id)


def test_what_was_written_before_the_ram_came_back_is_put_aside() -> None:
    """Somebody boots the VM from the snapshot's disks before its RAM is brought back, and stops it: both are kept."""
    world = World()
    job = _reverted_to("memory", world)
    boot_id = world.guest.boot_id
    die_at(world, job, "after finish of stop_vm")
    _works_and_stops(world)

    ok(job.run())

    assert (world.facts().state, world.guest.boot_id) == (VmState.RUNNING, boot_id)
    (aside,) = job.outputs["bring_back"]["put_aside"]
    assert world.machine.read_back(aside)["note"] == "mine"
    below = world.tree().frozen[world.ids["s1"]]["vda"]
    before = world.machine.read_back(below)
    ok(world.delete("s1").to_the_end())
    assert world.machine.read_back(below) == before, "what was put aside stands on it"


def test_a_vm_that_somebody_started_without_its_ram_is_not_said_to_have_it() -> None:
    """It runs when the job is taken up: the job asks a person, and goes on when the VM is stopped."""
    world = World()
    job = _reverted_to("memory", world)
    boot_id = world.guest.boot_id
    die_at(world, job, "after finish of stop_vm")
    world.guest.boot()
    _works(world)

    assert job.run().end is End.STUCK
    assert world.guest.read("note") == "mine"
    world.guest.shut_down()
    ok(job.run())
    assert world.guest.boot_id == boot_id
    assert _is_anywhere(world)


def test_a_vm_that_was_started_on_the_snapshot_is_not_stopped_again() -> None:
    """The worker dies when the VM is stopped, somebody starts it: it is what the revert would have made of it."""
    world = World()
    job = _reverted_to("hot", world)
    die_at(world, job, "after stop")
    world.guest.boot()
    _works(world)
    boot_id = world.guest.boot_id

    ok(job.run())

    assert (world.guest.boot_id, world.guest.read("note")) == (boot_id, "mine")


def test_a_revert_that_is_walked_back_leaves_a_vm_on_what_it_wrote_to_and_was_stopped_on() -> None:
    """The VM was off; it is booted while its definition names the snapshot's heads, works, and is shut down again."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.shut_down()
    job = world.revert("s1")
    die_at(world, job, "after define")
    _works_and_stops(world)
    job.cancel()

    assert job.run().end is End.CANCELLED

    world.guest.boot()
    assert world.guest.read("note") == "mine"


@pytest.mark.parametrize("point", ["after finish of make_heads", "before stop"])
def test_a_snapshot_that_another_tool_made_meanwhile_is_not_broken(point: str) -> None:
    """`virsh snapshot-create-as --disk-only` between two attempts froze the head that the revert leaves: it stays."""
    world = World()
    job = _reverted_to("hot", world)
    _works(world)
    head = world.tree().heads["vda"]
    die_at(world, job, point)
    world.guest.take_external("virsh1")

    job.run()

    assert world.machine.read_back(head)["note"] == "mine"
