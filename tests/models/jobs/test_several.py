"""A job that deletes several snapshots of a VM: each is moved, told and judged for itself."""

from uuid import UUID

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from models.events.tables import Event
from models.jobs.expiry import give_up
from models.jobs.journal import Journal
from models.jobs.outbox import owed
from models.jobs.recovery import recover
from models.jobs.tables import Job, JobSnapshot
from models.policies.keep import add_policy, delete_policy
from models.policies.kept import judge
from models.queries import jobs as job_rows
from models.queries import snapshots as snapshot_rows
from models.queries.paging import Wanted
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.tenants.actor import ADMIN
from models.vms.tables import Vm
from stillframe.errors import Cancelled
from stillframe.layers import Layer, Tree
from stillframe.policies.as_json import policy_from_json
from stillframe.recovering import Way
from stillframe.seen import VmSeen, VolumeSeen
from stillframe.states import JobState, SnapshotState, VmState
from tests.world import World

pytestmark = pytest.mark.postgres


def keeps_one(session: Session) -> UUID:
    """A policy that keeps the last one, and has made all there are."""
    wish = {
        "name": "p",
        "selector": {"names": ["*"]},
        "schedules": [{"every": "1h"}],
        "retention": {"last": 1},
    }
    policy = add_policy(session, policy_from_json(wish), ADMIN)
    session.execute(update(Snapshot).values(policy_id=policy))
    return policy


def three(world: World) -> tuple[UUID, list[UUID]]:
    vm = world.vm()
    return vm, [world.snapshot(vm, name) for name in ("s1", "s2", "s3")]


def states(world: World, snapshots: list[UUID]) -> list[str]:
    return [world.snapshot_row(one).state.value for one in snapshots]


def told(world: World, snapshot: UUID) -> list[str]:
    with transaction(world.engine) as session:
        return list(
            session.scalars(select(Event.type).where(Event.snapshot_id == snapshot).order_by(Event.id))
        )


def seen_with(vm: UUID, *frozen: UUID) -> VmSeen:
    """The VM as a worker sees it when only these snapshots are references."""
    layer = Layer("/images/vda", "vda", "qcow2", None, 1, 1)
    head = Layer("/images/head", "vda", "qcow2", "/images/vda", 1, 1)
    tree = Tree(
        layers={one.path: one for one in (layer, head)},
        heads={"vda": head.path},
        frozen={one: {"vda": layer.path} for one in frozen},
    )
    volume = VolumeSeen("vda", "/images/head", "qcow2", "file", 1, 1)
    return VmSeen(vm, "web", VmState.RUNNING, "", 1, (volume,), tree=tree)


def test_each_is_taken_and_deleted(world: World, journal: Journal) -> None:
    """The claim takes all, the end deletes all, each with an event of its own; the job says what was freed."""
    vm, ids = three(world)
    world.set_parent(ids[1], ids[0])
    world.set_parent(ids[2], ids[1])
    job = world.prune(vm, *ids[:2])
    attempt = journal.claim(job, worker="h1:1:1:1", lease_s=60)
    assert attempt
    assert set(attempt.about) == set(ids[:2])
    assert states(world, ids) == ["deleting", "deleting", "ready"]
    attempt.succeed({"freed_bytes": 7}, None)
    assert states(world, ids) == ["deleted", "deleted", "ready"]
    assert world.snapshot_row(ids[2]).parent_id is None
    assert world.row(job).result == {"freed_bytes": 7}
    assert [told(world, one) for one in ids] == [["snapshot.deleted"], ["snapshot.deleted"], []]


