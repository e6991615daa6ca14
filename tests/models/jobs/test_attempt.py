"""What one hold of a job writes: steps, lease, and the end."""

from typing import Any

import pytest

from models.jobs.attempt import Attempt
from models.jobs.journal import Journal
from stillframe.errors import Cancelled, LostRace
from stillframe.states import JobState, SnapshotState, VolumeSnapshotState
from tests.world import World

pytestmark = pytest.mark.postgres

ERROR = {"code": "hypervisor.failed", "detail": "it broke", "remedy": "", "evidence": {}}


def held(world: World, journal: Journal, kind: str = "create_snapshot", **about: Any) -> Attempt:
    attempt = journal.claim(world.job(world.vm(), kind, **about), worker="w1", lease_s=30)
    assert attempt is not None
    return attempt


def test_steps_are_kept_in_order_with_their_outputs(world: World, journal: Journal) -> None:
    """Each start, finish and undo is a row and an event; a step begun again keeps its place."""
    attempt = held(world, journal)
    attempt.start("freeze")
    attempt.finish("freeze", {"ms": 3}, then="switch")
    attempt.turn_back(ERROR)
    attempt.undone("switch")
    attempt.start("freeze")
    assert world.row(attempt.job_id).phase == "freeze"
    assert world.events(attempt.job_id) == [
        "job.started",
        "step.started",
        "step.finished",
        "step.started",
        "job.turned_back",
        "step.undone",
        "step.started",
    ]
    world.lapse_now(attempt.job_id)
    again = journal.claim(attempt.job_id, worker="w2", lease_s=30)
    assert again is not None
    assert [(name, step.state.value, step.output) for name, step in again.steps.items()] == [
        ("freeze", "started", {"ms": 3}),
        ("switch", "undone", {}),
    ]


def test_renewing_holds_the_job_and_brings_progress_and_cancel(world: World, journal: Journal) -> None:
    """A renewal moves the lease, keeps the last progress given, and tells once a cancel is asked for."""
    attempt = held(world, journal)
    before = world.row(attempt.job_id).lease_until
    assert attempt.renew(60, {"done": 1, "total": 2}) is False
    assert attempt.renew(60, None) is False
    row = world.row(attempt.job_id)
    assert before is not None
    assert row.lease_until is not None
    assert row.lease_until > before
    assert row.progress == {"done": 1, "total": 2}
    assert journal.request_cancel(attempt.job_id, "kim") is JobState.RUNNING
    assert attempt.renew(60, None) is True
    journal.request_cancel(attempt.job_id, "kim")
    assert world.events(attempt.job_id) == ["job.started", "job.cancel_requested"]


def test_a_created_snapshot_is_ready_with_its_facts(world: World, journal: Journal) -> None:
    """Job, snapshot and both events change together."""
    attempt = held(world, journal)
    attempt.succeed(
        {"consistency": "filesystem", "pause_ms": 0, "freeze_ms": 41.5, "folder": "/f", "freed_bytes": 0},
        None,
    )
    row = world.snapshot_row(attempt.snapshot_id)
    assert (row.state, row.consistency, row.freeze_ms, row.folder) == (
        SnapshotState.READY,
        "filesystem",
        41.5,
        "/f",
    )
    assert row.ready_at is not None
    job = world.row(attempt.job_id)
    assert (job.state, job.lease_until) == (JobState.SUCCEEDED, None)
    assert job.finished_at is not None
    assert world.events(attempt.job_id) == ["job.started", "job.succeeded", "snapshot.ready"]


def test_an_extracted_volume_is_ready_with_its_facts(world: World, journal: Journal) -> None:
    """The volume snapshot gets path, sizes and checksum; the snapshot stays as it is."""
    attempt = held(world, journal, "extract_volume")
    attempt.succeed(
        {"path": "/v", "format": "qcow2", "virtual_bytes": 9, "size_bytes": 5, "sha256": "ab"}, None
    )
    assert attempt.volume_snapshot_id is not None
    row = world.volume_row(attempt.volume_snapshot_id)
    assert (row.state, row.path, row.size_bytes, row.sha256) == (VolumeSnapshotState.READY, "/v", 5, "ab")
    assert world.snapshot_row(attempt.snapshot_id).state is SnapshotState.READY
    assert world.events(attempt.job_id)[-1] == "volume.extracted"


