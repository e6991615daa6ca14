"""Jobs and snapshots of a VM that moves, and of one that is nowhere."""

from uuid import UUID

import pytest
from sqlalchemy import Engine, func, update

from models.events.tables import Event
from models.hosts.machine import record_host
from models.hosts.tables import Host
from models.jobs.attempt import Attempt
from models.jobs.journal import Journal
from models.jobs.outbox import owed
from models.session import transaction
from models.snapshots.tables import Snapshot, VolumeSnapshot
from models.vms.tables import Vm
from stillframe.errors import LostLease
from stillframe.seen import HostSeen
from stillframe.states import JobState, SnapshotState, VmState, VolumeSnapshotState
from tests.world import World, seen_vm

pytestmark = pytest.mark.postgres


def seen(engine: Engine, host: str, *vms: UUID, state: VmState = VmState.RUNNING) -> UUID:
    """A host is looked at, and has these VMs."""
    with transaction(engine) as session:
        found = tuple(seen_vm(vm, state=state) for vm in vms)
        return record_host(session, HostSeen(host, "9.0.0", "7.2.0", 8, 1 << 33, found))


def moved(engine: Engine, vm: UUID) -> UUID:
    """A migration to h2 has ended: both hosts are looked at. The id of h2."""
    new = seen(engine, "h2", vm)
    seen(engine, "h1")
    return new


def owed_to(engine: Engine) -> list[tuple[UUID, str]]:
    with transaction(engine) as session:
        return [(message.job_id, message.host) for message in owed(session, 100)]


def begun(journal: Journal, job: UUID, worker: str = "h1/w") -> Attempt:
    """A worker of h1 has done a step of it."""
    attempt = journal.claim(job, worker=worker, lease_s=30, host="h1")
    assert attempt is not None
    attempt.start("check_vm")
    attempt.finish("check_vm", {"at": 1}, then="make_layers")
    return attempt


def seen_at_least(engine: Engine, vm: UUID, minutes: int) -> None:
    with transaction(engine) as session:
        past = func.now() - func.make_interval(0, 0, 0, 0, 0, minutes)
        session.execute(update(Vm).where(Vm.id == vm).values(seen_at=past))


def silent(engine: Engine, host: str) -> None:
    """Nothing was heard of it for five minutes."""
    with transaction(engine) as session:
        past = func.now() - func.make_interval(0, 0, 0, 0, 0, 5)
        session.execute(update(Host).where(Host.name == host).values(last_seen_at=past))


def where_is(engine: Engine, vm: UUID) -> tuple[UUID, VmState]:
    with transaction(engine) as session:
        row = session.get_one(Vm, vm)
        return row.host_id, row.state


def test_what_follows_is_told(world: World, engine: Engine) -> None:
    """A queued job whose VM moved is owed to the new host, and an event says from where to where."""
    vm = world.vm()
    job = world.job(vm)
    new = moved(engine, vm)
    assert world.row(job).host_id == new
    assert owed_to(engine) == [(job, "h2")]
    with transaction(engine) as session:
        event = session.query(Event).filter_by(job_id=job, type="job.followed").one()
        assert event.data == {"from": "h1", "to": "h2"}


def test_a_job_in_hand_stays_until_its_lease_has_lapsed(
    world: World, engine: Engine, journal: Journal
) -> None:
    """While its worker may still act nobody else gets it; the next tick after the lapse sends it where the VM is."""
    vm = world.vm()
    job = world.job(vm)
    old = begun(journal, job)
    new = moved(engine, vm)
    assert journal.lapse() == []
    assert world.row(job).host_id != new
    world.lapse_now(job)
    assert journal.lapse() == [job]
    assert owed_to(engine) == [(job, "h2")]
    assert journal.claim(job, worker="h1/v", lease_s=30, host="h1") is None
    attempt = journal.claim(job, worker="h2/w", lease_s=30, host="h2")
    assert attempt is not None
    assert list(attempt.steps) == ["check_vm", "make_layers"]
    with pytest.raises(LostLease):
        old.finish("make_layers", {}, then="cut")


def test_a_job_whose_lease_lapsed_before_goes_with_the_vm(
    world: World, engine: Engine, journal: Journal
) -> None:
    """Its host died with the VM on it, and the VM came up elsewhere: the job is taken over there."""
    vm = world.vm()
    job = world.job(vm)
    begun(journal, job)
    world.lapse_now(job)
    silent(engine, "h1")
    seen(engine, "h2", vm)
    assert owed_to(engine) == [(job, "h2")]
    assert journal.claim(job, worker="h2/w", lease_s=30, host="h2") is not None


def test_a_job_that_had_begun_is_let_go_as_it_stands(world: World, engine: Engine, journal: Journal) -> None:
    """Its worker finds no VM: nobody holds it, nothing is undone, and it goes on on the host where the VM is seen."""
    vm = world.vm()
    job = world.job(vm)
    begun(journal, job).missing(begun=True)
    row = world.row(job)
    assert (row.state, row.worker, row.error) == (JobState.RUNNING, None, None)
    assert where_is(engine, vm)[1] is VmState.GONE
    assert journal.lapse() == []
    assert owed_to(engine) == []
    assert journal.claim(job, worker="h1/v", lease_s=30, host="h1") is None
    seen(engine, "h2", vm)
    assert owed_to(engine) == [(job, "h2")]
    attempt = journal.claim(job, worker="h2/w", lease_s=30, host="h2")
    assert attempt is not None
    assert attempt.steps["check_vm"].output == {"at": 1}
    assert [type_ for type_ in world.events(job) if not type_.startswith("step")] == [
        "job.started",
        "job.let_go",
        "job.followed",
        "job.taken_over",
    ]


