"""Who may take up a job, and who may not."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, update

from models.jobs.attempt import Attempt
from models.jobs.journal import Journal
from models.jobs.tables import INTERACTIVE, SCHEDULED, Job
from models.session import transaction
from stillframe.errors import LostLease
from stillframe.states import HELD, JobState, SnapshotState, VolumeSnapshotState
from tests.world import World

pytestmark = pytest.mark.postgres


def claim(journal: Journal, job: UUID, worker: str = "w1") -> Attempt | None:
    return journal.claim(job, worker=worker, lease_s=30)


def test_a_queued_job_is_claimed_with_a_lease_and_an_event(world: World, journal: Journal) -> None:
    """A claim moves the job to running under attempt 1, with a lease and one event."""
    job = world.job(world.vm())
    attempt = claim(journal, job)
    row = world.row(job)
    assert attempt is not None
    assert (attempt.number, attempt.state, attempt.steps) == (1, JobState.RUNNING, {})
    assert (row.state, row.attempt, row.worker) == (JobState.RUNNING, 1, "w1")
    assert row.lease_until is not None
    assert row.started_at is not None
    assert timedelta(seconds=29) < row.lease_until - row.started_at < timedelta(seconds=31)
    assert world.events(job) == ["job.started"]


def test_two_deliveries_of_a_message_claim_once(world: World, journal: Journal) -> None:
    """Of two workers that get the same message at the same time, one finds nothing to claim."""
    for _ in range(10):
        job = world.job(world.vm())
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda worker: claim(journal, job, worker), ("w1", "w2")))  # noqa: B023
        assert sum(attempt is not None for attempt in found) == 1
        assert world.events(job) == ["job.started"]
        assert world.row(job).attempt == 1


def test_a_job_that_is_running_or_has_ended_is_not_claimed(world: World, journal: Journal) -> None:
    """A message that comes late finds nothing to claim."""
    job = world.job(world.vm())
    attempt = claim(journal, job)
    assert attempt is not None
    assert claim(journal, job, "w2") is None
    attempt.succeed({"consistency": "crash"}, None)
    assert claim(journal, job, "w2") is None


def test_jobs_of_one_vm_run_in_the_order_asked(world: World, journal: Journal) -> None:
    """A later job of a VM waits for the earlier one, is owed its message again, and then runs."""
    vm = world.vm()
    first, second = world.job(vm), world.job(vm)
    with transaction(world.engine) as session:
        session.execute(update(Job).values(published_at=func.now()))
    assert claim(journal, second) is None
    assert world.row(second).published_at is None
    attempt = claim(journal, first)
    assert attempt is not None
    assert claim(journal, second) is None
    attempt.succeed({}, None)
    assert claim(journal, second) is not None


def test_two_vms_run_side_by_side(world: World, journal: Journal) -> None:
    """Jobs of two VMs do not wait for each other."""
    assert claim(journal, world.job(world.vm("a"))) is not None
    assert claim(journal, world.job(world.vm("b"))) is not None


def test_an_interactive_job_passes_scheduled_ones(world: World, journal: Journal) -> None:
    """What a person asked for goes before a policy's jobs of the same VM, though it was asked for later."""
    vm = world.vm()
    scheduled, interactive = world.job(vm, priority=SCHEDULED), world.job(vm, priority=INTERACTIVE)
    assert claim(journal, scheduled) is None
    assert claim(journal, interactive) is not None


def test_one_vm_never_has_two_jobs_in_hand(world: World, journal: Journal) -> None:
    """However many claims of a VM's jobs meet, at most one of them is running."""
    vm = world.vm()
    jobs = [world.job(vm) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda job: claim(journal, job), jobs))
    held = [job for job in jobs if world.row(job).state in HELD]
    assert held == [jobs[0]]
    assert [attempt is not None for attempt in found] == [True] + [False] * 5


def test_the_database_has_the_last_word_on_two_claims_of_a_vm(world: World, journal: Journal) -> None:
    """An urgent job claimed while another of its VM is just being claimed waits for that one, and stays owed."""
    vm = world.vm()
    scheduled, urgent = world.job(vm, priority=SCHEDULED), world.job(vm, priority=INTERACTIVE)
    with ThreadPoolExecutor(1) as pool:
        with transaction(world.engine) as session:
            session.execute(
                update(Job)
                .where(Job.id == scheduled)
                .values(state=JobState.RUNNING, attempt=1, lease_until=func.now())
            )
            claiming = pool.submit(claim, journal, urgent)
            with pytest.raises(TimeoutError):
                claiming.result(timeout=0.3)
        assert claiming.result(timeout=5) is None
    assert world.row(urgent).state is JobState.QUEUED
    assert world.row(urgent).published_at is None


def test_a_stuck_job_keeps_the_vm_for_a_person(world: World, journal: Journal) -> None:
    """Behind a stuck job nothing of the VM runs, not even what is more urgent."""
    vm = world.vm()
    stuck, urgent = world.job(vm, priority=SCHEDULED), world.job(world.vm("other"))
    attempt = claim(journal, stuck)
    assert attempt is not None
    attempt.stuck({"code": "x", "detail": "why"}, None)
    assert claim(journal, world.job(vm, priority=INTERACTIVE)) is None
    assert claim(journal, urgent) is not None