def test_a_reverted_snapshot_is_ready_and_a_deleted_one_is_deleted(world: World, journal: Journal) -> None:
    """After a revert the snapshot is ready as before; a deleted one hands its children to its parent."""
    vm = world.vm()
    below = world.snapshot(vm)
    middle, top = world.snapshot(vm, parent=below), world.snapshot(vm)
    world.set_parent(top, middle)
    revert = journal.claim(world.job(vm, "revert_snapshot", snapshot=middle), worker="w1", lease_s=30)
    assert revert is not None
    revert.succeed({}, None)
    assert world.snapshot_row(middle).state is SnapshotState.READY
    deletion = journal.claim(world.job(vm, "delete_snapshot", snapshot=middle), worker="w1", lease_s=30)
    assert deletion is not None
    deletion.succeed({"freed_bytes": 7}, None)
    assert world.snapshot_row(middle).state is SnapshotState.DELETED
    assert world.snapshot_row(top).parent_id == below
    assert world.events(deletion.job_id)[-1] == "snapshot.deleted"


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("create_snapshot", SnapshotState.ERROR),
        ("revert_snapshot", SnapshotState.READY),
        ("delete_snapshot", SnapshotState.READY),
        ("extract_volume", SnapshotState.READY),
    ],
)
def test_a_failed_job_leaves_its_snapshot_as_before(
    world: World, journal: Journal, kind: str, state: SnapshotState
) -> None:
    """What was walked back is as it was; only what was being made is in error, and says why."""
    attempt = held(world, journal, kind)
    attempt.start("act")
    attempt.turn_back(ERROR)
    attempt.undone("act")
    attempt.fail(ERROR, None)
    job = world.row(attempt.job_id)
    assert (job.state, job.error) == (JobState.FAILED, ERROR)
    row = world.snapshot_row(attempt.snapshot_id)
    assert row.state is state
    assert row.error == (ERROR if state is SnapshotState.ERROR else None)
    if attempt.volume_snapshot_id is not None:
        assert world.volume_row(attempt.volume_snapshot_id).state is VolumeSnapshotState.ERROR


def test_a_refusal_before_anything_was_done_fails_at_once(world: World, journal: Journal) -> None:
    """A running job that did nothing ends as failed; it has turned back on the way, as the table of moves says."""
    attempt = held(world, journal)
    attempt.fail(ERROR, None)
    assert world.row(attempt.job_id).state is JobState.FAILED
    assert world.events(attempt.job_id) == ["job.started", "job.turned_back", "job.failed", "snapshot.failed"]


def test_a_cancelled_job_says_so(world: World, journal: Journal) -> None:
    """Its snapshot is in error with the code of a cancel."""
    attempt = held(world, journal)
    attempt.fail(Cancelled().to_json(), None, cancelled=True)
    assert world.row(attempt.job_id).state is JobState.CANCELLED
    error = world.snapshot_row(attempt.snapshot_id).error
    assert error is not None
    assert error["code"] == "job.cancelled"


def test_a_stuck_job_leaves_its_snapshot_in_the_middle(world: World, journal: Journal) -> None:
    """A revert that can go neither way never looks ready."""
    attempt = held(world, journal, "revert_snapshot")
    attempt.stuck(ERROR, None)
    assert world.row(attempt.job_id).state is JobState.STUCK
    assert world.snapshot_row(attempt.snapshot_id).state is SnapshotState.REVERTING


def test_a_job_ends_once(world: World, journal: Journal) -> None:
    """A second end is refused, and the first stands with its events."""
    attempt = held(world, journal)
    attempt.succeed({}, None)
    before = world.events()
    with pytest.raises(LostRace):
        attempt.succeed({}, None)
    assert world.events() == before


def test_the_last_step_is_written_with_the_end(world: World, journal: Journal) -> None:
    """A step with none after it is done, and told, in the transaction that ends the job."""
    attempt = held(world, journal, "revert_snapshot")
    attempt.start("bring_back")
    attempt.finish("bring_back", {"state": "running"}, then=None)
    attempt.succeed({}, None)
    assert world.events(attempt.job_id)[:4] == [
        "job.started",
        "step.started",
        "step.finished",
        "job.succeeded",
    ]
