"""Freezes that a dead worker or libvirtd left are ended within their budget, and no others."""

import time
from threading import Thread
from typing import Any
from uuid import UUID

import pytest

from hypervisor.fake import FakeHost
from stillframe.events import EventType, Level
from stillframe.states import VmState
from tests.workers.fake_world import World
from tests.workers.watchdog.watched import begin, dead, dog, is_frozen, look, said
from workers import watchdog
from workers.watch_folder import now
from workers.watchdog import Watchdog


def test_a_freeze_past_its_budget_is_ended(world: World) -> None:
    """The guest writes again, the record is gone, and there is word of it."""
    world.guest.change(frozen=True)
    ward = begin(world, age_s=11)
    look(world)
    world.guest.tick()
    assert world.watch.wards() == []
    (word,) = world.watch.words()
    assert (word.type, word.vm, word.job) == (EventType.GUEST_THAWED, world.guest.uuid, ward.job)
    assert word.data["after_s"] >= 11


def test_a_freeze_within_its_budget_is_left_alone(world: World) -> None:
    """A worker that lives has its time."""
    world.guest.change(frozen=True)
    ward = begin(world, age_s=5)
    look(world)
    assert is_frozen(world)
    assert world.watch.wards() == [ward]
    assert said(world) == []


def test_a_freeze_whose_worker_is_dead_is_ended_at_once(world: World) -> None:
    """No budget is waited for: nobody will use it."""
    world.guest.change(frozen=True)
    begin(world, holder=dead())
    look(world)
    assert not is_frozen(world)
    assert world.watch.wards() == []


def test_what_a_dead_worker_asked_for_may_still_come(world: World) -> None:
    """The worker died before libvirt froze the guest: the record stays for its budget, and the freeze is ended when it comes."""
    begin(world, holder=dead())
    look(world)
    assert len(world.watch.wards()) == 1
    world.guest.change(frozen=True)
    look(world)
    assert not is_frozen(world)
    assert world.watch.wards() == []


def test_a_freeze_without_a_record_is_left_alone(world: World) -> None:
    """It is somebody else's, however long it lasts."""
    world.guest.change(frozen=True)
    look(world)
    assert is_frozen(world)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_clock_that_steps_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    """An hour forth ends no freeze before its time, an hour back prolongs none."""
    world.guest.change(frozen=True)
    young, real = begin(world, age_s=5), time.time
    monkeypatch.setattr(time, "time", lambda: real() + step_s)
    look(world)
    assert is_frozen(world)
    world.watch.change(young, began=now() - 11)
    look(world)
    assert not is_frozen(world)


def test_libvirt_may_be_away_for_a_while(world: World) -> None:
    """While it is, that is said once; when it is back, the freeze is ended, and that is said."""
    world.guest.change(frozen=True)
    begin(world, age_s=11)
    watching = dog(world)
    world.machine.kill_daemon()
    look(world, watching)
    look(world, watching)
    assert said(world) == [(EventType.GUEST_STILL_FROZEN, Level.ERROR)]
    world.machine.start_daemon()
    look(world, watching)
    assert not is_frozen(world)
    assert said(world)[1:] == [(EventType.GUEST_THAWED, Level.WARNING)]


def test_libvirt_may_die_between_two_looks(world: World) -> None:
    """A connection that was good a moment ago is opened again."""
    begin(world, "pause")
    watching = dog(world)
    look(world, watching)
    world.machine.kill_daemon()
    world.machine.start_daemon()
    world.guest.change(state=VmState.PAUSED, reason="snapshot")
    (ward,) = world.watch.wards()
    world.watch.change(ward, holder=dead())
    look(world, watching)
    look(world, watching)
    assert world.facts().state is VmState.RUNNING


@pytest.mark.parametrize("agent", ["hung", "absent"])
def test_a_guest_that_cannot_be_thawed_is_an_alarm(world: World, agent: Any) -> None:
    """It is told once, not at every try; the record stays; an agent that comes back ends both."""
    world.guest.change(frozen=True, agent=agent)
    begin(world, age_s=11)
    watching = dog(world)
    for _ in range(3):
        look(world, watching)
    assert said(world) == [(EventType.GUEST_STILL_FROZEN, Level.ERROR)]
    assert len(world.watch.wards()) == 1
    world.guest.agent = "answers"
    look(world, watching)
    assert said(world)[1:] == [(EventType.GUEST_THAWED, Level.WARNING)]
    assert world.watch.wards() == []


def test_an_alarm_is_given_again_from_time_to_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by a watchdog that was started anew."""
    monkeypatch.setattr(watchdog, "ALARM_S", 0.0)
    world.guest.change(frozen=True, agent="hung")
    begin(world, age_s=11)
    look(world)
    look(world)
    assert said(world) == [(EventType.GUEST_STILL_FROZEN, Level.ERROR)] * 2


def test_a_vm_that_is_off_is_not_frozen(world: World) -> None:
    """Its guest went with it; an alarm that was given is taken back."""
    world.guest.change(frozen=True, agent="hung")
    begin(world, age_s=11)
    look(world)
    world.guest.crash()
    look(world)
    assert said(world)[1:] == [(EventType.GUEST_THAWED, Level.INFO)]
    assert world.watch.wards() == []


def test_a_vm_that_is_gone_has_no_wards(world: World) -> None:
    """There is nobody to thaw."""
    begin(world, age_s=11)
    world.machine.remove_vm(world.guest.uuid)
    look(world)
    assert world.watch.wards() == []


class SlowHost(FakeHost):
    """A host on which one VM's answers do not come."""

    may_go_on = False

    def __init__(self, world: World, slow: UUID) -> None:
        super().__init__(world.machine)
        self.slow = slow

    def vm(self, uuid: UUID) -> Any:
        while uuid == self.slow and not SlowHost.may_go_on:
            time.sleep(0.01)
        return super().vm(uuid)


def test_a_guest_that_hangs_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record is seen to by itself."""
    slow = world.machine.create_vm("slow").uuid
    begin(world, age_s=11, vm=slow)
    world.guest.change(frozen=True)
    begin(world, age_s=11)
    watching = Watchdog(world.watch, lambda: SlowHost(world, slow))
    watching.look()
    until = time.monotonic() + 5
    while is_frozen(world) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_frozen(world)
    SlowHost.may_go_on = True
    watching.settle()


def test_two_watchdogs_are_as_good_as_one(world: World) -> None:
    """Both look again and again while guests are frozen: each freeze is ended, and told, once."""
    dogs = [dog(world), dog(world)]
    for _ in range(20):
        world.guest.change(frozen=True)
        begin(world, age_s=11)
        threads = [Thread(target=look, args=(world, one)) for one in dogs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not is_frozen(world)
    assert said(world) == [(EventType.GUEST_THAWED, Level.WARNING)] * 20
