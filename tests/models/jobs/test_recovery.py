"""What a person decided about a stuck job, in the rows: it is taken up by the path of every other job."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, update

from models.hosts.tables import Host
from models.jobs.attempt import Attempt
from models.jobs.journal import Journal
from models.jobs.outbox import owed
from models.jobs.recovery import recover, standing_of
from models.jobs.tables import Job
from models.session import transaction
from models.vms.tables import Vm
from stillframe.errors import JobNotFound, JobNotStuck, LostLease, RollbackTooLate
from stillframe.recovering import Way, ways
from stillframe.states import JobState, SnapshotState, VolumeSnapshotState
from tests.world import World

pytestmark = pytest.mark.postgres

ERROR = {"code": "hypervisor.failed", "detail": "it broke", "remedy": "", "evidence": {}}
WHY = {"code": "refused", "detail": "no", "remedy": "", "evidence": {"a": 1}}


def stuck(
    world: World,
    journal: Journal,
    kind: str = "create_snapshot",
    *,
    back: bool = False,
    no_return: bool = False,
) -> Attempt:
    """A job that is stuck, and the attempt that gave up."""
    attempt = journal.claim(world.job(world.vm(), kind), worker="h1/1", lease_s=30)
    assert attempt is not None
    attempt.start("check_vm")
    attempt.finish("check_vm", {"x": 1}, "cut", no_return)
    if back:
        attempt.turn_back(WHY)
    attempt.stuck(ERROR, None)
    return attempt


def let_go(world: World, journal: Journal) -> UUID:
    """A job that has begun, and that nobody holds."""
    attempt = journal.claim(world.job(world.vm()), worker="h1/1", lease_s=30)
    assert attempt is not None
    attempt.start("cut")
    attempt.let_go(ERROR)
    world.lapse_now(attempt.job_id)
    return attempt.job_id


def is_open(world: World, job: UUID, way: Way) -> bool:
    """Whether a way is shown as open."""
    with world.engine.connect() as connection:
        return bool(ways(standing_of(connection, job))[way]["allowed"])


def silence(world: World) -> None:
    """The host gives no sign of life any more."""
    with transaction(world.engine) as session:
        session.execute(update(Host).values(last_seen_at=func.now() - func.make_interval(0, 0, 0, 0, 0, 3)))


def claim(journal: Journal, job: UUID) -> Attempt:
    """The next worker's hold."""
    attempt = journal.claim(job, worker="h1/2", lease_s=30, max_deaths=0)
    assert attempt is not None
    return attempt


def test_a_resumed_job_goes_on_where_it_stood(world: World, journal: Journal) -> None:
    """It is owed a message at once, and whoever claims it finds its steps; who decided, and why, is on record."""
    job = stuck(world, journal).job_id
    assert recover(world.engine, job, Way.RESUME, "kim", "made room") == world.row(job).vm_id
    row = world.row(job)
    assert (row.state, row.worker, row.deaths, row.error) == (JobState.RUNNING, None, 0, None)
    assert row.recovery is not None
    assert (row.recovery["action"], row.recovery["actor"], row.recovery["note"]) == (
        "resume",
        "kim",
        "made room",
    )
    event = world.last_event()
    assert (event.type, event.actor, event.message) == ("job.recovered", "kim", "made room")
    with transaction(world.engine) as session:
        assert [message.job_id for message in owed(session, 10)] == [job]
    attempt = claim(journal, job)
    assert (attempt.state, attempt.closed_by) == (JobState.RUNNING, None)
    assert {name: step.output for name, step in attempt.steps.items()} == {"check_vm": {"x": 1}, "cut": {}}
    attempt.succeed({}, None)
    assert world.row(job).state is JobState.SUCCEEDED