def test_what_cannot_be_deleted_any_more_is_spared(world: World, journal: Journal) -> None:
    """One deleted meanwhile, one wanted by a revert, one held: they stay as they are, with the reason; the rest goes."""
    vm, ids = three(world)
    ids.append(world.snapshot(vm, "s4"))
    job = world.prune(vm, *ids)
    world.job(vm, "revert_snapshot", snapshot=ids[1], priority=9)
    with transaction(world.engine) as session:
        session.get_one(Snapshot, ids[0]).state = SnapshotState.DELETED
        session.get_one(Snapshot, ids[2]).held = True
    attempt = journal.claim(job, worker="h1:1:1:1", lease_s=60)
    assert attempt
    assert set(attempt.about) == {ids[3]}
    assert world.spared(job) == {
        ids[0]: "snapshot.not_ready",
        ids[1]: "snapshot.in_use",
        ids[2]: "snapshot.held",
    }
    assert states(world, ids) == ["deleted", "ready", "ready", "deleting"]
    assert told(world, ids[2]) == ["snapshot.spared"]
    attempt.succeed({"freed_bytes": 0}, None)
    assert states(world, ids) == ["deleted", "ready", "ready", "deleted"]


def test_with_none_left_the_job_has_failed(world: World, journal: Journal) -> None:
    """Nothing is begun, and the error says why of each."""
    vm, ids = three(world)
    job = world.prune(vm, *ids[:2])
    with transaction(world.engine) as session:
        session.execute(update(Snapshot).where(Snapshot.id.in_(ids[:2])).values(held=True))
    assert journal.claim(job, worker="h1:1:1:1", lease_s=60) is None
    row = world.row(job)
    assert row.state is JobState.FAILED
    assert (row.error or {})["code"] == "snapshot.nothing_to_delete"
    assert "s1" in (row.error or {})["detail"]
    assert "s2" in (row.error or {})["detail"]


def test_a_job_that_fails_leaves_each_as_the_host_shows_it(world: World, journal: Journal) -> None:
    """One is still a reference and ready; the other has given its layers up and is in error."""
    vm, ids = three(world)
    attempt = journal.claim(world.prune(vm, *ids[:2]), worker="h1:1:1:1", lease_s=60)
    assert attempt
    attempt.start("drop_reference")
    attempt.fail(Cancelled().to_json(), seen_with(vm, ids[0]), cancelled=True)
    assert states(world, ids) == ["ready", "error", "ready"]
    assert told(world, ids[1])[-1] == "snapshot.failed"


def test_one_that_goes_back_into_the_line_lets_go_of_all(world: World, journal: Journal) -> None:
    """Each is again what it was: ready, or in error; and the next attempt takes them again."""
    vm, ids = three(world)
    with transaction(world.engine) as session:
        row = session.get_one(Snapshot, ids[1])
        row.state, row.error = SnapshotState.ERROR, {"code": "x"}
    job = world.prune(vm, *ids[:2])
    attempt = journal.claim(job, worker="h1:1:1:1", lease_s=60)
    assert attempt
    attempt.requeue({"detail": "busy"})
    assert states(world, ids) == ["ready", "error", "ready"]
    world.due_now(job)
    again = journal.claim(job, worker="h1:1:1:1", lease_s=60)
    assert again
    assert set(again.about) == set(ids[:2])


def test_a_worker_that_takes_over_finds_the_same_snapshots(world: World, journal: Journal) -> None:
    """A hold that comes too late changes nothing: what was begun is what the next attempt is about."""
    vm, ids = three(world)
    job = world.prune(vm, *ids)
    with transaction(world.engine) as session:
        session.get_one(Snapshot, ids[0]).held = True
    assert journal.claim(job, worker="h1:1:1:1", lease_s=60)
    with transaction(world.engine) as session:
        session.get_one(Snapshot, ids[1]).held = True
    world.lapse_now(job)
    again = journal.claim(job, worker="h1:1:1:1", lease_s=60)
    assert again
    assert set(again.about) == {ids[1], ids[2]}
    assert ids[0] not in again.about
    assert ids[0] in again.known or world.snapshot_row(ids[0]).folder is None


def test_a_stuck_one_closed_unseen_spoils_each(world: World, engine: Engine, journal: Journal) -> None:
    """Nobody can look: all that it was about is in error, what it had spared is not."""
    vm, ids = three(world)
    job = world.prune(vm, *ids)
    with transaction(engine) as session:
        session.get_one(Snapshot, ids[2]).held = True
    attempt = journal.claim(job, worker="h1:1:1:1", lease_s=60)
    assert attempt
    attempt.stuck({"detail": "no"}, None)
    with transaction(engine) as session:
        session.get_one(Vm, vm).gone = True
    recover(engine, job, Way.MARK_DONE, "kim")
    assert states(world, ids) == ["error", "error", "ready"]


