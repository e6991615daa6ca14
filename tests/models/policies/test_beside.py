"""People change a policy while the ticks are at it: nobody waits in a circle, and nothing happens behind a pause."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, update

from models.jobs.tables import Job
from models.policies import turns
from models.policies.claim import claim_due
from models.policies.keep import add_policy, edit_policy, lock_policy, pause_policy, suspend_policy
from models.policies.prune import due, in_hand, look_again
from models.policies.settle import settle
from models.policies.tables import Firing, FiringState, PolicySchedule, PolicyVm
from models.session import transaction
from models.snapshots import holding
from models.snapshots.tables import Snapshot
from models.tenants.actor import ADMIN
from stillframe.errors import Invalid
from stillframe.policies.as_json import policy_from_json
from stillframe.states import JobState
from tests.world import World

pytestmark = pytest.mark.postgres

HOURLY: dict[str, Any] = {
    "name": "hourly",
    "selector": {"names": ["*"]},
    "schedules": [{"every": "1h"}],
    "retention": {"last": 3},
}
#: What waits for nobody is over by then, also on a busy machine.
FREE_S = 20.0


def policy(engine: Engine, **changes: Any) -> UUID:
    """One that is due since an hour."""
    with transaction(engine) as session:
        id_ = add_policy(session, policy_from_json(HOURLY | changes), ADMIN)
        ago = func.now() - timedelta(hours=1)
        session.execute(update(PolicySchedule).values(mark=ago, next_at=ago))
    return id_


def claim(engine: Engine) -> int:
    with transaction(engine) as session:
        return claim_due(session).firings


def pause(engine: Engine, id_: UUID, until: datetime | None = None) -> None:
    with transaction(engine) as session:
        pause_policy(session, id_, ADMIN, until)


def suspend(engine: Engine, id_: UUID) -> None:
    with transaction(engine) as session:
        suspend_policy(session, id_, "why")


def firings(engine: Engine) -> list[Firing]:
    with transaction(engine) as session:
        return list(session.scalars(select(Firing).where(Firing.vm_id.is_not(None))))


def beside(pool: ThreadPoolExecutor, what: Callable[..., Any], *args: Any) -> Future[Any]:
    """Begun, and given the time to come as far as it comes."""
    begun = pool.submit(what, *args)
    wait([begun], 1.0)
    return begun


def test_a_policy_that_is_being_changed_holds_up_no_tick(world: World, engine: Engine) -> None:
    """Its firings refer to it: that waits for nobody, who in turn might wait for its schedules."""
    world.vm()
    id_ = policy(engine)
    with ThreadPoolExecutor() as pool, transaction(engine) as session:
        lock_policy(session, id_)
        assert pool.submit(claim, engine).result(FREE_S) == 1


@pytest.mark.parametrize("end", [pause, suspend])
def test_what_falls_due_during_a_pause_does_not_go(world: World, engine: Engine, end: Any) -> None:
    """A tick writes its firings down at that very moment: they are skipped, and not let go behind the pause."""
    world.vm()
    id_ = policy(engine)
    with ThreadPoolExecutor() as pool:
        with transaction(engine) as session:
            claim_due(session)
            paused = beside(pool, end, engine, id_)
        paused.result(FREE_S)
    assert [one.state for one in firings(engine)] == [FiringState.SKIPPED]


def test_what_is_being_let_go_is_not_called_skipped(world: World, engine: Engine) -> None:
    """A pause waits until the job is there, and its firing says so: a job without its firing there is none."""
    world.vm()
    id_ = policy(engine)
    claim(engine)
    with ThreadPoolExecutor() as pool:
        with transaction(engine) as session:
            (one,) = turns.ready(session, turns.BEGIN).ready
            paused = beside(pool, pause, engine, id_)
            turns.decide(session, [turns.Decided(one.id, FiringState.REFUSED, "as it was decided")])
        paused.result(FREE_S)
    assert [(one.state, one.reason) for one in firings(engine)] == [
        (FiringState.REFUSED, "as it was decided")
    ]


def test_who_edits_and_who_settles_take_turns(world: World, engine: Engine) -> None:
    """Both touch the policy and what it knows of its VMs, in the same order."""
    vm = world.vm()
    id_ = policy(engine)
    claim(engine)
    job = world.job(vm)
    with transaction(engine) as session:
        session.execute(
            update(Job).where(Job.id == job).values(state=JobState.SUCCEEDED, finished_at=func.now())
        )
        session.execute(update(Firing).values(state=FiringState.ASKED, job_id=job))
        session.add(PolicyVm(policy_id=id_, vm_id=vm))

    def settled() -> int:
        with transaction(engine) as session:
            return settle(session)

    with ThreadPoolExecutor() as pool:
        with transaction(engine) as session:
            lock_policy(session, id_)
            other = beside(pool, settled)
            look_again(session, id_)
        assert other.result(FREE_S) == 1


def test_who_releases_a_snapshot_does_not_wait_in_a_circle(world: World, engine: Engine) -> None:
    """The tick has what the policy knows of the VM, and finds the snapshot in somebody's hand: it does not wait for it."""
    vm = world.vm()
    id_ = policy(engine)
    snapshot = world.snapshot(vm)
    with transaction(engine) as session:
        session.execute(update(Snapshot).values(policy_id=id_))
        session.add(PolicyVm(policy_id=id_, vm_id=vm, prune_due_at=func.now()))
    holding.hold(engine, snapshot, "why", None, ADMIN)
    with ThreadPoolExecutor() as pool:
        with transaction(engine) as session:
            assert len(due(session).items) == 1
            released = beside(pool, holding.release, engine, snapshot, ADMIN)
            assert in_hand(session, [snapshot])
        released.result(FREE_S)
    with transaction(engine) as session:
        assert not in_hand(session, [snapshot])


@pytest.mark.parametrize("how", ["shorter", "edited"])
def test_a_pause_that_ends_sooner_ends_then(world: World, engine: Engine, how: str) -> None:
    """A shorter pause, or an edit without any, takes the place of the longer one."""
    world.vm()
    id_ = policy(engine)
    now = datetime.now(UTC)
    pause(engine, id_, now + timedelta(days=9))
    if how == "shorter":
        pause(engine, id_, now + timedelta(days=1))
    else:
        with transaction(engine) as session:
            edit_policy(session, id_, policy_from_json(HOURLY), ADMIN)
    with transaction(engine) as session:
        at = session.scalars(select(PolicySchedule.next_at)).one()
    assert at is not None
    assert at <= now + timedelta(days=how == "shorter", hours=1, minutes=1)


def test_a_pause_that_is_over_is_refused(world: World, engine: Engine) -> None:
    """It would pause nothing, and say that it did."""
    world.vm()
    id_ = policy(engine)
    with pytest.raises(Invalid, match="is over"):
        pause(engine, id_, datetime.now(UTC) - timedelta(hours=1))