def test_a_resumed_job_has_its_whole_time_again(world: World, journal: Journal) -> None:
    """Its time limit counts from the decision, also for who takes it over after that; no hour of being stuck is its own."""

    def ago(minutes: int) -> Any:
        return func.now() - func.make_interval(0, 0, 0, 0, 0, minutes)

    def sets(**values: Any) -> None:
        with transaction(world.engine) as session:
            session.execute(update(Job).where(Job.id == job).values(values))

    job = stuck(world, journal).job_id
    sets(started_at=ago(180))
    recover(world.engine, job, Way.RESUME, "kim")
    assert claim(journal, job).spent_s < 60
    world.lapse_now(job)
    sets(recovery=func.jsonb_set(Job.recovery, ["at"], func.to_jsonb(ago(10))))
    again = journal.claim(job, worker="h1/3", lease_s=30)
    assert again is not None
    assert 600 <= again.spent_s < 660
    again.requeue(WHY)
    world.due_now(job)
    from_the_line = journal.claim(job, worker="h1/3", lease_s=30)
    assert from_the_line is not None
    assert from_the_line.spent_s == 0


def test_one_that_was_walked_back_goes_on_walking_back(world: World, journal: Journal) -> None:
    """Resumed, it is undoing as before, because of the very error that had turned it back."""
    job = stuck(world, journal, back=True).job_id
    recover(world.engine, job, Way.RESUME, "kim")
    attempt = claim(journal, job)
    assert (attempt.state, attempt.error) == (JobState.UNDOING, WHY)
    attempt.fail(WHY, None)
    assert world.row(job).error == WHY


def test_a_rollback_walks_back_what_went_forward(world: World, journal: Journal) -> None:
    """The job turns back because of what it was stuck at."""
    job = stuck(world, journal).job_id
    recover(world.engine, job, Way.ROLLBACK, "kim")
    attempt = claim(journal, job)
    assert attempt.state is JobState.UNDOING
    assert (attempt.error or {})["code"] == "hypervisor.failed"


def test_past_the_point_of_no_return_there_is_no_rollback(world: World, journal: Journal) -> None:
    """It is refused and nothing has changed; forward is open."""
    job = stuck(world, journal, no_return=True).job_id
    before = world.events()
    with pytest.raises(RollbackTooLate):
        recover(world.engine, job, Way.ROLLBACK, "kim")
    assert (world.row(job).state, world.events()) == (JobState.STUCK, before)
    recover(world.engine, job, Way.RESUME, "kim")
    assert claim(journal, job).no_return


def test_only_what_is_stuck_is_decided_about(world: World, journal: Journal) -> None:
    """Any other state is refused by name; of two who decide the second is refused."""
    with pytest.raises(JobNotStuck, match="queued"):
        recover(world.engine, world.job(world.vm()), Way.RESUME, "kim")
    with pytest.raises(JobNotFound):
        recover(world.engine, UUID(int=1), Way.RESUME, "kim")
    job = stuck(world, journal).job_id
    recover(world.engine, job, Way.RESUME, "kim")
    with pytest.raises(JobNotStuck, match="running"):
        recover(world.engine, job, Way.MARK_DONE, "lee")


def test_who_gave_up_writes_nothing_after_the_decision(world: World, journal: Journal) -> None:
    """Its answer may have been lost, so that it tries again: by then the job is somebody else's."""
    old = stuck(world, journal)
    recover(world.engine, old.job_id, Way.RESUME, "kim")
    before = world.events()
    for write in (
        lambda: old.start("cut"),
        lambda: old.succeed({}, None),
        lambda: old.stuck(ERROR, None),
        lambda: old.renew(30),
    ):
        with pytest.raises(LostLease):
            write()
    assert world.events() == before


@pytest.mark.parametrize("back", [False, True])
def test_a_job_marked_done_is_looked_at_by_its_host(world: World, journal: Journal, back: bool) -> None:
    """Whichever way it went, the worker that claims it is told that its plan is over, and by whom."""
    job = stuck(world, journal, back=back).job_id
    recover(world.engine, job, Way.MARK_DONE, "kim", "did it myself")
    attempt = claim(journal, job)
    assert attempt.state is JobState.RUNNING
    assert (attempt.closed_by or {})["actor"] == "kim"


