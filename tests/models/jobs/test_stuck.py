"""How a job comes to be stuck, and what it keeps for the person who looks."""

import pytest

from models.jobs.attempt import Attempt
from models.jobs.journal import Journal
from stillframe.errors import LostLease
from stillframe.states import JobState, SnapshotState
from tests.world import World

pytestmark = pytest.mark.postgres

ERROR = {"code": "hypervisor.failed", "detail": "it broke", "remedy": "Look.", "evidence": {"rc": 1}}


def deadly(world: World, journal: Journal, deaths: int) -> Attempt:
    """A job that so many workers have died of."""
    attempt = journal.claim(world.job(world.vm(), "revert_snapshot"), worker="h1/0", lease_s=30, max_deaths=2)
    assert attempt is not None
    attempt.start("stop_vm")
    for number in range(deaths):
        world.lapse_now(attempt.job_id)
        taken = journal.claim(attempt.job_id, worker=f"h1/{number + 1}", lease_s=30, max_deaths=2)
        assert taken is not None
        attempt = taken
    return attempt


def test_one_death_too_many_makes_a_job_stuck(world: World, journal: Journal) -> None:
    """The next worker does not take it up; the evidence names the dead, and where the last one was."""
    attempt = deadly(world, journal, 2)
    assert world.row(attempt.job_id).deaths == 2
    world.lapse_now(attempt.job_id)
    assert journal.claim(attempt.job_id, worker="h1/3", lease_s=30, max_deaths=2) is None
    row = world.row(attempt.job_id)
    assert (row.state, row.deaths, row.lease_until, row.worker) == (JobState.STUCK, 3, None, None)
    assert row.error is not None
    assert row.error["code"] == "job.workers_died"
    assert row.error["detail"] == "3 workers died holding this job, the last at stop_vm."
    evidence = row.error["evidence"]
    assert evidence["workers"] == ["h1/0", "h1/1", "h1/2"]
    assert (evidence["was"], evidence["steps"]) == ("running", {"stop_vm": "started"})
    assert world.events(row.id)[-1] == "job.stuck"
    assert world.snapshot_row(row.snapshot_id).state is SnapshotState.REVERTING


def test_a_worker_given_up_for_dead_writes_nothing_more(world: World, journal: Journal) -> None:
    """Should the last one only have been slow, the stuck job stays as it is."""
    slow = deadly(world, journal, 2)
    world.lapse_now(slow.job_id)
    journal.claim(slow.job_id, worker="h1/3", lease_s=30, max_deaths=2)
    before = world.events()
    for write in (
        lambda: slow.start("bring_back"),
        lambda: slow.renew(30),
        lambda: slow.succeed({}, None),
        lambda: slow.fail(ERROR, None),
        lambda: slow.stuck(ERROR, None),
    ):
        with pytest.raises(LostLease):
            write()
    assert world.events() == before
    assert world.row(slow.job_id).state is JobState.STUCK


def test_what_was_put_back_or_let_go_was_no_death(world: World, journal: Journal) -> None:
    """A job that waited for a busy VM, or whose worker lost libvirt, has killed nobody."""
    attempt = journal.claim(world.job(world.vm()), worker="w1", lease_s=30, max_deaths=1)
    assert attempt is not None
    attempt.requeue(ERROR)
    world.due_now(attempt.job_id)
    for number in range(4):
        taken = journal.claim(attempt.job_id, worker=f"w{number}", lease_s=30, max_deaths=1)
        assert taken is not None
        taken.start("check_vm")
        taken.let_go(ERROR)
        assert world.row(attempt.job_id).worker is None
        assert journal.claim(attempt.job_id, worker="early", lease_s=30, max_deaths=1) is None
        world.lapse_now(attempt.job_id)
    assert world.row(attempt.job_id).deaths == 0


def test_a_stuck_job_keeps_its_evidence(world: World, journal: Journal) -> None:
    """What the machine said, how it was found afterwards, which way the job went, and why it had turned back."""
    attempt = journal.claim(world.job(world.vm()), worker="w1", lease_s=30)
    assert attempt is not None
    attempt.start("cut")
    why = {"code": "refused", "detail": "no", "remedy": "", "evidence": {}}
    attempt.turn_back(why)
    attempt.stuck(ERROR, None, {"vm": {"state": "paused"}})
    error = world.row(attempt.job_id).error
    assert error is not None
    assert (error["code"], error["detail"], error["remedy"]) == ("hypervisor.failed", "it broke", "Look.")
    assert error["evidence"] == {
        "rc": 1,
        "found": {"vm": {"state": "paused"}},
        "was": "undoing",
        "phase": "cut",
        "steps": {"cut": "started"},
        "turned_back": why,
    }


def test_with_no_death_allowed_nothing_is_carried_on(world: World, journal: Journal) -> None:
    """Rows out of an old backup: what they show as under way is left to a person, what is new is begun."""
    attempt = deadly(world, journal, 0)
    world.lapse_now(attempt.job_id)
    assert journal.claim(attempt.job_id, worker="h1/1", lease_s=30, max_deaths=0) is None
    assert world.row(attempt.job_id).state is JobState.STUCK
    assert journal.claim(world.job(world.vm("b")), worker="h1/1", lease_s=30, max_deaths=0) is not None
