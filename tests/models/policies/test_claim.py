"""Due schedules become firings: each moment of each VM once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, update

from models.policies.claim import claim_due
from models.policies.keep import (
    add_policy,
    delete_policy,
    edit_policy,
    pause_policy,
    resume_policy,
    suspend_policy,
)
from models.policies.tables import Firing, FiringState, PolicySchedule
from models.session import transaction
from models.tenants.actor import ADMIN
from models.vms.tables import Vm
from stillframe.policies.as_json import policy_from_json
from tests.world import World

pytestmark = pytest.mark.postgres

HOURLY: dict[str, Any] = {
    "name": "hourly",
    "selector": {"names": ["web*"]},
    "schedules": [{"every": "1h"}],
    "retention": {"last": 3},
}


def policy(engine: Engine, **changes: Any) -> UUID:
    with transaction(engine) as session:
        return add_policy(session, policy_from_json(HOURLY | changes), ADMIN)


def ago(engine: Engine, hours: float) -> None:
    """Lets the last look at all schedules be so long ago."""
    with transaction(engine) as session:
        now = session.scalars(select(func.now())).one()
        for row in session.scalars(select(PolicySchedule).where(PolicySchedule.next_at.is_not(None))):
            row.mark = now - timedelta(hours=hours)
            row.next_at = row.mark


def claim(engine: Engine) -> tuple[int, int]:
    with transaction(engine) as session:
        done = claim_due(session)
    return done.schedules, done.firings


def firings(engine: Engine, *states: FiringState) -> list[Firing]:
    wanted = select(Firing).order_by(Firing.nominal_at, Firing.vm_id)
    with transaction(engine) as session:
        return list(session.scalars(wanted.where(Firing.state.in_(states)) if states else wanted))


def test_a_due_moment_fires_for_each_vm_that_is_meant(world: World, engine: Engine) -> None:
    """The VMs are those that match when it fires; the next moment is set, and nothing is due any more."""
    web, also = world.vm("web1"), world.vm("web2")
    world.vm("db1")
    world.vm("web3", gone=True)
    policy(engine)
    assert claim(engine) == (0, 0)
    ago(engine, 1)
    assert claim(engine) == (1, 2)
    rows = firings(engine)
    assert {row.vm_id for row in rows} == {web, also}
    assert all(row.state is FiringState.WAITING and row.due_at == row.nominal_at for row in rows)
    assert claim(engine) == (0, 0)


def test_two_who_look_at_once_fire_each_moment_once(world: World, engine: Engine) -> None:
    """Eight threads claim ten schedules of three VMs: thirty firings, whoever wrote them."""
    for number in range(3):
        world.vm(f"web{number}")
    for number in range(10):
        policy(engine, name=f"p{number}")
    ago(engine, 1)
    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(lambda _: claim(engine), range(8)))
    assert sum(schedules for schedules, _ in done) == 10
    assert len(firings(engine)) == 30


def test_a_claim_that_is_repeated_with_an_old_mark_writes_nothing(world: World, engine: Engine) -> None:
    """A database set back by a moment, or a beat that saw old rows, cannot fire a moment again."""
    world.vm("web1")
    policy(engine)
    ago(engine, 3)
    _, first = claim(engine)
    with transaction(engine) as session:
        session.execute(
            update(PolicySchedule).values(
                mark=PolicySchedule.mark - timedelta(hours=3), next_at=PolicySchedule.mark
            )
        )
    assert claim(engine)[1] == 0
    assert len(firings(engine)) == first


def test_missed_moments_are_rows(world: World, engine: Engine) -> None:
    """After five hours of silence the newest fires and four say that nobody looked."""
    world.vm("web1")
    policy(engine)
    ago(engine, 5)
    claim(engine)
    assert len(firings(engine, FiringState.WAITING)) == 1
    missed = firings(engine, FiringState.MISSED)
    assert len(missed) == 4
    assert all("nobody looked" in (row.reason or "") for row in missed)


def test_a_selector_that_matches_nothing_says_so(engine: Engine) -> None:
    """No VM, and yet a row: silence at night is not an answer."""
    policy(engine)
    ago(engine, 1)
    claim(engine)
    (row,) = firings(engine)
    assert (row.state, row.vm_id) == (FiringState.SKIPPED, None)


def test_jitter_spreads_the_turns(world: World, engine: Engine) -> None:
    """Each VM's turn comes within the jitter after the nominal instant, not all at once."""
    for number in range(20):
        world.vm(f"web{number:02}")
    policy(engine, schedules=[{"every": "1h", "jitter_s": 1800}])
    ago(engine, 1)
    claim(engine)
    delays = {row.due_at - row.nominal_at for row in firings(engine)}
    assert len(delays) > 10
    assert max(delays) < timedelta(minutes=30)


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({"names": ["web?"]}, {"web1", "web2"}),
        ({"names": ["w_b1"]}, set()),
        ({"names": ["*"], "tags": ["prod", "gold"]}, {"web1", "db1"}),
        ({"host": "h2"}, {"db1"}),
        ({"account": "admin"}, {"web1", "web2", "db1"}),
        ({"domain": "/"}, {"web1", "web2", "db1"}),
        ({"tags": ["none"]}, set()),
    ],
)
def test_a_selector_means_what_it_says(
    world: World, engine: Engine, selector: dict[str, Any], names: set[str]
) -> None:
    """Patterns, tags, host, account and domain; all that are given have to match."""
    vms = {world.vm("web1"): "web1", world.vm("web2"): "web2", world.vm("db1", host="h2"): "db1"}
    with transaction(engine) as session:
        session.execute(update(Vm).where(Vm.name == "web1").values(tags=["prod"]))
        session.execute(update(Vm).where(Vm.name == "db1").values(tags=["gold", "x"]))
    policy(engine, selector=selector)
    ago(engine, 1)
    claim(engine)
    assert {vms[row.vm_id] for row in firings(engine) if row.vm_id} == names