def test_a_job_let_go_after_the_vm_was_seen_elsewhere_goes_there(
    world: World, engine: Engine, journal: Journal
) -> None:
    """The new host was quicker than the worker of the old one."""
    vm = world.vm()
    job = world.job(vm)
    attempt = begun(journal, job)
    seen(engine, "h2", vm)
    attempt.missing(begun=True)
    assert owed_to(engine) == [(job, "h2")]
    assert where_is(engine, vm)[1] is VmState.RUNNING


@pytest.mark.parametrize("kind", ["create_snapshot", "revert_snapshot", "extract_volume"])
def test_a_job_that_had_done_nothing_waits_in_the_line(
    world: World, engine: Engine, journal: Journal, kind: str
) -> None:
    """It is not tried again before the VM is seen, and then at once, on whichever host that is."""
    vm = world.vm()
    job = world.job(vm, kind)
    attempt = journal.claim(job, worker="h1/w", lease_s=30, host="h1")
    assert attempt is not None
    attempt.missing(begun=False)
    assert world.row(job).state is JobState.QUEUED
    assert owed_to(engine) == []
    seen(engine, "h2", vm)
    assert owed_to(engine) == [(job, "h2")]
    again = journal.claim(job, worker="h2/w", lease_s=30, host="h2")
    assert again is not None
    assert again.steps == {}


def test_a_vm_that_comes_back_to_its_host_has_its_jobs_taken_up(
    world: World, engine: Engine, journal: Journal
) -> None:
    """Undefined and defined again: the job that was let go, and the one behind it, are owed to the same host."""
    vm = world.vm()
    job = world.job(vm)
    begun(journal, job).missing(begun=True)
    assert owed_to(engine) == []
    seen(engine, "h1", vm)
    assert owed_to(engine) == [(job, "h1")]
    assert journal.claim(job, worker="h1/v", lease_s=30, host="h1") is not None


def test_what_a_failed_creation_left_is_deleted_though_its_vm_is_gone(world: World, journal: Journal) -> None:
    """Such a deletion needs no VM, and waits for none."""
    vm = world.vm(gone=True)
    snapshot = world.snapshot(vm, state=SnapshotState.ERROR)
    with transaction(world.engine) as session:
        session.execute(
            update(Snapshot).where(Snapshot.id == snapshot).values(error={"code": "x", "detail": "why"})
        )
    job = world.job(vm, "delete_snapshot", snapshot=snapshot)
    assert journal.claim(job, worker="w", lease_s=30) is not None
    assert journal.claim(world.job(vm), worker="w", lease_s=30) is None


def test_volume_snapshots_stay_with_the_host_that_made_them(world: World, engine: Engine) -> None:
    """One that is still to be made goes with its job; a finished one is a file where it is."""
    vm = world.vm()
    job = world.job(vm, "extract_volume")
    ready = world.row(world.job(vm, "extract_volume")).volume_snapshot_id
    with transaction(engine) as session:
        session.execute(
            update(VolumeSnapshot).where(VolumeSnapshot.id == ready).values(state=VolumeSnapshotState.READY)
        )
    old = world.host("h1")
    new = moved(engine, vm)
    made = world.row(job).volume_snapshot_id
    assert made is not None
    assert ready is not None
    assert (world.volume_row(made).host_id, world.volume_row(ready).host_id) == (new, old)


@pytest.mark.parametrize(
    ("there", "minutes_ago", "here", "is_here"),
    [
        (VmState.RUNNING, 0, VmState.OFF, False),
        (VmState.RUNNING, 600, VmState.OFF, False),
        (VmState.PAUSED, 600, VmState.OFF, False),
        (VmState.RUNNING, 0, VmState.PAUSED, False),
        (VmState.RUNNING, 600, VmState.PAUSED, True),
        (VmState.RUNNING, 0, VmState.RUNNING, False),
        (VmState.RUNNING, 600, VmState.RUNNING, True),
        (VmState.OFF, 0, VmState.OFF, False),
        (VmState.OFF, 600, VmState.OFF, False),
        (VmState.OFF, 0, VmState.PAUSED, True),
        (VmState.OFF, 0, VmState.RUNNING, True),
        (VmState.GONE, 0, VmState.OFF, True),
        (VmState.GONE, 0, VmState.PAUSED, True),
    ],
)
def test_a_vm_that_two_hosts_have_is_where_it_runs(
    world: World, engine: Engine, there: VmState, minutes_ago: int, here: VmState, is_here: bool
) -> None:
    """What a migration leaves behind, or has not finished, is no VM; one that ran is not given up for one that is off."""
    vm = world.vm(state=VmState.RUNNING if there is VmState.GONE else there)
    seen_at_least(engine, vm, minutes_ago)
    if there is VmState.GONE:
        seen(engine, "h1")
    before = where_is(engine, vm)
    new = seen(engine, "h2", vm, state=here)
    assert where_is(engine, vm) == ((new, here) if is_here else before)
