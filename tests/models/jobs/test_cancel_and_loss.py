"""Cancels, dead workers, and leases that lapse."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, update

from models.hosts.tables import Host
from models.jobs.attempt import Attempt
from models.jobs.journal import Journal
from models.jobs.tables import Job
from models.session import transaction
from models.vms.tables import Vm
from stillframe.errors import Cancelled, JobNotCancellable, JobNotFound, PastNoReturn
from stillframe.states import JobState, SnapshotState, VolumeSnapshotState
from tests.world import World

pytestmark = pytest.mark.postgres


def test_a_queued_job_is_cancelled_at_once(world: World, journal: Journal) -> None:
    """It never begins; the snapshot it would have made is in error with the reason, and its name is free."""
    vm = world.vm()
    job = world.job(vm)
    assert journal.request_cancel(job, "kim") is JobState.CANCELLED
    row = world.row(job)
    assert row.finished_at is not None
    snapshot = world.snapshot_row(row.snapshot_id)
    assert snapshot.state is SnapshotState.ERROR
    assert snapshot.error is not None
    assert snapshot.error["code"] == "job.cancelled"
    assert world.events(job) == ["job.cancelled", "snapshot.failed"]
    assert journal.claim(job, worker="w", lease_s=30) is None
    world.snapshot(vm, name=snapshot.name)


def test_cancelling_a_queued_deletion_leaves_the_snapshot_ready(world: World, journal: Journal) -> None:
    """A snapshot is marked by the claim, not by the request."""
    job = world.job(world.vm(), "delete_snapshot")
    journal.request_cancel(job, "kim")
    assert world.snapshot_row(world.row(job).snapshot_id).state is SnapshotState.READY


def test_cancelling_a_queued_extraction_spoils_only_the_volume_snapshot(
    world: World, journal: Journal
) -> None:
    """The volume snapshot that would have been made is in error."""
    job = world.job(world.vm(), "extract_volume")
    journal.request_cancel(job, "kim")
    volume = world.row(job).volume_snapshot_id
    assert volume is not None
    assert world.volume_row(volume).state is VolumeSnapshotState.ERROR


def test_what_has_ended_cannot_be_cancelled(world: World, journal: Journal) -> None:
    """An ended job says how it ended; one that never was is not found."""
    job = world.job(world.vm())
    journal.request_cancel(job, "kim")
    with pytest.raises(JobNotCancellable, match="cancelled"):
        journal.request_cancel(job, "kim")
    with pytest.raises(JobNotFound):
        journal.request_cancel(world.vm("x"), "kim")


def test_past_the_point_of_no_return_a_cancel_is_refused(world: World, journal: Journal) -> None:
    """It says where the job is; nothing is asked of the worker, and the job goes on."""
    attempt = journal.claim(world.job(world.vm(), "delete_snapshot"), worker="w", lease_s=30)
    assert attempt is not None
    assert attempt.start("drop_reference", no_return=True) is False
    with pytest.raises(PastNoReturn, match="it is at drop reference"):
        journal.request_cancel(attempt.job_id, "kim")
    row = world.row(attempt.job_id)
    assert (row.state, row.cancel_requested_at) == (JobState.RUNNING, None)
    assert attempt.renew(30) is False


def test_of_a_cancel_and_the_point_of_no_return_one_comes_first(world: World, journal: Journal) -> None:
    """However close they meet, either the cancel is refused, or the worker learns of it before it begins."""
    ends = set()
    for turn in range(30):
        attempt = journal.claim(world.job(world.vm(f"v{turn}")), worker="w", lease_s=30)
        assert attempt is not None
        attempt.start("cut")

        def ask(job: UUID = attempt.job_id) -> bool:
            try:
                journal.request_cancel(job, "kim")
            except PastNoReturn:
                return False
            return True

        acts = [ask, lambda attempt=attempt: attempt.finish("cut", {}, "keep_snapshot", no_return=True)]
        with ThreadPoolExecutor(2) as pool:
            asking, passing = (pool.submit(act) for act in (acts if turn % 2 else acts[::-1]))
            accepted, heard = (asking, passing) if turn % 2 else (passing, asking)
        row = world.row(attempt.job_id)
        assert accepted.result() is heard.result()
        assert (row.no_return_at is None) is accepted.result()
        assert (row.cancel_requested_at is not None) is accepted.result()
        ends.add(accepted.result())
    assert ends == {True, False}, "one of the two always won: this proves nothing"


def test_of_a_cancel_and_the_end_one_comes_first(world: World, journal: Journal) -> None:
    """Of a job that hears to its end: however close they meet, either the cancel is refused, or the job does not succeed."""
    ends = set()
    for turn in range(30):
        attempt = journal.claim(world.job(world.vm(f"v{turn}"), "extract_volume"), worker="w", lease_s=30)
        assert attempt is not None
        attempt.start("sum_up")
        attempt.finish("sum_up", {}, None)

        def ask(job: UUID = attempt.job_id) -> bool:
            try:
                journal.request_cancel(job, "kim")
            except JobNotCancellable:
                return False
            return True

        def end(attempt: Attempt = attempt) -> bool:
            try:
                attempt.succeed({}, None)
            except Cancelled:
                return True
            return False

        acts: list[Callable[[], bool]] = [ask, end] if turn % 2 else [end, ask]
        with ThreadPoolExecutor(2) as pool:
            accepted, heard = [one.result() for one in [pool.submit(act) for act in acts]]
        assert accepted is heard
        wanted = JobState.RUNNING if heard else JobState.SUCCEEDED
        assert (world.row(attempt.job_id).state, attempt.state) == (wanted, wanted)
        ends.add(heard)
    assert ends == {True, False}, "one of the two always won: this proves nothing"


@pytest.mark.parametrize("first", ["cancel", "no return"])
def test_who_comes_second_waits_for_the_first(world: World, journal: Journal, first: str) -> None:
    """While one of them is not committed the other waits, and then goes by what was decided."""
    attempt = journal.claim(world.job(world.vm()), worker="w", lease_s=30)
    assert attempt is not None
    decided = {"cancel_requested_at": func.now()} if first == "cancel" else {"no_return_at": func.now()}
    second: Future[Any]
    with ThreadPoolExecutor(1) as pool:
        with transaction(world.engine) as session:
            session.execute(update(Job).where(Job.id == attempt.job_id).values(decided))
            if first == "cancel":
                second = pool.submit(attempt.start, "keep_snapshot", True)
            else:
                second = pool.submit(journal.request_cancel, attempt.job_id, "kim")
            with pytest.raises(TimeoutError):
                second.result(timeout=0.3)
        if first == "cancel":
            assert second.result(timeout=5) is True
        else:
            with pytest.raises(PastNoReturn):
                second.result(timeout=5)


def test_jobs_of_dead_workers_can_be_taken_up_at_once(world: World, journal: Journal) -> None:
    """Only what a dead worker of this host held is released, and it is owed a message."""
    dead, living, elsewhere = (
        world.job(world.vm("a")),
        world.job(world.vm("b")),
        world.job(world.vm("c", host="h2")),
    )
    for job, worker in ((dead, "h1/1"), (living, "h1/2"), (elsewhere, "h2/1")):
        assert journal.claim(job, worker=worker, lease_s=600) is not None
    assert journal.release_lost("h1", alive=lambda worker: worker == "h1/2") == [dead]
    assert world.row(dead).published_at is None
    assert world.row(living).published_at is not None
    assert journal.claim(living, worker="h1/3", lease_s=30) is None
    assert journal.claim(elsewhere, worker="h2/3", lease_s=30) is None
    assert journal.claim(dead, worker="h1/3", lease_s=30) is not None


def test_a_lapsed_lease_is_owed_a_message_once_a_lapse(world: World, journal: Journal) -> None:
    """The tick finds a lapse once; not again while the message is on its way."""
    job = world.job(world.vm())
    with transaction(world.engine) as session:
        past = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, 20)
        session.execute(update(Job).values(published_at=past))
    assert journal.claim(job, worker="w", lease_s=30) is not None
    assert journal.lapse() == []
    world.lapse_now(job)
    assert journal.lapse() == [job]
    with transaction(world.engine) as session:
        session.execute(update(Job).values(published_at=func.now()))
    assert journal.lapse() == []


def test_a_silent_host_is_not_sent_the_same_again_and_again(world: World, journal: Journal) -> None:
    """A lapse is repeated each minute only while the host gives signs of life."""
    job = world.job(world.vm())
    assert journal.claim(job, worker="w", lease_s=30) is not None
    long_ago = func.now() - func.make_interval(0, 0, 0, 0, 0, 10)
    with transaction(world.engine) as session:
        session.execute(
            update(Job).values(
                lease_until=long_ago, published_at=func.now() - func.make_interval(0, 0, 0, 0, 0, 5)
            )
        )
        session.execute(update(Host).values(last_seen_at=long_ago))
    assert journal.lapse() == []
    with transaction(world.engine) as session:
        session.execute(update(Host).values(last_seen_at=func.now()))
    assert journal.lapse() == [job]


@pytest.mark.parametrize(("dropped", "state"), [(True, SnapshotState.ERROR), (False, SnapshotState.READY)])
def test_a_stopped_deletion_whose_vm_cannot_be_looked_at_leaves_no_ready_snapshot(
    world: World, journal: Journal, dropped: bool, state: SnapshotState
) -> None:
    """Once the reference may be dropped the snapshot is in error; before that it is ready as it was."""
    attempt = journal.claim(world.job(world.vm(), "delete_snapshot"), worker="w", lease_s=30)
    assert attempt is not None
    attempt.start("check_snapshot")
    if dropped:
        attempt.finish("check_snapshot", {"gone": []}, "drop_reference")
    journal.request_cancel(attempt.job_id, "kim")
    attempt.fail(Cancelled().to_json(), None, cancelled=True)
    assert world.snapshot_row(attempt.snapshot_id).state is state


@pytest.mark.parametrize("kind", ["create_snapshot", "delete_snapshot"])
@pytest.mark.parametrize("missing", [False, True])
def test_a_job_that_somebody_wants_to_stop_does_not_go_back_into_the_line(
    world: World, journal: Journal, kind: str, *, missing: bool
) -> None:
    """The VM is busy, or gone, and the cancel came meanwhile: it ends cancelled, and what it was about is free again."""
    vm = world.vm()
    job = world.job(vm, kind)
    attempt = journal.claim(job, worker="w", lease_s=30)
    assert attempt is not None
    journal.request_cancel(job, "kim")
    if missing:
        attempt.missing(begun=False)
    else:
        attempt.requeue({"code": "vm.busy", "detail": "a backup runs"})
    with transaction(journal.engine) as session:
        assert session.get_one(Vm, vm).gone is missing
    row = world.row(job)
    assert (row.state, attempt.state) == (JobState.CANCELLED, JobState.CANCELLED)
    wanted = SnapshotState.ERROR if kind == "create_snapshot" else SnapshotState.READY
    assert world.snapshot_row(row.snapshot_id).state is wanted


def test_the_time_that_a_job_waits_for_its_vm_is_not_its_own(world: World, journal: Journal) -> None:
    """Its time limit counts from the attempt that begins, not from one that found the VM busy hours ago."""
    job = world.job(world.vm())
    attempt = journal.claim(job, worker="w", lease_s=30)
    assert attempt is not None
    with transaction(journal.engine) as session:
        hours_ago = func.now() - func.make_interval(0, 0, 0, 0, 3)
        session.execute(update(Job).where(Job.id == job).values(started_at=hours_ago))
    attempt.requeue({"code": "vm.busy", "detail": "a backup runs"})
    with transaction(journal.engine) as session:
        session.execute(update(Job).where(Job.id == job).values(next_attempt_at=None))
    again = journal.claim(job, worker="w", lease_s=30)
    assert again is not None
    assert again.spent_s < 60
