"""What policies do not keep is asked to be deleted: what the preview says, together, once, and not all at the same time."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, update

from models.events.tables import Event
from models.ids import new_id
from models.jobs.journal import Journal
from models.jobs.tables import SCHEDULED, Job, JobSnapshot
from models.policies.keep import (
    add_policy,
    delete_policy,
    edit_policy,
    pause_policy,
    resume_policy,
    suspend_policy,
)
from models.policies.prune import look_again
from models.policies.tables import Policy, PolicyVm
from models.queries.policy_preview import preview
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.tenants.actor import ADMIN
from models.vms.tables import Vm
from stillframe.errors import SnapshotLost
from stillframe.policies.as_json import policy_from_json
from stillframe.states import JobState, SnapshotState
from tasks import pruning
from tasks.app import make_app
from tasks.producer import Producer
from tests.world import World

pytestmark = pytest.mark.postgres


def wish(**changes: Any) -> Any:
    known = {
        "name": "hourly",
        "selector": {"names": ["*"]},
        "schedules": [{"every": "1h"}],
        "retention": {"last": 2},
    }
    return policy_from_json(known | changes)


def prune(engine: Engine) -> int:
    """As the tick does; nothing is sent, so no broker is needed."""
    return pruning.prune(engine, Producer(engine, make_app("redis://127.0.0.1:1/0")))


def add(engine: Engine, **changes: Any) -> UUID:
    with transaction(engine) as session:
        return add_policy(session, wish(**changes), ADMIN)


def keep(
    world: World, vm: UUID, policy: UUID, *ages_h: float, state: str = "ready", **values: Any
) -> list[UUID]:
    """Snapshots of a policy, so many hours old."""
    ids = [world.snapshot(vm, state=SnapshotState(state)) for _ in ages_h]
    with transaction(world.engine) as session:
        for id_, age in zip(ids, ages_h, strict=True):
            session.execute(
                update(Snapshot)
                .where(Snapshot.id == id_)
                .values(policy_id=policy, created_at=func.now() - timedelta(hours=age), **values)
            )
    due(world.engine, policy, vm)
    return ids


def due(engine: Engine, policy: UUID, vm: UUID) -> None:
    """As when one of its snapshots has just become ready."""
    with transaction(engine) as session:
        session.merge(PolicyVm(policy_id=policy, vm_id=vm))
        session.flush()
        look_again(session, policy, vm)


def due_at(engine: Engine, vm: UUID) -> datetime | None:
    with transaction(engine) as session:
        return session.scalars(select(PolicyVm.prune_due_at).where(PolicyVm.vm_id == vm)).one()


def asked(engine: Engine) -> list[tuple[Job, set[UUID]]]:
    """The jobs that delete several, with what."""
    with transaction(engine) as session:
        jobs = session.scalars(select(Job).where(Job.kind == "prune_snapshots").order_by(Job.created_at))
        of = select(JobSnapshot.snapshot_id)
        return [(job, set(session.scalars(of.where(JobSnapshot.job_id == job.id)))) for job in jobs]


def end(engine: Engine, state: JobState, ago: timedelta = timedelta(0)) -> None:
    """All jobs have ended so."""
    with transaction(engine) as session:
        session.execute(update(Job).values(state=state, finished_at=func.now() - ago))


def test_what_goes_is_one_job_a_vm(world: World, engine: Engine) -> None:
    """Behind what people wait for, in the policy's name, with the reason of each told; asked once by many at the same time."""
    policy, vms = add(engine, guards={"max_per_host": 9}), [world.vm("a"), world.vm("b")]
    made = {vm: keep(world, vm, policy, 4, 3, 2, 1) for vm in vms}
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: prune(engine), range(4))) == 2
    jobs = asked(engine)
    assert {job.vm_id: gone for job, gone in jobs} == {vm: set(made[vm][:2]) for vm in vms}
    assert {(job.priority, job.requested_by) for job, _ in jobs} == {(SCHEDULED, "policy:hourly")}
    with transaction(engine) as session:
        told = session.execute(
            select(Event.snapshot_id, Event.message).where(Event.type == "snapshot.condemned")
        )
        assert {row[0]: row[1] for row in told} == dict.fromkeys(
            {one for ids in made.values() for one in ids[:2]}, "no rule keeps it"
        )
    assert prune(engine) == 0


