"""A policy whose row cannot be read, damaged or of a newer version, stands still and says why; all others go on."""

import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, text, update

from models.jobs.tables import Job
from models.policies.keep import add_policy, resume_policy, run_policy
from models.policies.tables import Firing, FiringState, Policy, PolicySchedule, PolicyVm
from models.queries import policies as shown
from models.queries.paging import Wanted
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.tenants.actor import ADMIN
from stillframe.errors import Invalid
from stillframe.policies.as_json import policy_from_json
from tasks.app import make_app
from tasks.extracting import prune_volumes
from tasks.policies import claim, let_go
from tasks.producer import Producer
from tasks.pruning import prune
from tests.world import World

pytestmark = pytest.mark.postgres

WISH: dict[str, Any] = {
    "selector": {"names": ["*"]},
    "schedules": [{"every": "1h"}],
    "retention": {"last": 1},
    "guards": {"max_per_host": 100},
}
DAMAGES = {
    "a field that nobody knows": {"colour": "blue"},
    "no guards that are any": {"guards": "two"},
    "a cap in words": {"guards": {"max_per_host": "two", "max_per_storage": "two"}},
    "no time to start within": {"start_within_s": "soon"},
    "no schedules": {"schedules": []},
    "a mode to come": {"mode": "tepid"},
}


@pytest.fixture
def mute(engine: Engine) -> Producer:
    """Nothing is sent, so no broker is needed."""
    return Producer(engine, make_app("redis://127.0.0.1:1/0"))


@pytest.fixture(params=DAMAGES.values(), ids=list(DAMAGES))
def damage(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What stands in the row."""
    found: dict[str, Any] = request.param
    return found


def add(engine: Engine, name: str, **changes: Any) -> UUID:
    with transaction(engine) as session:
        return add_policy(session, policy_from_json(WISH | {"name": name} | changes), ADMIN)


def harm(engine: Engine, policy: UUID, spec: dict[str, Any]) -> None:
    with transaction(engine) as session:
        changed = "UPDATE policy SET spec = spec || cast(:spec AS jsonb) WHERE id = :id"
        session.execute(text(changed), {"spec": json.dumps(spec), "id": policy})


def due(engine: Engine) -> None:
    with transaction(engine) as session:
        ago = func.now() - func.make_interval(0, 0, 0, 0, 1)
        session.execute(update(PolicySchedule).values(mark=ago, next_at=ago))


def asked(engine: Engine) -> set[str]:
    with transaction(engine) as session:
        return set(session.scalars(select(Job.requested_by)))


def reason(engine: Engine, policy: UUID) -> str:
    with transaction(engine) as session:
        return session.get_one(Policy, policy).suspended_reason or ""


def test_it_keeps_no_other_from_firing(
    world: World, engine: Engine, mute: Producer, damage: dict[str, Any]
) -> None:
    """Claimed and let go in one batch with others: they have their jobs; it is suspended, and its firing says why."""
    world.vm("web1")
    bad, good = add(engine, "bad"), add(engine, "good")
    harm(engine, bad, damage)
    due(engine)
    claim(engine)
    let_go(engine, mute)
    assert asked(engine) == {"policy:good"}
    assert reason(engine, bad).startswith("what it asks for cannot be read here: ")
    assert reason(engine, good) == ""
    with transaction(engine) as session:
        waiting = select(Firing.policy_id).where(Firing.state == FiringState.WAITING)
        assert not session.scalars(waiting).all()


def test_it_keeps_no_other_from_being_let_go(world: World, engine: Engine, mute: Producer) -> None:
    """It was claimed and told to wait before its row was damaged: those behind it in the line go."""
    world.vm("web1")
    bad, good = add(engine, "bad"), add(engine, "good")
    with transaction(engine) as session:
        run_policy(session, bad, ADMIN)
        run_policy(session, good, ADMIN)
        session.execute(update(Firing).where(Firing.policy_id == bad).values(reason="no room yet"))
    harm(engine, bad, {"guards": {"max_per_host": "two"}})
    assert let_go(engine, mute) == 1
    assert asked(engine) == {"policy:good"}
    assert reason(engine, bad)
    with transaction(engine) as session:
        row = session.scalars(select(Firing).where(Firing.policy_id == bad)).one()
    assert row.state is FiringState.SKIPPED


def test_it_keeps_no_other_from_pruning(
    world: World, engine: Engine, mute: Producer, damage: dict[str, Any]
) -> None:
    """Snapshots and volumes are looked through in batches: the others' go, its own stay, and it is looked at no more."""
    vm = world.vm("web1")
    extract = {"extract": {"targets": ["vda"], "retention": {"last": 1}}}
    bad, good = add(engine, "bad", **extract), add(engine, "good", **extract)
    with transaction(engine) as session:
        for policy in (bad, good):
            session.add(
                PolicyVm(policy_id=policy, vm_id=vm, prune_due_at=func.now(), volumes_due_at=func.now())
            )
    for policy in (bad, bad, good, good):
        made = world.snapshot(vm)
        with transaction(engine) as session:
            session.execute(update(Snapshot).where(Snapshot.id == made).values(policy_id=policy))
    harm(engine, bad, damage)
    assert prune(engine, mute) == 1
    prune_volumes(engine, mute)
    assert asked(engine) == {"policy:good"}
    assert reason(engine, bad)
    with transaction(engine) as session:
        row = session.get_one(PolicyVm, (bad, vm))
    assert (row.prune_due_at, row.volumes_due_at) == (None, None)


def test_it_is_shown_and_says_why(world: World, engine: Engine, damage: dict[str, Any]) -> None:
    """In the list among the others, suspended with the reason, also before any tick has come upon it."""
    bad = add(engine, "bad")
    add(engine, "good")
    harm(engine, bad, damage)
    with engine.connect() as connection:
        listed = shown.policies(connection, ADMIN, Wanted())["items"]
        one = shown.policy(connection, ADMIN, "bad")
    assert [item["name"] for item in listed] == ["bad", "good"]
    assert one.items() <= listed[0].items()
    assert one["suspended"]["reason"].startswith("what it asks for cannot be read here: ")
    assert listed[1]["suspended"] is None


def test_it_is_resumed_once_it_can_be_read(world: World, engine: Engine) -> None:
    """Not before: that would stand still again at the next tick."""
    bad = add(engine, "bad")
    harm(engine, bad, {"mode": "tepid"})
    due(engine)
    claim(engine)
    with pytest.raises(Invalid, match="tepid"), transaction(engine) as session:
        resume_policy(session, bad, ADMIN)
    harm(engine, bad, {"mode": "hot"})
    with transaction(engine) as session:
        resume_policy(session, bad, ADMIN)
    assert reason(engine, bad) == ""


def test_a_schedule_that_is_none_any_more_stops_its_policy_alone(
    world: World, engine: Engine, mute: Producer
) -> None:
    """A cron expression that no longer parses, or none at all: the policy beside it fires."""
    world.vm("web1")
    bad, worse = add(engine, "bad"), add(engine, "worse")
    add(engine, "good")
    for policy, spec in ((bad, {"cron": "x y z", "every": None}), (worse, {"every": None})):
        with transaction(engine) as session:
            of = update(PolicySchedule).where(PolicySchedule.policy_id == policy)
            session.execute(of.values(spec=PolicySchedule.spec.op("||")(spec)))
    due(engine)
    claim(engine)
    let_go(engine, mute)
    assert asked(engine) == {"policy:good"}
    assert reason(engine, bad)
    assert reason(engine, worse)
