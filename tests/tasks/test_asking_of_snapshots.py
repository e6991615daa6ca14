"""Asking something of a snapshot that exists: reverting, deleting, extracting."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from models.jobs.tables import Job
from models.tenants.actor import ADMIN
from stillframe.errors import (
    AfterNotForMemory,
    DeletionAsked,
    SnapshotNotFound,
    SnapshotNotReady,
    VmGone,
    VolumeNameTaken,
    VolumeNotFound,
)
from stillframe.operations import DeleteSnapshot, ExtractVolume, RevertSnapshot
from stillframe.states import SnapshotState, SnapshotType
from tasks.producer import Producer
from tests.world import World

pytestmark = [pytest.mark.postgres, pytest.mark.broker]


@pytest.mark.parametrize("kind", [RevertSnapshot, DeleteSnapshot])
def test_what_is_asked_of_a_snapshot_needs_a_snapshot(world: World, producer: Producer, kind: type) -> None:
    """An id that is none, or of none, is not found; one that is being made or was deleted is not ready."""
    vm = world.vm()
    for wrong in ("nonsense", str(vm), ""):
        with pytest.raises(SnapshotNotFound):
            producer.submit(kind(snapshot_id=wrong), ADMIN)
    for state in (SnapshotState.CREATING, SnapshotState.DELETED):
        with pytest.raises(SnapshotNotReady, match=state.value):
            producer.submit(kind(snapshot_id=str(world.snapshot(vm, state=state))), ADMIN)
    assert world.count(Job) == 0


def test_a_snapshot_in_error_can_only_be_deleted(world: World, producer: Producer) -> None:
    """Its deletion is taken, its revert is refused."""
    snapshot = str(world.snapshot(world.vm(), state=SnapshotState.ERROR))
    with pytest.raises(SnapshotNotReady):
        producer.submit(RevertSnapshot(snapshot_id=snapshot), ADMIN)
    producer.submit(DeleteSnapshot(snapshot_id=snapshot), ADMIN)


def test_a_snapshot_that_is_to_be_deleted_takes_no_more_requests(world: World, producer: Producer) -> None:
    """Of many deletions asked at once one is taken; the rest, and anything else, name the job that deletes it."""
    snapshot = str(world.snapshot(world.vm()))

    def ask(_: int) -> str:
        try:
            return str(producer.submit(DeleteSnapshot(snapshot_id=snapshot), ADMIN).job_id)
        except DeletionAsked:
            return "asked"

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(6)))
    assert answers.count("asked") == 5
    (job,) = set(answers) - {"asked"}
    for operation in (
        RevertSnapshot(snapshot_id=snapshot),
        ExtractVolume(snapshot_id=snapshot, target="vda"),
    ):
        with pytest.raises(DeletionAsked, match=job):
            producer.submit(operation, ADMIN)


def test_after_is_not_for_memory_snapshots(world: World, producer: Producer) -> None:
    """A memory snapshot always comes back running."""
    snapshot = str(world.snapshot(world.vm(), type_=SnapshotType.MEMORY))
    for after in ("start", "stop"):
        with pytest.raises(AfterNotForMemory):
            producer.submit(RevertSnapshot(snapshot_id=snapshot, after=after), ADMIN)
    producer.submit(RevertSnapshot(snapshot_id=snapshot), ADMIN)


def test_a_volume_is_extracted_by_a_target_that_exists(world: World, producer: Producer) -> None:
    """The refusal names the targets; the volume snapshot is named by the caller or by Stillframe, once."""
    snapshot = str(world.snapshot(world.vm(), targets=("vda", "vdb")))
    with pytest.raises(VolumeNotFound, match="vda, vdb"):
        producer.submit(ExtractVolume(snapshot_id=snapshot, target="vdc"), ADMIN)
    submitted = producer.submit(ExtractVolume(snapshot_id=snapshot, target="vdb", name="v1"), ADMIN)
    assert submitted.volume_snapshot_id is not None
    assert world.volume_row(submitted.volume_snapshot_id).target == "vdb"
    assert world.row(submitted.job_id).volume_snapshot_id == submitted.volume_snapshot_id
    with pytest.raises(VolumeNameTaken):
        producer.submit(ExtractVolume(snapshot_id=snapshot, target="vda", name="v1"), ADMIN)
    unnamed = producer.submit(ExtractVolume(snapshot_id=snapshot, target="vda"), ADMIN)
    assert world.row(unnamed.job_id).request["name"].startswith("vda-")


def test_nothing_can_be_asked_of_a_snapshot_whose_vm_is_gone(world: World, producer: Producer) -> None:
    """The refusal names the host that had it."""
    snapshot = str(world.snapshot(world.vm(gone=True, host="h3")))
    with pytest.raises(VmGone, match="h3"):
        producer.submit(RevertSnapshot(snapshot_id=snapshot), ADMIN)