def test_nothing_goes_while_a_deletion_of_the_vm_is_not_over(world: World, engine: Engine) -> None:
    """It is looked at again later, and then asked."""
    policy, vm = add(engine), world.vm()
    keep(world, vm, policy, 3, 2, 1)
    assert prune(engine) == 1
    keep(world, vm, policy, 0.5)
    assert prune(engine) == 0
    assert (due_at(engine, vm) or datetime.min.replace(tzinfo=UTC)) > datetime.now(UTC)
    with transaction(engine) as session:
        gone = set(session.scalars(select(JobSnapshot.snapshot_id)))
        session.execute(update(Snapshot).where(Snapshot.id.in_(gone)).values(state=SnapshotState.DELETED))
    end(engine, JobState.SUCCEEDED)
    due(engine, policy, vm)
    assert prune(engine) == 1


def test_the_caps_count_it(world: World, engine: Engine) -> None:
    """Two scheduled jobs a host at once, whatever they are; the rest has its turn later."""
    policy = add(engine)
    for name in ("a", "b", "c"):
        keep(world, world.vm(name), policy, 3, 2, 1)
    world.job(world.vm("other"), priority=SCHEDULED)
    assert prune(engine) == 1
    assert prune(engine) == 0
    end(engine, JobState.SUCCEEDED)
    with transaction(engine) as session:
        look_again(session, policy)
        session.execute(update(Snapshot).where(Snapshot.state == "deleting").values(state="deleted"))
    assert prune(engine) == 2


def test_who_has_no_room_comes_again_in_turn(world: World, engine: Engine) -> None:
    """Of twelve VMs on a host with room for two, the last need not be looked at each time there might be room."""
    policy = add(engine)
    for number in range(12):
        keep(world, world.vm(f"v{number}"), policy, 3, 2, 1)
    assert prune(engine) == 2
    with transaction(engine) as session:
        asked = {job.vm_id for job in session.scalars(select(Job))}
        waits = session.execute(
            select(PolicyVm.vm_id, func.extract("epoch", PolicyVm.prune_due_at - func.now()))
        )
        seconds = sorted(round(float(row[1]), -1) for row in waits if row[0] not in asked)
    assert seconds == [10, 20, 20, 30, 30, 40, 40, 50, 50, 60]


@pytest.mark.parametrize("how", ["paused", "suspended", "deleted", "gone", "blackout"])
def test_a_policy_that_stands_still_prunes_nothing(world: World, engine: Engine, how: str) -> None:
    """Nothing is asked, and the row does not stay due: an idle tick has nothing to pass over."""
    always = [{"begin": "00:00", "end": "12:00"}, {"begin": "12:00", "end": "00:00"}]
    policy = add(engine, **{"blackouts": always} if how == "blackout" else {})
    vm = world.vm()
    keep(world, vm, policy, 3, 2, 1)
    with transaction(engine) as session:
        if how == "paused":
            pause_policy(session, policy, ADMIN)
        elif how == "deleted":
            delete_policy(session, policy, ADMIN)
        elif how == "suspended":
            session.execute(update(Policy).values(suspended_at=func.now()))
        elif how == "gone":
            session.get_one(Vm, vm).gone = True
    assert prune(engine) == 0
    at = due_at(engine, vm)
    assert (
        at is None if how in {"paused", "suspended", "deleted"} else at is not None and at > datetime.now(UTC)
    )
    if how == "paused":
        with transaction(engine) as session:
            resume_policy(session, policy, ADMIN)
        assert prune(engine) == 1


def test_a_policy_that_keeps_less_by_now_prunes_at_once(world: World, engine: Engine) -> None:
    """An edit of its retention is reason to look."""
    policy, vm = add(engine, retention={"last": 9}), world.vm()
    ids = keep(world, vm, policy, 3, 2, 1)
    assert prune(engine) == 0
    assert due_at(engine, vm) is None
    with transaction(engine) as session:
        edit_policy(session, policy, wish(retention={"last": 1}), ADMIN)
    assert prune(engine) == 1
    assert asked(engine)[0][1] == set(ids[:2])


