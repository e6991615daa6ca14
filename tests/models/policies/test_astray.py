"""The database's clock is far ahead and goes back: policies are not silent until that time comes."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select

from models.events.tables import Event
from models.policies.keep import add_policy, pause_policy
from models.policies.tables import Firing, FiringState, PolicySchedule, PolicyVm
from models.session import transaction
from models.tenants.actor import ADMIN
from stillframe.policies.as_json import policy_from_json
from tasks.housekeeping import mend_clocks
from tasks.policies import claim
from tests.clock import Clock
from tests.world import World

pytestmark = pytest.mark.postgres

NOON = datetime(2026, 5, 4, 12, 0, 30, tzinfo=UTC)
HOUR, YEAR = timedelta(hours=1), timedelta(days=365)


def add(engine: Engine, **schedule: Any) -> UUID:
    wish = {
        "name": "hourly",
        "selector": {"names": ["*"]},
        "schedules": [{"every": "1h"} | schedule],
        "retention": {"last": 3},
    }
    with transaction(engine) as session:
        return add_policy(session, policy_from_json(wish), ADMIN)


def next_at(engine: Engine) -> datetime | None:
    with transaction(engine) as session:
        return session.scalars(select(PolicySchedule.next_at)).one()


def fired(engine: Engine) -> Counter[datetime]:
    with transaction(engine) as session:
        return Counter(session.scalars(select(Firing.nominal_at).where(Firing.vm_id.is_not(None))))


def tick(engine: Engine, clock: Clock, *times: datetime) -> None:
    for at in times:
        clock.set(at)
        claim(engine)


@pytest.mark.parametrize("misfire", ["run_once", "run_all", "skip"])
@pytest.mark.parametrize("ahead", [2 * HOUR, YEAR, 20 * YEAR])
def test_a_clock_that_went_back_silences_nothing(
    world: World, engine: Engine, clock: Clock, ahead: timedelta, misfire: str
) -> None:
    """Hours, a year, twenty: it fires at the next hour again, says what happened, and no moment of a VM is there twice."""
    world.vm("web1"), world.vm("web2")
    clock.set(NOON - HOUR)
    add(engine, misfire=misfire)
    tick(engine, clock, NOON, NOON + ahead, NOON)
    assert (next_at(engine) or NOON) > NOON + ahead - HOUR
    assert mend_clocks(engine) == 1
    assert next_at(engine) == datetime(2026, 5, 4, 13, tzinfo=UTC)
    assert mend_clocks(engine) == 0
    tick(engine, clock, *(NOON + hours * HOUR for hours in range(1, 6)))
    found = fired(engine)
    assert {NOON.replace(second=0) + hours * HOUR for hours in range(1, 6)} <= set(found)
    assert set(found.values()) == {2}
    with transaction(engine) as session:
        (told,) = session.scalars(select(Event.message).where(Event.type == "policy.clock_went_back"))
        untrue = select(Firing.nominal_at).where(
            Firing.state == FiringState.MISSED, Firing.nominal_at > NOON + 6 * HOUR
        )
        assert session.scalars(untrue).all() == []
    assert "the database's clock went back" in told


def test_a_clock_that_is_put_right_by_little_mends_nothing(
    world: World, engine: Engine, clock: Clock
) -> None:
    """A minute ahead and back, as clocks are: the mark stays, and nothing fires twice."""
    world.vm("web1")
    clock.set(NOON - HOUR)
    add(engine)
    tick(engine, clock, NOON, NOON - timedelta(minutes=1))
    assert mend_clocks(engine) == 0
    tick(engine, clock, NOON + timedelta(minutes=1))
    assert set(fired(engine).values()) == {1}


def test_a_pause_with_an_end_is_no_clock_astray(world: World, engine: Engine, clock: Clock) -> None:
    """It has decided about times to come since a person said so."""
    world.vm("web1")
    clock.set(NOON)
    id_ = add(engine)
    with transaction(engine) as session:
        pause_policy(session, id_, ADMIN, NOON + 9 * timedelta(days=1))
    before = next_at(engine)
    assert mend_clocks(engine) == 0
    assert next_at(engine) == before


def test_what_is_known_of_vms_comes_back_too(world: World, engine: Engine, clock: Clock) -> None:
    """Failures count again, and its snapshots are looked through, as of now and not of a time to come."""
    vm = world.vm("web1")
    clock.set(NOON - HOUR)
    id_ = add(engine)
    tick(engine, clock, NOON, NOON + YEAR)
    with transaction(engine) as session:
        session.add(PolicyVm(policy_id=id_, vm_id=vm, last_good_at=NOON + YEAR, prune_due_at=NOON + YEAR))
    clock.set(NOON)
    mend_clocks(engine)
    with transaction(engine) as session:
        row = session.get_one(PolicyVm, (id_, vm))
    assert (row.last_good_at, row.prune_due_at) == (NOON, NOON)
