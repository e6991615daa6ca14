"""Snapshots whose time is over are asked to be deleted, once, and only where nothing speaks against it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, update

from models.events.tables import Event
from models.hosts.tables import Host
from models.jobs.tables import SCHEDULED, Job
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.tenants.actor import ADMIN
from stillframe.operations import CreateSnapshot, ExtractVolume
from stillframe.states import JobState, SnapshotState
from tasks.app import make_app
from tasks.expired import ask_for_deletions
from tasks.producer import Producer
from tests.world import World

pytestmark = pytest.mark.postgres

OVER = datetime.now(UTC) - timedelta(minutes=1)


@pytest.fixture
def mute(engine: Engine) -> Producer:
    """Nothing is sent, so no broker is needed."""
    return Producer(engine, make_app("redis://127.0.0.1:1/0"))


def expire(engine: Engine, snapshot: UUID, **also: Any) -> UUID:
    """Its time is over."""
    with transaction(engine) as session:
        values = {"expires_at": OVER} | also
        session.execute(update(Snapshot).where(Snapshot.id == snapshot).values(values))
    return snapshot


def jobs(engine: Engine) -> list[Job]:
    with transaction(engine) as session:
        return list(session.scalars(select(Job).order_by(Job.created_at)))


def refusals(engine: Engine) -> list[str]:
    with transaction(engine) as session:
        return list(session.scalars(select(Event.message).where(Event.type == "snapshot.expiry_refused")))


def test_what_has_expired_is_deleted_behind_what_people_ask_for(
    world: World, engine: Engine, mute: Producer
) -> None:
    """One job each, scheduled, by `expiry`; also of one that failed; never of one whose time is to come."""
    vm = world.vm()
    ready, failed = world.snapshot(vm), world.snapshot(vm, state=SnapshotState.ERROR)
    ahead = expire(engine, world.snapshot(vm), expires_at=OVER + timedelta(days=1))
    for one in (ready, failed):
        expire(engine, one)
    with ThreadPoolExecutor(4) as threads:
        asked = sum(threads.map(lambda _: ask_for_deletions(engine, mute), range(4)))
    assert asked == 2
    found = jobs(engine)
    assert {job.snapshot_id for job in found} == {ready, failed}
    assert {(job.kind, job.priority, job.requested_by) for job in found} == {
        ("delete_snapshot", SCHEDULED, "expiry")
    }
    assert world.snapshot_row(ahead).state is SnapshotState.READY


def test_what_is_held_in_use_or_away_waits(world: World, engine: Engine, mute: Producer) -> None:
    """A hold, a job that reads it, a VM that is gone, one that is being made: nothing is asked and nothing told."""
    vm = world.vm()
    held = expire(engine, world.snapshot(vm), held=True, hold_reason="audit", held_by="kim")
    used = expire(engine, world.snapshot(vm))
    mute.submit(ExtractVolume(snapshot_id=str(used), target="vda"), ADMIN)
    expire(engine, world.snapshot(world.vm("gone", gone=True)))
    expire(engine, world.snapshot(vm, state=SnapshotState.CREATING))
    assert ask_for_deletions(engine, mute) == 0
    assert refusals(engine) == []

    with transaction(engine) as session:
        session.execute(update(Job).values(state=JobState.SUCCEEDED))
        session.execute(update(Snapshot).where(Snapshot.id == held).values(held_until=OVER))
    assert ask_for_deletions(engine, mute) == 2


def test_a_refusal_is_told_once_and_tried_again(world: World, engine: Engine, mute: Producer) -> None:
    """A drained host: one event, however often it is tried; once the host takes jobs again, it is deleted."""
    snapshot = expire(engine, world.snapshot(world.vm()))
    with transaction(engine) as session:
        session.execute(update(Host).values(drained_at=OVER, drained_by="kim", drain_reason="new disks"))
    for _ in range(3):
        assert ask_for_deletions(engine, mute) == 0
        _later(engine)
    (said,) = refusals(engine)
    assert "drained by kim" in said

    with transaction(engine) as session:
        session.execute(update(Host).values(drained_at=None))
    assert ask_for_deletions(engine, mute) == 1
    assert [job.snapshot_id for job in jobs(engine)] == [snapshot]


def test_a_deletion_that_failed_is_not_asked_for_at_every_tick(
    world: World, engine: Engine, mute: Producer
) -> None:
    """The next try comes after a while."""
    expire(engine, world.snapshot(world.vm()))
    assert ask_for_deletions(engine, mute) == 1
    with transaction(engine) as session:
        session.execute(update(Job).values(state=JobState.FAILED))
    assert ask_for_deletions(engine, mute) == 0
    _later(engine)
    assert ask_for_deletions(engine, mute) == 1


def test_the_time_may_be_a_length_of_time(world: World, mute: Producer) -> None:
    """`7d` from the moment it is asked for."""
    vm = world.vm()
    asked = mute.submit(CreateSnapshot(vm=str(vm), expires_at="7d"), ADMIN)
    expires_at = world.snapshot_row(asked.snapshot_id).expires_at
    assert expires_at is not None
    assert abs(expires_at - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=5)


def _later(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(update(Snapshot).values(expiry_tried_at=OVER - timedelta(hours=1)))