def test_what_goes_by_age_is_looked_at_when_its_time_comes(world: World, engine: Engine) -> None:
    """Nothing new happens, and yet it goes: an hour after the one before."""
    policy, vm = add(engine, retention={"within": "4h"}), world.vm()
    ids = keep(world, vm, policy, 3.5, 2, 1)
    assert prune(engine) == 0
    at = due_at(engine, vm)
    assert at is not None
    assert timedelta(minutes=29) < at - datetime.now(UTC) < timedelta(minutes=31)
    with transaction(engine) as session:
        session.execute(update(Snapshot).values(created_at=Snapshot.created_at - timedelta(hours=0.5)))
        session.execute(update(PolicyVm).values(prune_due_at=PolicyVm.prune_due_at - timedelta(hours=0.5)))
    assert prune(engine) == 1
    assert asked(engine)[0][1] == {ids[0]}


def test_after_an_outage_nothing_goes_by_age(world: World, engine: Engine) -> None:
    """Until there is a new good one; then all that is too old goes."""
    policy, vm = add(engine, retention={"within": "4h"}), world.vm()
    ids = keep(world, vm, policy, 30, 29, 28)
    assert prune(engine) == 0
    keep(world, vm, policy, 0)
    assert prune(engine) == 1
    assert asked(engine)[0][1] == set(ids)


def test_what_failed_goes_once_there_is_a_newer_good_one(world: World, engine: Engine) -> None:
    """Before, it is kept to be looked at; one that was lost on its host is never taken for it."""
    policy, vm = add(engine), world.vm()
    failed = keep(world, vm, policy, 2, state="error", error={"code": "vm.busy"})
    lost = keep(world, vm, policy, 2, state="error", error={"code": SnapshotLost.code})
    keep(world, vm, policy, 5)
    assert prune(engine) == 0
    keep(world, vm, policy, 1)
    assert prune(engine) == 1
    assert asked(engine)[0][1] == set(failed)
    assert lost[0] not in asked(engine)[0][1]


def test_a_deletion_that_failed_is_asked_again_later_each_time(world: World, engine: Engine) -> None:
    """Not at once, and each time after a longer wait."""
    policy, vm = add(engine), world.vm()
    keep(world, vm, policy, 3, 2, 1)
    for waits in (timedelta(minutes=5), timedelta(minutes=10), timedelta(minutes=20)):
        due(engine, policy, vm)
        assert prune(engine) == 1
        end(engine, JobState.FAILED, ago=waits - timedelta(seconds=30))
        due(engine, policy, vm)
        assert prune(engine) == 0
        end(engine, JobState.FAILED, ago=waits + timedelta(seconds=30))


def test_a_refusal_is_told_once(world: World, engine: Engine) -> None:
    """A host that takes no jobs: nothing is asked, it is looked at again later, and people hear of it."""
    policy, vm = add(engine), world.vm()
    keep(world, vm, policy, 3, 2, 1)
    with transaction(engine) as session:
        session.get_one(Vm, vm).traits = {"persistent": False}
    for _ in range(2):
        assert prune(engine) == 0
        due(engine, policy, vm)
    assert world.events().count("policy.prune_refused") == 1
    assert world.last_event().vm_id == vm


#: Whatever the rules keep, no guard of the policy is in the way.
_DEEP = {"max_depth": 200}