def test_while_it_is_under_way_each_names_it(world: World, engine: Engine, journal: Journal) -> None:
    """A request about any of them is refused with the job; lists of jobs find it by each, and say which were spared."""
    vm, ids = three(world)
    job = world.prune(vm, *ids[:2])
    with transaction(engine) as session:
        session.get_one(Snapshot, ids[1]).held = True
    with engine.connect() as connection:
        may = {one: snapshot_rows.snapshot(connection, ADMIN, one)["actions"]["revert"] for one in ids}
        assert [may[one]["allowed"] for one in ids] == [False, False, True]
        assert str(job) in may[ids[0]]["reason"]
    assert journal.claim(job, worker="h1:1:1:1", lease_s=60)
    with engine.connect() as connection:
        found = job_rows.jobs(connection, ADMIN, job_rows.Filters(snapshot=ids[0]), Wanted())["items"]
        assert [one["id"] for one in found] == [job]
        said = {one["id"]: one["spared"] for one in found[0]["snapshots"]}
        assert said[ids[0]] is None
        assert said[ids[1]]["code"] == "snapshot.held"
        assert snapshot_rows.snapshot(connection, ADMIN, ids[1])["actions"]["revert"]["allowed"]


def test_of_a_vm_that_is_gone_only_what_is_in_error_goes(world: World, engine: Engine) -> None:
    """A job about one that is ready waits and is given up; one about errors alone is begun."""
    vm = world.vm(gone=True)
    failed = [world.snapshot(vm, state=SnapshotState.ERROR) for _ in range(2)]
    ready = world.snapshot(vm)
    with transaction(engine) as session:
        session.execute(update(Snapshot).where(Snapshot.id.in_(failed)).values(error={"code": "x"}))
    waits = world.prune(vm, failed[0], ready, priority=9)
    goes = world.prune(vm, *failed)
    with transaction(engine) as session:
        assert [one.job_id for one in owed(session, 10)] == [goes]
    assert give_up(engine, 0) == [waits]


def test_what_the_policy_keeps_by_now_is_spared(world: World, engine: Engine, journal: Journal) -> None:
    """While the job waited, a newer snapshot went: the rule keeps another one now, and the last good one never goes."""
    vm, ids = three(world)
    with transaction(engine) as session:
        policy = keeps_one(session)
        (judged,) = judge(session, policy)
        assert {one.id for one in judged.verdicts if not one.keep} == set(ids[:2])
    job = world.prune(vm, *ids[:2], policy=policy)
    with transaction(engine) as session:
        session.get_one(Snapshot, ids[2]).state = SnapshotState.DELETED
    attempt = journal.claim(job, worker="h1:1:1:1", lease_s=60)
    assert attempt
    assert set(attempt.about) == {ids[0]}
    assert world.spared(job) == {ids[1]: "snapshot.kept_by_policy"}


def test_a_policy_that_is_deleted_prunes_nothing(world: World, engine: Engine, journal: Journal) -> None:
    """Its job was in the line already."""
    vm, ids = three(world)
    with transaction(engine) as session:
        policy = keeps_one(session)
    job = world.prune(vm, *ids[:2], policy=policy)
    with transaction(engine) as session:
        delete_policy(session, policy, ADMIN)
    assert journal.claim(job, worker="h1:1:1:1", lease_s=60) is None
    assert states(world, ids) == ["ready"] * 3
    assert world.row(job).state is JobState.FAILED


def test_its_message_says_how_many(world: World, engine: Engine) -> None:
    """For people who look at Flower."""
    vm, ids = three(world)
    world.prune(vm, *ids)
    with transaction(engine) as session:
        (one,) = owed(session, 10)
    assert one.snapshot_name == "3 snapshots"
    assert world.count(JobSnapshot) == 3
    assert world.count(Job) == 1
