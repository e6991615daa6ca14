"""Jobs that are not waited for any longer."""

from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, update

from models.events.tables import Event
from models.hosts.drain import drain
from models.hosts.machine import record_host
from models.jobs.attempt import Attempt
from models.jobs.expiry import expire, give_up
from models.jobs.journal import Journal
from models.jobs.recovery import recover
from models.jobs.tables import Job
from models.session import transaction
from stillframe.recovering import Way
from stillframe.seen import HostSeen
from stillframe.states import JobState, SnapshotState, VolumeSnapshotState
from tests.world import World, seen_vm

pytestmark = pytest.mark.postgres


def late(engine: Engine, *jobs: UUID) -> None:
    """They were to begin within a minute, and that was a second ago."""
    with transaction(engine) as session:
        second = func.make_interval(0, 0, 0, 0, 0, 0, 1)
        minute = func.make_interval(0, 0, 0, 0, 0, 0, 61)
        ago = {"expires_at": func.now() - second, "created_at": func.now() - minute}
        session.execute(update(Job).where(Job.id.in_(jobs)).values(ago))


def gone(engine: Engine, *vms: UUID, host: str = "h1", since_s: int = 0) -> None:
    """The host has only these VMs, and says so; what is not among them went away so long ago."""
    with transaction(engine) as session:
        record_host(session, HostSeen(host, "9", "7", 1, 1, tuple(seen_vm(vm) for vm in vms)))
        past = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, since_s)
        session.execute(update(Event).where(Event.type == "vm.gone").values(at=past))


def claimed(journal: Journal, job: UUID) -> Attempt:
    attempt = journal.claim(job, worker="w", lease_s=30)
    assert attempt is not None
    return attempt


@pytest.mark.parametrize("kind", ["create_snapshot", "extract_volume", "revert_snapshot", "delete_snapshot"])
def test_a_job_not_begun_in_time_expires(world: World, engine: Engine, kind: str) -> None:
    """It ends with what held it up; what it would have made is in error, what it was to change is as it was."""
    job = world.job(world.vm(), kind)
    late(engine, job)
    assert expire(engine) == [job]
    row = world.row(job)
    assert row.state is JobState.EXPIRED
    assert row.finished_at is not None
    assert row.error is not None
    assert row.error["code"] == "job.expired"
    assert row.error["detail"].startswith("The job was not begun within 60 s: its message is not sent yet")
    made = kind == "create_snapshot"
    assert world.snapshot_row(row.snapshot_id).state is (SnapshotState.ERROR if made else SnapshotState.READY)
    if row.volume_snapshot_id:
        assert world.volume_row(row.volume_snapshot_id).state is VolumeSnapshotState.ERROR
    assert world.events(job)[0] == "job.expired"
    assert expire(engine) == []


def test_the_reason_is_the_one_that_people_saw(world: World, engine: Engine) -> None:
    """A drained host, say; it was shown as what the job waited for, and stays in the evidence."""
    job = world.job(world.vm())
    drain(engine, "h1", "kim", "new memory")
    late(engine, job)
    expire(engine)
    error = world.row(job).error
    assert error is not None
    assert "h1 was drained by kim" in error["detail"]
    assert error["evidence"]["waiting"] == "host_drained"


def test_an_expired_job_is_not_begun_before_the_tick(world: World, engine: Engine, journal: Journal) -> None:
    """A worker that comes by at the last moment finds nothing to claim."""
    job = world.job(world.vm())
    late(engine, job)
    assert journal.claim(job, worker="w", lease_s=30) is None
    assert expire(engine) == [job]


def test_what_was_begun_does_not_expire(world: World, engine: Engine, journal: Journal) -> None:
    """In a worker's hands, stuck, or without a time it stays; one that went back into the line expires."""
    held, stuck, timeless, again = (world.job(world.vm(name)) for name in "abcd")
    attempts = {one: claimed(journal, one) for one in (held, stuck, again)}
    attempts[stuck].stuck({"code": "x", "detail": "why"}, None)
    attempts[again].requeue({"code": "vm.busy", "detail": "VM d is busy."})
    late(engine, held, stuck, again)
    assert expire(engine) == [again]
    error = world.row(again).error
    assert error is not None
    assert error["detail"].endswith("VM d is busy.")
    assert [world.row(one).state for one in (held, stuck, timeless)] == [
        JobState.RUNNING,
        JobState.STUCK,
        JobState.QUEUED,
    ]


def test_a_job_that_is_just_being_claimed_does_not_expire(
    world: World, engine: Engine, journal: Journal
) -> None:
    """Whoever has its row first decides."""
    job = world.job(world.vm())
    late(engine, job)
    with transaction(engine) as session:
        session.execute(select(Job.id).where(Job.id == job).with_for_update())
        assert expire(engine) == []


def test_jobs_of_a_vm_that_stays_away_are_given_up(world: World, engine: Engine, journal: Journal) -> None:
    """After a while what waits fails, what had begun is stuck, both saying that the VM is gone; before, nothing ends."""
    vm, other = world.vm("a"), world.vm("b")
    begun, waits, elsewhere = world.job(vm), world.job(vm), world.job(other)
    attempt = journal.claim(begun, worker="w", lease_s=30)
    assert attempt is not None
    attempt.start("check_vm")
    attempt.missing(begun=True)
    gone(engine, other, since_s=50)
    assert give_up(engine, 60) == []
    gone(engine, other, since_s=70)
    assert give_up(engine, 60) == sorted([begun, waits])
    assert [world.row(one).state for one in (begun, waits, elsewhere)] == [
        JobState.STUCK,
        JobState.FAILED,
        JobState.QUEUED,
    ]
    errors = [world.row(one).error for one in (begun, waits)]
    assert [error and error["code"] for error in errors] == ["vm.gone", "vm.gone"]
    assert world.snapshot_row(world.row(waits).snapshot_id).state is SnapshotState.ERROR


def test_a_worker_that_still_acts_is_not_given_up(world: World, engine: Engine, journal: Journal) -> None:
    """Only a lapsed lease lets go of a job, however long its VM is gone."""
    job = world.job(world.vm())
    assert journal.claim(job, worker="w", lease_s=30) is not None
    gone(engine, since_s=7200)
    assert give_up(engine, 60) == []
    world.lapse_now(job)
    assert give_up(engine, 60) == [job]


def test_what_a_person_sent_on_is_waited_for_anew(world: World, engine: Engine, journal: Journal) -> None:
    """A decision about a job whose VM is away is not overruled by the next tick."""
    job = world.job(world.vm())
    attempt = journal.claim(job, worker="w", lease_s=30)
    assert attempt is not None
    attempt.start("check_vm")
    attempt.missing(begun=True)
    gone(engine, since_s=7200)
    assert give_up(engine, 60) == [job]
    recover(engine, job, Way.RESUME, "kim")
    assert give_up(engine, 60) == []
    with transaction(engine) as session:
        session.get_one(Job, job).recovery = {"at": "2020-01-31T12:00:00+00:00"}
    assert give_up(engine, 60) == [job]


def test_a_vm_that_came_back_in_time_has_its_jobs(world: World, engine: Engine) -> None:
    """Seen again, on whichever host, nothing of it is given up."""
    vm = world.vm()
    job = world.job(vm)
    gone(engine, since_s=7200)
    gone(engine, vm, host="h2", since_s=7200)
    assert give_up(engine, 60) == []
    assert world.row(job).host_id == world.host("h2")