def test_ids_choose_those_vms_alone(world: World, engine: Engine) -> None:
    """A policy for two VMs by id fires for those of them that are there."""
    one, gone = world.vm("web1"), world.vm("web2", gone=True)
    world.vm("web3")
    policy(engine, selector={"ids": [str(one), str(gone)]})
    ago(engine, 1)
    claim(engine)
    assert [row.vm_id for row in firings(engine)] == [one]


def test_what_is_paused_suspended_or_deleted_does_not_fire(world: World, engine: Engine) -> None:
    """And when it is resumed it does not make up for the time it stood still."""
    world.vm("web1")
    paused, suspended, deleted = (policy(engine, name=name) for name in ("a", "b", "c"))
    with transaction(engine) as session:
        pause_policy(session, paused, ADMIN)
        suspend_policy(session, suspended, "four failures")
        delete_policy(session, deleted, ADMIN)
    ago(engine, 9)
    assert claim(engine) == (0, 0)
    with transaction(engine) as session:
        resume_policy(session, paused, ADMIN)
        resume_policy(session, suspended, ADMIN)
    assert claim(engine) == (0, 0)
    with transaction(engine) as session:
        rows = session.scalars(select(PolicySchedule).where(PolicySchedule.policy_id != deleted)).all()
        assert all(row.next_at and row.next_at > datetime.now(UTC) - timedelta(minutes=1) for row in rows)


def test_a_pause_has_an_end(world: World, engine: Engine) -> None:
    """Paused until a time, it fires at its first moment after that."""
    world.vm("web1")
    id_ = policy(engine)
    until = datetime.now(UTC) + timedelta(days=3)
    with transaction(engine) as session:
        pause_policy(session, id_, ADMIN, until)
        (row,) = session.scalars(select(PolicySchedule)).all()
        assert row.next_at is not None
        assert until < row.next_at <= until + timedelta(hours=1)


def test_an_edit_keeps_the_place_of_what_it_does_not_change(world: World, engine: Engine) -> None:
    """A schedule that stays keeps its mark; a new one begins now; one that goes fires what was due before it went."""
    world.vm("web1")
    id_ = policy(engine, schedules=[{"every": "1h"}, {"every": "2h"}])
    ago(engine, 6)
    wish = policy_from_json(HOURLY | {"schedules": [{"every": "1h"}, {"every": "3h"}]})
    with transaction(engine) as session:
        edit_policy(session, id_, wish, ADMIN)
    assert claim(engine)[0] == 0
    waits, missed = firings(engine, FiringState.WAITING), firings(engine, FiringState.MISSED)
    assert len({row.schedule_id for row in waits}) == 2
    assert sum(row.moments for row in missed) == 5 + 2
    with transaction(engine) as session:
        marks = session.scalars(select(PolicySchedule.mark).where(PolicySchedule.retired_at.is_(None)))
        assert all(
            now - mark < timedelta(hours=1, minutes=1) for now in [datetime.now(UTC)] for mark in marks
        )


@pytest.mark.parametrize("change", [pause_policy, resume_policy, delete_policy])
def test_what_was_due_before_a_change_is_a_row(world: World, engine: Engine, change: Any) -> None:
    """Nobody had looked for three hours when it was paused, resumed or deleted: each hour has its row all the same."""
    world.vm("web1")
    id_ = policy(engine)
    ago(engine, 3)
    with transaction(engine) as session:
        change(session, id_, ADMIN)
    assert sum(row.moments for row in firings(engine)) == 3
    waits = len(firings(engine, FiringState.WAITING))
    assert waits == (1 if change is resume_policy else 0)
