"""The deletion of a volume snapshot in rows: it needs neither its VM nor its snapshot, and stays with its host."""

from uuid import UUID

import pytest
from sqlalchemy import Engine, select, update

from models.events.tables import Event
from models.hosts.machine import record_host
from models.hosts.tables import Host
from models.ids import new_id
from models.jobs.journal import Journal
from models.jobs.outbox import owed
from models.jobs.recovery import recover
from models.jobs.tables import Job
from models.session import transaction
from models.snapshots.tables import VolumeSnapshot
from models.tenants.actor import ADMIN
from models.tenants.tables import ADMIN_ACCOUNT
from stillframe.errors import VolumeDeletionAsked, VolumeSnapshotNotFound, VolumeSnapshotNotReady
from stillframe.operations import DeleteVolume
from stillframe.recovering import Way
from stillframe.seen import HostSeen
from stillframe.states import JobState, SnapshotState, VolumeSnapshotState
from tasks.app import make_app
from tasks.producer import Producer
from tests.world import World, seen_vm

pytestmark = pytest.mark.postgres

PATH = "/images/stillframe/volumes/one.qcow2"


@pytest.fixture
def mute(engine: Engine) -> Producer:
    """Nothing is sent, so no broker is needed."""
    return Producer(engine, make_app("redis://127.0.0.1:1/0"))


def volume(
    world: World,
    vm: UUID,
    state: VolumeSnapshotState = VolumeSnapshotState.READY,
    snapshot: SnapshotState = SnapshotState.READY,
) -> UUID:
    """A volume snapshot on h1."""
    of = world.snapshot(vm, state=snapshot)
    with transaction(world.engine) as session:
        row = VolumeSnapshot(
            id=new_id(),
            name=f"v-{new_id().hex[-12:]}",
            state=state,
            snapshot_id=of,
            vm_id=vm,
            host_id=world.host("h1"),
            account_id=ADMIN_ACCOUNT,
            target="vda",
            size_bytes=4096,
            path=PATH if state is VolumeSnapshotState.READY else None,
        )
        session.add(row)
    return row.id


def ask(producer: Producer, id_: UUID) -> UUID:
    return producer.submit(DeleteVolume(volume_snapshot_id=str(id_)), ADMIN).job_id


def owed_to(engine: Engine) -> list[tuple[UUID, str]]:
    with transaction(engine) as session:
        return [(message.job_id, message.host) for message in owed(session, 100)]


def test_one_is_deleted_by_a_job_on_its_host(world: World, engine: Engine, mute: Producer) -> None:
    """The worker is told where the image lies; at the end the row is deleted, takes nothing, and an event says so."""
    id_ = volume(world, world.vm())
    job = ask(mute, id_)
    attempt = Journal(engine).claim(job, worker="h1/w", lease_s=30, host="h1")
    assert attempt is not None
    assert (attempt.kind, attempt.volume_snapshot_id, attempt.volume_path) == ("delete_volume", id_, PATH)
    assert attempt.about == {}
    attempt.start("check_volume")
    attempt.succeed({"freed_bytes": 4096}, None)
    row = world.volume_row(id_)
    assert (row.state, row.size_bytes) == (VolumeSnapshotState.DELETED, 0)
    with transaction(engine) as session:
        said = session.scalars(select(Event).where(Event.type == "volume.deleted")).one()
    assert said.data == {"volume_snapshot_id": str(id_), "freed_bytes": 4096}


def test_neither_vm_nor_snapshot_need_be_there(world: World, engine: Engine, mute: Producer) -> None:
    """The VM is on no host and the snapshot deleted: the job is owed its message all the same, and is taken up."""
    id_ = volume(world, world.vm(gone=True), snapshot=SnapshotState.DELETED)
    job = ask(mute, id_)
    assert owed_to(engine) == [(job, "h1")]
    assert Journal(engine).claim(job, worker="h1/w", lease_s=30, host="h1") is not None


