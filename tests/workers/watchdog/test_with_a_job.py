"""A job whose freeze the watchdog ended says what its snapshot is worth."""

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from stillframe.events import EventType, Level
from tests.given import given
from tests.workers.fake_world import Death, World, ok
from tests.workers.watchdog.watched import dead, dog, is_frozen, look, said
from workers.carry import End


def run_watched(world: World, **words: Any) -> tuple[Any, Any]:
    """A quiesced create whose freeze lasts longer than it may, with the watchdog at work; the job and how it ended."""
    world.machine.pace_s = 0.5
    job = world.create("s1", "hot", **words)
    world.freeze_budget_s = 0.1
    watching, endings = dog(world), []
    thread = Thread(target=lambda: endings.append(job.to_the_end()))
    thread.start()
    while thread.is_alive():
        look(world, watching)
        time.sleep(0.02)
    thread.join()
    return job, endings[0]


def test_a_cut_whose_freeze_was_ended_before_it_is_crash_consistent(world: World) -> None:
    """The snapshot says what it is, not what was wished for."""
    job, ending = run_watched(world)
    ok(ending)
    assert job.outputs["cut"]["consistency"] == "crash"
    assert said(world) == [(EventType.GUEST_THAWED, Level.WARNING)]
    assert world.watch.wards() == []
    world.guest.tick()


def test_a_cut_that_had_to_be_quiesced_and_was_not_is_taken_back(world: World) -> None:
    """The job fails, says why, and leaves the VM on its image and nothing beside it."""
    files = world.files()
    _, ending = run_watched(world, quiesce="require")
    assert ending.end is End.FAILED
    assert given(ending.error)["code"] == "vm.freeze_too_long"
    assert world.files() == files
    world.guest.tick()


def _die(at: str) -> Callable[[str], None]:
    def pass_by(point: str) -> None:
        if point == at:
            raise Death(point)

    return pass_by


@pytest.mark.parametrize("quiesce", ["prefer", "require"])
def test_a_cut_of_a_dead_worker_whose_freeze_was_ended_is_not_called_quiesced(
    world: World, quiesce: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes the job up cannot know which came first: it is crash-consistent, or taken back where that will not do."""
    before = world.files()
    job = world.create("s1", "hot", quiesce=quiesce)
    with monkeypatch.context() as patched:
        patched.setattr(world.machine.mortality, "pass_by", _die("after cut"))
        with pytest.raises(Death):
            job.run()
    (ward,) = world.watch.wards()
    world.watch.change(ward, holder=dead())
    world.guest.change(frozen=True)
    look(world)
    ending = job.run()
    world.guest.tick()
    if quiesce == "prefer":
        ok(ending)
        assert job.outputs["cut"]["consistency"] == "crash"
    else:
        assert given(ending.error)["code"] == "vm.not_surely_frozen"
        assert world.files() == before


def test_a_freeze_in_time_is_left_to_its_worker(world: World) -> None:
    """With the watchdog at work all the while, a quiesced create is what it was asked to be."""
    world.machine.pace_s = 0.1
    job, watching = world.create("s1", "hot"), dog(world)
    thread = Thread(target=job.to_the_end)
    thread.start()
    while thread.is_alive():
        look(world, watching)
    thread.join()
    assert job.outputs["cut"]["consistency"] == "filesystem"
    assert said(world) == []
    assert world.watch.wards() == []


def test_a_freeze_of_somebody_else_survives_a_job(world: World) -> None:
    """Who froze the guest before the create thaws it: neither the step nor the watchdog does."""
    world.guest.change(frozen=True)
    job = world.create("s1", "hot")
    ok(job.to_the_end())
    look(world)
    assert is_frozen(world)
    assert job.outputs["cut"]["consistency"] == "filesystem"