@pytest.mark.parametrize("was_stuck", [True, False])
def test_of_a_vm_on_no_host_nobody_looks(world: World, journal: Journal, was_stuck: bool) -> None:
    """Its job can be closed in the rows, also one that was only let go and waits for the VM to be seen again."""
    job = stuck(world, journal).job_id if was_stuck else let_go(world, journal)
    assert was_stuck or not is_open(world, job, Way.MARK_DONE)
    with transaction(world.engine) as session:
        session.execute(update(Vm).values(gone=True))
    assert is_open(world, job, Way.RESUME) is was_stuck
    recover(world.engine, job, Way.MARK_DONE, "kim")
    row = world.row(job)
    assert row.state is JobState.FAILED
    assert "its VM is on no host" in (row.error or {})["detail"]
    assert world.snapshot_row(row.snapshot_id).state is SnapshotState.ERROR


def test_a_stuck_job_follows_its_vm(world: World, journal: Journal) -> None:
    """Once it is decided about, it is for the host that has the VM by now."""
    job = stuck(world, journal).job_id
    with transaction(world.engine) as session:
        session.execute(update(Vm).values(host_id=world.host("h2")))
    recover(world.engine, job, Way.RESUME, "kim")
    assert journal.claim(job, worker="h1/2", lease_s=30, host="h1") is None
    assert journal.claim(job, worker="h2/1", lease_s=30, host="h2") is not None


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("create_snapshot", SnapshotState.ERROR),
        ("revert_snapshot", SnapshotState.READY),
        ("delete_snapshot", SnapshotState.ERROR),
        ("extract_volume", SnapshotState.READY),
    ],
)
def test_of_a_silent_host_nobody_waits_to_look(
    world: World, journal: Journal, kind: str, state: SnapshotState
) -> None:
    """The job is closed in the rows at once and says that nobody looked; what it was about blocks nothing."""
    job = stuck(world, journal, kind, no_return=kind != "create_snapshot").job_id
    silence(world)
    recover(world.engine, job, Way.MARK_DONE, "kim", "the host burned down")
    row = world.row(job)
    assert (row.state, row.finished_at is None) == (JobState.FAILED, False)
    assert row.error is not None
    assert (row.error["code"], row.error["evidence"]["note"]) == ("job.closed_unseen", "the host burned down")
    assert row.error["evidence"]["stuck"]["code"] == "hypervisor.failed"
    assert world.snapshot_row(row.snapshot_id).state is state
    if row.volume_snapshot_id:
        assert world.volume_row(row.volume_snapshot_id).state is VolumeSnapshotState.ERROR
    types = world.events(job)
    assert types.index("job.recovered") < types.index("job.failed")
    assert journal.claim(world.job(row.vm_id), worker="h1/2", lease_s=30) is not None


@pytest.mark.parametrize("back", [False, True])
def test_what_began_on_a_host_that_is_lost_can_be_closed(
    world: World, journal: Journal, *, back: bool
) -> None:
    """Nobody can make it stuck there; once its lease has lapsed and the host is silent a person closes it, and not before."""
    attempt = journal.claim(world.job(world.vm()), worker="h1/1", lease_s=30)
    assert attempt is not None
    attempt.start("cut")
    if back:
        attempt.turn_back(WHY)
    job = attempt.job_id
    silence(world)
    assert not is_open(world, job, Way.MARK_DONE)
    world.lapse_now(job)
    assert [way for way in Way if is_open(world, job, way)] == [Way.MARK_DONE]
    recover(world.engine, job, Way.MARK_DONE, "kim", "the host burned down")
    row = world.row(job)
    assert (row.state, (row.error or {})["code"]) == (JobState.FAILED, "job.closed_unseen")
    assert world.snapshot_row(row.snapshot_id).state is SnapshotState.ERROR
    with pytest.raises(LostLease):
        attempt.undone("cut")
    with pytest.raises(LostLease):
        attempt.succeed({}, None)
    assert journal.claim(world.job(row.vm_id), worker="h1/2", lease_s=30) is not None


def test_what_a_host_that_lives_is_to_take_over_is_not_closed(world: World, journal: Journal) -> None:
    """Its lease has lapsed, and the next worker of the host carries it on."""
    attempt = journal.claim(world.job(world.vm()), worker="h1/1", lease_s=30)
    assert attempt is not None
    world.lapse_now(attempt.job_id)
    with pytest.raises(JobNotStuck):
        recover(world.engine, attempt.job_id, Way.MARK_DONE, "kim")