@pytest.mark.parametrize("part", range(4))
def test_the_preview_is_what_the_prune_does(world: World, engine: Engine, part: int) -> None:
    """Whatever the rules and the snapshots: what is shown to go is asked for, begun and deleted, and nothing else."""
    chance = random.Random(new_id().hex + str(part))
    for number in range(6):
        policy, vm = (
            add(engine, name=f"p{number}", retention=_retention(chance), guards=_DEEP),
            world.vm(f"v{number}"),
        )
        for age in sorted({round(chance.expovariate(1 / 60), 2) for _ in range(chance.randint(1, 14))}):
            hold: dict[str, Any] = (
                {"held": True, "hold_reason": "why", "held_by": "kim"} if chance.random() < 0.1 else {}
            )
            keep(
                world,
                vm,
                policy,
                age,
                state=chance.choice(["ready"] * 8 + ["error", "creating"]),
                **hold,
            )
        with engine.connect() as connection:
            (shown,) = preview(connection, policy, 1)["vms"]
        goes = {one["id"] for one in shown["snapshots"] if not one["keep"]}
        assert prune(engine) == bool(goes), shown
        if goes:
            job, found = asked(engine)[-1]
            assert found == goes, shown
            attempt = Journal(engine).claim(job.id, worker="h1:1:1:1", lease_s=60)
            assert attempt, world.row(job.id).error
            assert (set(attempt.about), world.spared(job.id)) == (goes, {}), shown
            attempt.succeed({"freed_bytes": 0}, None)
            with engine.connect() as connection:
                (shown,) = preview(connection, policy, 1)["vms"]
            assert all(one["keep"] for one in shown["snapshots"])


def _retention(chance: random.Random) -> dict[str, Any]:
    rules = {
        name: chance.randint(1, 4) for name in ("last", "hourly", "daily", "weekly") if chance.random() < 0.4
    }
    if chance.random() < 0.4:
        rules["within"] = f"{chance.randint(1, 150)}h"  # type: ignore[assignment]
    if chance.random() < 0.3:
        rules["max_count"] = chance.randint(5, 9)
    return rules | ({"min_keep": 3} if chance.random() < 0.3 else {})


def test_one_policy_that_cannot_be_read_stops_no_other(world: World, engine: Engine) -> None:
    """Its timezone is gone from the host: that is told, and the others prune."""
    gone, other = add(engine, name="gone"), add(engine, name="other")
    vms = {policy: world.vm(name) for policy, name in ((gone, "a"), (other, "b"))}
    for policy, vm in vms.items():
        keep(world, vm, policy, 3, 2, 1)
    with transaction(engine) as session:
        row = session.get_one(Policy, gone)
        row.spec = row.spec | {"schedules": [{**row.spec["schedules"][0], "timezone": "US/Gone"}]}
    assert prune(engine) == 1
    assert {job.vm_id for job, _ in asked(engine)} == {vms[other]}
    assert world.events().count("policy.prune_refused") == 1


@pytest.mark.parametrize("how", ["paused", "paused until", "suspended"])
def test_a_pause_spares_what_waits_to_be_deleted(world: World, engine: Engine, how: str) -> None:
    """Who pauses a policy to keep what it has keeps also what it had asked to be deleted, if that has not begun."""
    policy, vm = add(engine), world.vm()
    keep(world, vm, policy, 3, 2, 1)
    assert prune(engine) == 1
    ((job, _),) = asked(engine)
    with transaction(engine) as session:
        if how == "suspended":
            suspend_policy(session, policy, "why")
        else:
            until = datetime.now(UTC) + timedelta(hours=1) if how == "paused until" else None
            pause_policy(session, policy, ADMIN, until)
    assert Journal(engine).claim(job.id, worker="h1:1:1:1", lease_s=60) is None
    error = world.row(job.id).error
    assert error is not None
    assert "prunes nothing" in error["detail"]


def test_what_somebody_has_in_hand_is_not_waited_for(world: World, engine: Engine) -> None:
    """A tick holds rows of many VMs: who has one of the snapshots might wait for another."""
    policy, vm = add(engine), world.vm()
    first, *_ = keep(world, vm, policy, 3, 2, 1)
    with transaction(engine) as session:
        session.scalars(select(Snapshot).where(Snapshot.id == first).with_for_update()).one()
        with ThreadPoolExecutor() as pool:
            assert pool.submit(prune, engine).result(20) == 0
    at = due_at(engine, vm)
    assert at is not None
    assert at <= datetime.now(UTC) + timedelta(seconds=30)