def test_a_lapsed_lease_is_taken_over(world: World, journal: Journal) -> None:
    """A job whose worker fell silent is taken up by another, which sees the steps that were done."""
    job = world.job(world.vm())
    first = claim(journal, job, "w1")
    assert first is not None
    first.start("freeze")
    first.finish("freeze", {"at": 1}, then="switch")
    assert claim(journal, job, "w2") is None
    world.lapse_now(job)
    second = claim(journal, job, "w2")
    assert second is not None
    assert second.number == 2
    assert [(name, step.state.value, step.output) for name, step in second.steps.items()] == [
        ("freeze", "done", {"at": 1}),
        ("switch", "started", {}),
    ]
    assert world.events(job)[-1] == "job.taken_over"


def test_the_old_attempt_can_write_nothing_more(world: World, journal: Journal) -> None:
    """Every call of an attempt that was taken over raises LostLease and changes no row and no event.

    All but one: that its worker lives is told, and nobody has died of the job.
    """
    job = world.job(world.vm())
    old = claim(journal, job, "w1")
    assert old is not None
    old.start("freeze")
    world.lapse_now(job)
    assert claim(journal, job, "w2") is not None
    before = (world.row(job).lease_until, world.events(), world.snapshot_row(old.snapshot_id).state)
    error = {"code": "x", "detail": "why"}
    for write in (
        lambda: old.start("switch"),
        lambda: old.finish("freeze", {}, then="cut"),
        lambda: old.undone("freeze"),
        lambda: old.turn_back(error),
        lambda: old.renew(30, {"done": 1}),
        lambda: old.succeed({}, None),
        lambda: old.fail(error, None),
        lambda: old.stuck(error, None),
        lambda: old.requeue(error),
        lambda: old.start("drop", no_return=True),
        lambda: old.finish("freeze", {"x": 1}, then="drop", no_return=True),
    ):
        with pytest.raises(LostLease):
            write()
    old.let_go(error)
    old.finish("switch", {"x": 1}, then=None)
    with pytest.raises(LostLease):
        old.succeed({}, None)
    row = world.row(job)
    assert world.events()[-1] == "job.let_go"
    assert (row.lease_until, world.events()[:-1], world.snapshot_row(old.snapshot_id).state) == before
    assert (row.worker, row.progress, row.no_return_at, row.error) == ("w2", None, None, None)
    assert world.steps(job) == [("freeze", "started", {})]
    again = journal.claim(job, worker="w3", lease_s=1)
    assert again is None
    assert world.row(job).state is JobState.RUNNING


def test_a_job_that_turned_back_is_taken_over_as_undoing(world: World, journal: Journal) -> None:
    """The next worker goes on walking back, and knows why."""
    job = world.job(world.vm())
    first = claim(journal, job)
    assert first is not None
    first.start("freeze")
    first.turn_back({"code": "hypervisor.failed", "detail": "no"})
    world.lapse_now(job)
    second = claim(journal, job, "w2")
    assert second is not None
    assert second.state is JobState.UNDOING
    assert second.error == {"code": "hypervisor.failed", "detail": "no"}


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("create_snapshot", SnapshotState.CREATING),
        ("revert_snapshot", SnapshotState.REVERTING),
        ("delete_snapshot", SnapshotState.DELETING),
        ("extract_volume", SnapshotState.READY),
    ],
)
def test_the_first_claim_marks_the_snapshot(
    world: World, journal: Journal, kind: str, state: SnapshotState
) -> None:
    """While a revert or a deletion runs its snapshot says so, also after a takeover."""
    job = world.job(world.vm(), kind)
    attempt = claim(journal, job)
    assert attempt is not None
    assert world.snapshot_row(attempt.snapshot_id).state is state
    world.lapse_now(job)
    assert claim(journal, job, "w2") is not None
    assert world.snapshot_row(attempt.snapshot_id).state is state


def test_a_job_whose_snapshot_is_gone_meanwhile_fails(world: World, journal: Journal) -> None:
    """An extraction queued behind a deletion of its snapshot ends as failed and leaves nothing `creating`."""
    vm = world.vm()
    snapshot = world.snapshot(vm)
    deletion = world.job(vm, "delete_snapshot", snapshot=snapshot)
    extraction = world.job(vm, "extract_volume", snapshot=snapshot)
    attempt = claim(journal, deletion)
    assert attempt is not None
    attempt.succeed({}, None)
    assert claim(journal, extraction) is None
    row = world.row(extraction)
    assert row.state is JobState.FAILED
    assert row.error is not None
    assert row.error["code"] == "snapshot.not_ready"
    assert row.volume_snapshot_id is not None
    assert world.volume_row(row.volume_snapshot_id).state is VolumeSnapshotState.ERROR
    assert world.events(extraction) == ["job.failed"]


def test_a_requeued_job_waits_before_it_is_claimed(world: World, journal: Journal) -> None:
    """A requeued job has a clean slate, its snapshot is ready again, and it is not due at once."""
    job = world.job(world.vm(), "revert_snapshot")
    attempt = claim(journal, job)
    assert attempt is not None
    attempt.start("check_vm")
    attempt.requeue({"code": "vm.busy", "detail": "busy"})
    row = world.row(job)
    assert (row.state, row.worker, row.published_at) == (JobState.QUEUED, None, None)
    assert world.snapshot_row(attempt.snapshot_id).state is SnapshotState.READY
    assert claim(journal, job) is None
    with transaction(world.engine) as session:
        session.execute(update(Job).values(next_attempt_at=func.now()))
    second = claim(journal, job)
    assert second is not None
    assert (second.number, second.steps) == (2, {})