def test_it_stays_with_the_image_when_the_vm_moves(world: World, engine: Engine, mute: Producer) -> None:
    """The VM is seen on another host: what concerns the VM follows it, this does not."""
    vm = world.vm()
    deletion, creation = ask(mute, volume(world, vm)), world.job(vm)
    with transaction(engine) as session:
        record_host(session, HostSeen("h2", "9.0.0", "7.2.0", 8, 1 << 33, (seen_vm(vm),)))
        record_host(session, HostSeen("h1", "9.0.0", "7.2.0", 8, 1 << 33, ()))
    assert world.row(creation).host_id == world.host("h2")
    assert world.row(deletion).host_id == world.host("h1")
    later = ask(mute, volume(world, vm))
    assert world.row(later).host_id == world.host("h1")


def test_one_in_error_goes_with_what_its_extraction_left(
    world: World, engine: Engine, mute: Producer
) -> None:
    """Where it would have been is known from the steps of its extraction, if that had come so far."""
    vm = world.vm()
    extraction = world.job(vm, "extract_volume")
    journal = Journal(engine)
    attempt = journal.claim(extraction, worker="h1/w", lease_s=30, host="h1")
    assert attempt is not None
    attempt.start("check_snapshot")
    attempt.finish("check_snapshot", {"path": PATH}, then="copy_volume")
    attempt.fail({"code": "storage.full", "detail": "full"}, None, cancelled=False)
    assert attempt.volume_snapshot_id is not None
    for id_, path in (
        (attempt.volume_snapshot_id, PATH),
        (volume(world, vm, VolumeSnapshotState.ERROR), None),
    ):
        job = ask(mute, id_)
        deletion = journal.claim(job, worker="h1/w", lease_s=30, host="h1")
        assert deletion is not None
        assert deletion.volume_path == path
        deletion.succeed({"freed_bytes": 0}, None)
        assert world.volume_row(id_).state is VolumeSnapshotState.DELETED


def test_what_is_not_there_or_goes_already_is_refused(world: World, mute: Producer) -> None:
    """One that is being made, one that is deleted, one that is to be deleted, and none at all."""
    vm = world.vm()
    for state in (VolumeSnapshotState.CREATING, VolumeSnapshotState.DELETED):
        with pytest.raises(VolumeSnapshotNotReady, match=state.value):
            ask(mute, volume(world, vm, state))
    id_ = volume(world, vm)
    job = ask(mute, id_)
    with pytest.raises(VolumeDeletionAsked, match=str(job)):
        ask(mute, id_)
    with pytest.raises(VolumeSnapshotNotFound):
        ask(mute, vm)
    assert world.count(Job) == 1


def test_a_deletion_that_ends_in_any_other_way_leaves_the_row(
    world: World, engine: Engine, mute: Producer
) -> None:
    """Cancelled in the line, failed, or closed while nobody can look: the volume is what it was, and can be asked for again."""
    journal, id_ = Journal(engine), volume(world, world.vm())
    journal.request_cancel(ask(mute, id_), "kim")
    error = {"code": "volume_snapshot.in_use", "detail": "VM web has it"}
    failed = journal.claim(ask(mute, id_), worker="h1/w", lease_s=30, host="h1")
    assert failed is not None
    failed.fail(error, None, cancelled=False)
    stuck = journal.claim(ask(mute, id_), worker="h1/w", lease_s=30, host="h1")
    assert stuck is not None
    stuck.start("check_volume")
    stuck.stuck(error, None, {})
    with transaction(engine) as session:
        session.execute(update(Job).where(Job.id == stuck.job_id).values(worker=None))
    _silence(world)
    recover(engine, stuck.job_id, Way.MARK_DONE, "kim", "the host is scrap")
    assert world.row(stuck.job_id).state is JobState.FAILED
    assert world.volume_row(id_).state is VolumeSnapshotState.READY
    ask(mute, id_)


def _silence(world: World) -> None:
    with transaction(world.engine) as session:
        session.execute(update(Host).values(last_seen_at="2020-01-01T00:00:00Z"))
