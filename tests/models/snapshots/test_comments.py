"""What people say about a snapshot stays for as long as the snapshot does."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import pytest
from sqlalchemy import select

from models.events.tables import Comment
from models.jobs.attempt import Attempt
from models.jobs.journal import Journal
from models.session import transaction
from models.snapshots.words import comment, edit
from stillframe.errors import Cancelled, SnapshotNotFound
from stillframe.states import SnapshotState
from tests.world import World

pytestmark = pytest.mark.postgres

ERROR = {"code": "hypervisor.failed", "detail": "it broke", "remedy": "", "evidence": {}}


def say(world: World, snapshot: UUID, text: str = "before the upgrade") -> None:
    with transaction(world.engine) as session:
        comment(session, snapshot, text, "kim")


def said(world: World, snapshot: UUID) -> list[str]:
    with transaction(world.engine) as session:
        return list(session.scalars(select(Comment.text).where(Comment.snapshot_id == snapshot)))


def held(world: World, journal: Journal, snapshot: UUID, kind: str) -> Attempt:
    vm = world.snapshot_row(snapshot).vm_id
    attempt = journal.claim(world.job(vm, kind, snapshot=snapshot), worker="w", lease_s=30)
    assert attempt is not None
    return attempt


def test_comments_outlive_all_but_the_final_deletion(world: World, journal: Journal) -> None:
    """A rename, a revert, deletions that fail, are cancelled or get stuck leave them; the one that succeeds takes them."""
    snapshot, other = world.snapshot(vm := world.vm(), "s1"), world.snapshot(vm, "s2")
    say(world, snapshot)
    say(world, other, "of another")

    edit(world.engine, snapshot, {"name": "renamed", "tags": ["gold"]}, "kim")
    held(world, journal, snapshot, "revert_snapshot").succeed({}, None)
    held(world, journal, snapshot, "delete_snapshot").fail(ERROR, None)
    held(world, journal, snapshot, "delete_snapshot").fail(Cancelled().to_json(), None, cancelled=True)
    requeued = held(world, journal, snapshot, "delete_snapshot")
    requeued.requeue(ERROR)
    assert said(world, snapshot) == ["before the upgrade"]
    assert world.snapshot_row(snapshot).state is SnapshotState.READY

    world.due_now(requeued.job_id)
    again = journal.claim(requeued.job_id, worker="w", lease_s=30)
    assert again is not None
    assert said(world, snapshot) == ["before the upgrade"]
    again.succeed({"freed_bytes": 1}, None)
    assert world.snapshot_row(snapshot).state is SnapshotState.DELETED
    assert said(world, snapshot) == []
    assert said(world, other) == ["of another"]


def test_one_that_failed_keeps_its_comments_until_it_is_deleted(world: World, journal: Journal) -> None:
    """Also one in error can be said something about; when that row is deleted it is gone."""
    snapshot = world.snapshot(world.vm(), "s1", state=SnapshotState.ERROR)
    say(world, snapshot)
    held(world, journal, snapshot, "delete_snapshot").fail(ERROR, None)
    assert said(world, snapshot) == ["before the upgrade"]
    held(world, journal, snapshot, "delete_snapshot").succeed({}, None)
    assert said(world, snapshot) == []


def test_of_several_deleted_together_each_loses_its_own(world: World, journal: Journal) -> None:
    """In the transaction that deletes them."""
    vm = world.vm()
    gone = [world.snapshot(vm, name) for name in ("s1", "s2")]
    kept = world.snapshot(vm, "s3")
    for one in (*gone, kept):
        say(world, one)
    attempt = journal.claim(world.prune(vm, *gone), worker="w", lease_s=30)
    assert attempt is not None
    attempt.succeed({"freed_bytes": 1}, None)
    assert [said(world, one) for one in (*gone, kept)] == [[], [], ["before the upgrade"]]


def test_no_comment_comes_after_the_deletion(world: World, journal: Journal) -> None:
    """Who comments at the moment it is deleted is refused, or the comment goes with it."""
    for number in range(6):
        snapshot = world.snapshot(world.vm(f"vm{number}"), "s1")
        attempt, ready = held(world, journal, snapshot, "delete_snapshot"), Barrier(2)

        def speak(snapshot: UUID = snapshot, ready: Barrier = ready) -> None:
            ready.wait()
            try:
                say(world, snapshot)
            except SnapshotNotFound:
                return

        def end(attempt: Attempt = attempt, ready: Barrier = ready) -> None:
            ready.wait()
            attempt.succeed({}, None)

        with ThreadPoolExecutor(2) as pool:
            for waiting in [pool.submit(speak), pool.submit(end)]:
                waiting.result(60)
        assert said(world, snapshot) == []
