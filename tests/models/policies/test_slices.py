"""What fell due is claimed in slices: bounded in rows, each committed by itself, and nothing fires twice or is left out."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select

from models.policies.claim import claim_due
from models.policies.keep import add_policy, pause_policy
from models.policies.tables import Firing, FiringState, PolicySchedule
from models.session import transaction
from models.tenants.actor import ADMIN
from stillframe.policies.as_json import policy_from_json
from tests.world import World

pytestmark = pytest.mark.postgres


def add(engine: Engine, *schedules: dict[str, Any], hours: float) -> UUID:
    """A policy whose schedules nobody has looked at for so long."""
    wish = {"name": "p", "selector": {"names": ["*"]}, "schedules": schedules, "retention": {"last": 3}}
    with transaction(engine) as session:
        id_ = add_policy(session, policy_from_json(wish), ADMIN)
        now = session.scalars(select(func.now())).one()
        for row in session.scalars(select(PolicySchedule)):
            row.mark = row.next_at = now - timedelta(hours=hours)
    return id_


def claimed(engine: Engine, rows: int) -> list[int]:
    """The rows that each slice wrote."""
    found = []
    while True:
        with transaction(engine) as session:
            done = claim_due(session, rows=rows)
        found.append(done.firings)
        if not done.more:
            return found


def by_instant(engine: Engine) -> Counter[Any]:
    of = select(Firing.nominal_at).where(Firing.vm_id.is_not(None))
    with transaction(engine) as session:
        return Counter(session.scalars(of))


def missed(engine: Engine) -> int:
    of = select(func.sum(Firing.moments)).where(Firing.state == FiringState.MISSED)
    with transaction(engine) as session:
        return int(session.scalar(of) or 0)


def still(engine: Engine) -> list[tuple[Any, ...]]:
    of = select(PolicySchedule.half_at, PolicySchedule.half_behind)
    with transaction(engine) as session:
        return [tuple(row) for row in session.execute(of)]


@pytest.mark.parametrize("rows", [1, 3, 7, 10, 11, 1000])
def test_a_long_silence_is_made_up_for_in_slices(world: World, engine: Engine, rows: int) -> None:
    """Ten VMs, six catch-ups of nine: a slice writes no more than its rows, and together they write each once."""
    for number in range(10):
        world.vm(f"web{number}")
    add(engine, {"every": "1h", "misfire": "run_all", "max_catch_up": 6}, hours=9)
    written = claimed(engine, rows)
    # What one schedule has missed is written together.
    assert max(written) <= rows + 3
    fired = by_instant(engine)
    assert (len(fired), set(fired.values())) == (6, {10})
    assert missed(engine) == 3
    assert still(engine) == [(None, None)]


def test_slices_by_several_at_once_fire_each_moment_once(world: World, engine: Engine) -> None:
    """Six threads take slices of four schedules as they come: each moment of each VM once, of a policy with few VMs too."""
    for number in range(7):
        world.vm(f"web{number}")
    add(engine, *({"every": f"{n}h", "misfire": "run_all"} for n in (1, 2, 5, 10)), hours=10)
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: claimed(engine, 5), range(6)))
    claimed(engine, 5)
    with transaction(engine) as session:
        rows = session.execute(select(Firing.schedule_id, Firing.nominal_at).where(Firing.vm_id.is_not(None)))
        fired = Counter(map(tuple, rows))
    assert (len(fired), set(fired.values())) == (10 + 5 + 2 + 1, {7})


def test_a_slice_that_was_the_last_for_a_while_is_gone_on_from(world: World, engine: Engine) -> None:
    """In the middle of an instant nobody looks for hours: it is ended first, for those VMs that it had not fired for."""
    for number in range(5):
        world.vm(f"web{number}")
    add(engine, {"every": "1h"}, hours=1)
    with transaction(engine) as session:
        assert claim_due(session, rows=3).more
    (first,) = by_instant(engine)
    with transaction(engine) as session:
        row = session.scalars(select(PolicySchedule)).one()
        assert row.half_at == first
    assert claimed(engine, 3) == [2]
    assert by_instant(engine) == {first: 5}


def test_a_change_in_the_middle_of_an_instant_ends_it_first(world: World, engine: Engine) -> None:
    """A policy is paused between two slices: what it had begun to fire has a row for each VM, and none goes."""
    for number in range(5):
        world.vm(f"web{number}")
    id_ = add(engine, {"every": "1h"}, hours=1)
    with transaction(engine) as session:
        claim_due(session, rows=3)
    with transaction(engine) as session:
        pause_policy(session, id_, ADMIN)
    assert set(by_instant(engine).values()) == {5}
    assert still(engine) == [(None, None)]
    with transaction(engine) as session:
        assert set(session.scalars(select(Firing.state))) == {FiringState.SKIPPED}
