"""Firings of long ago are removed: what came to nothing, and what became of snapshots that are gone."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select

from models.policies import forget
from models.policies.keep import add_policy
from models.policies.tables import Firing, FiringState, PolicySchedule
from models.session import transaction
from models.tenants.actor import ADMIN
from stillframe.policies.as_json import policy_from_json
from stillframe.states import SnapshotState
from tasks.housekeeping import forget_firings
from tests.world import World

pytestmark = pytest.mark.postgres

WISH: dict[str, Any] = {
    "name": "nightly",
    "selector": {"names": ["*"]},
    "schedules": [{"every": "1d"}],
    "retention": {"last": 3},
}


@pytest.fixture
def policy(engine: Engine) -> UUID:
    """One that fires for all."""
    with transaction(engine) as session:
        return add_policy(session, policy_from_json(WISH), ADMIN)


def add(engine: Engine, policy: UUID, state: FiringState, days: float, **values: Any) -> UUID:
    """A firing that was written so many days ago, with an id of then."""
    at = datetime.now(UTC) - timedelta(days=days)
    rest = int.from_bytes(os.urandom(9)) & ((1 << 62) - 1)
    id_ = UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | rest)
    with transaction(engine) as session:
        schedule = session.scalars(select(PolicySchedule.id)).one()
        of = {"policy_id": policy, "schedule_id": schedule, "nominal_at": at, "due_at": at, "decided_at": at}
        session.add(Firing(id=id_, state=state, **of, **values))
    return id_


def left(engine: Engine) -> set[UUID]:
    with transaction(engine) as session:
        return set(session.scalars(select(Firing.id)))


def test_what_came_to_nothing_goes_after_its_time(world: World, engine: Engine, policy: UUID) -> None:
    """Missed, skipped, refused and failed ones of 401 days go; of 399 days they stay, and so does what waits or is stuck."""
    vm = world.vm("web1")
    over = [FiringState.MISSED, FiringState.SKIPPED, FiringState.REFUSED, FiringState.FAILED]
    going_on = [FiringState.WAITING, FiringState.ASKED, FiringState.STUCK]
    for number, state in enumerate(over):
        add(engine, policy, state, 401 + number, vm_id=vm)
    stay = {add(engine, policy, state, 399 - number, vm_id=vm) for number, state in enumerate(over)}
    stay |= {add(engine, policy, state, 500 + number, vm_id=vm) for number, state in enumerate(going_on)}
    assert forget_firings(engine, 400) == len(over)
    assert left(engine) == stay
    assert forget_firings(engine, 400) == 0


def test_what_has_a_snapshot_stays_as_long_as_that(world: World, engine: Engine, policy: UUID) -> None:
    """Two that succeeded two years ago: the one whose snapshot is deleted goes."""
    vm = world.vm("web1")
    there = world.job(vm, snapshot=world.snapshot(vm))
    gone = world.job(vm, snapshot=world.snapshot(vm, state=SnapshotState.DELETED))
    stays = add(engine, policy, FiringState.SUCCEEDED, 700, vm_id=vm, job_id=there)
    add(engine, policy, FiringState.SUCCEEDED, 701, vm_id=vm, job_id=gone)
    assert forget_firings(engine, 400) == 1
    assert left(engine) == {stays}


def test_a_bunch_goes_on_behind_what_stays(world: World, engine: Engine, policy: UUID) -> None:
    """Rows that stay stand among those that go: a small bunch passes over them, and is followed by the next."""
    vm = world.vm("web1")
    for number in range(9):
        state = FiringState.STUCK if number % 3 == 0 else FiringState.MISSED
        add(engine, policy, state, 500 - number, vm_id=vm)
    counts, behind = [], forget.BEGIN
    while True:
        with transaction(engine) as session:
            found = forget.forget(session, timedelta(days=400), behind, limit=2)
        counts.append(found.firings)
        if found.last is None:
            break
        behind = found.last
    assert sum(counts) == 6
    with transaction(engine) as session:
        assert session.scalar(select(func.count()).select_from(Firing)) == 3


def test_no_days_keep_them_for_ever(world: World, engine: Engine, policy: UUID) -> None:
    """0 is for ever."""
    add(engine, policy, FiringState.MISSED, 9000)
    assert forget_firings(engine, 0) == 0
    assert len(left(engine)) == 1
