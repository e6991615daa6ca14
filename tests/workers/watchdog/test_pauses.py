"""Pauses of ours are ended when they last too long; those of a user, a full disk or a migration never."""

import time
from threading import Thread

import pytest

from stillframe.errors import HostLost
from stillframe.events import EventType, Level
from stillframe.states import VmState
from tests.given import given
from tests.workers.fake_world import World
from tests.workers.watchdog.watched import begin, dead, dog, look, said
from workers import identity
from workers.carry import End


def test_a_pause_of_ours_is_ended_when_it_lasts_too_long(world: World) -> None:
    """Its time counts from when the VM was seen to stand still, not from when RAM began to be written."""
    begin(world, "pause", age_s=600, budget_s=0.2)
    watching = dog(world)
    world.guest.change(state=VmState.PAUSED, reason="snapshot")
    look(world, watching)
    assert world.facts().state is VmState.PAUSED
    time.sleep(0.25)
    look(world, watching)
    assert world.facts().state is VmState.RUNNING
    assert said(world) == [(EventType.VM_RESUMED, Level.WARNING)]


def test_a_long_save_of_a_guest_that_runs_is_left_alone(world: World) -> None:
    """Hours of RAM: nothing stands still, so nothing is ended."""
    ward = begin(world, "pause", age_s=100)
    look(world)
    assert world.watch.wards() == [ward]
    assert said(world) == []


@pytest.mark.parametrize("holder", [dead(), identity.own("here")], ids=["dead", "alive"])
@pytest.mark.parametrize("reason", ["user", "ioerror"])
def test_what_a_user_or_a_full_disk_paused_stays_paused(world: World, reason: str, holder: str) -> None:
    """Whoever lives or died: only a pause for libvirt's own reasons is ours."""
    world.guest.change(state=VmState.PAUSED, reason=reason)
    begin(world, "pause", age_s=100, budget_s=0.0, holder=holder)
    look(world)
    assert world.facts().state is VmState.PAUSED
    assert EventType.VM_RESUMED not in [type_ for type_, _ in said(world)]


@pytest.mark.parametrize("reason", ["user", "save"])
def test_a_pause_that_we_asked_for_ourselves_is_ours(world: World, reason: str) -> None:
    """A VM that a step suspended looks as if a user had; the record says who it was."""
    world.guest.change(state=VmState.PAUSED, reason=reason)
    begin(world, "pause", ours=True, holder=dead())
    look(world)
    assert world.facts().state is VmState.RUNNING


def test_a_pause_that_cannot_be_ended_is_an_alarm(world: World) -> None:
    """QEMU says no: told once, tried again."""
    world.guest.change(state=VmState.PAUSED, reason="snapshot")
    begin(world, "pause", age_s=100, holder=dead())
    world.machine.fail_next("resume", HostLost(detail="no answer"))
    watching = dog(world)
    look(world, watching)
    assert said(world) == [(EventType.VM_STILL_PAUSED, Level.ERROR)]
    look(world, watching)
    assert world.facts().state is VmState.RUNNING
    assert said(world)[1:] == [(EventType.VM_RESUMED, Level.WARNING)]


def test_libvirt_may_end_its_own_pause_without_a_worker(world: World) -> None:
    """The worker is dead, libvirt still saves the last of the RAM: within the budget that is left to it, and aborted after."""
    begin(world, "pause", budget_s=0.5, holder=dead())
    world.guest.change(state=VmState.PAUSED, reason="migration", activity="snapshot")
    watching = dog(world)
    look(world, watching)
    assert world.facts().state is VmState.PAUSED
    time.sleep(0.55)
    look(world, watching)
    assert world.facts().state is VmState.RUNNING
    assert world.host.vm(world.guest.uuid).activity() is None
    assert said(world) == [(EventType.VM_RESUMED, Level.WARNING)]


def test_a_save_under_which_the_vm_stands_still_too_long_is_given_up(world: World) -> None:
    """The job fails and says why, the VM runs, and nothing of the snapshot is left."""
    world.guest.tick()
    files = world.files()
    world.machine.pace_s = 0.3
    world.pause_budget_s = 0.1
    job, watching, endings = world.create("s1", "memory"), dog(world), []
    thread = Thread(target=lambda: endings.append(job.to_the_end()))
    thread.start()
    while thread.is_alive():
        if world.host.vm(world.guest.uuid).activity() == "snapshot":
            world.guest.change(state=VmState.PAUSED, reason="migration")
        look(world, watching)
        time.sleep(0.02)
    thread.join()
    assert endings[0].end is End.FAILED
    assert given(endings[0].error)["code"] == "vm.pause_too_long"
    assert world.files() == files
    assert world.watch.wards() == []
    world.guest.tick()


def test_a_vm_that_stands_still_for_a_migration_is_not_resumed(world: World) -> None:
    """It may run on another host in a moment: only a pause of libvirt's own snapshot is ended."""
    begin(world, "pause", age_s=100, budget_s=0.0, holder=dead())
    world.guest.change(state=VmState.PAUSED, reason="migration", activity="migration_out")
    watching = dog(world)
    for _ in range(3):
        look(world, watching)
    assert world.facts().state is VmState.PAUSED
