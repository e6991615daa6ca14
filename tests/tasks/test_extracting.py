"""A policy makes images of volumes after each of its snapshots, and keeps them by rules of their own."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, update

from models.events.tables import Event
from models.hosts.tables import Host
from models.jobs.journal import Journal
from models.jobs.tables import SCHEDULED, Job
from models.policies.images import judge_volumes
from models.policies.keep import add_policy, delete_policy, pause_policy, run_policy
from models.policies.kept import judge
from models.policies.tables import Firing, Policy, PolicyVm
from models.session import transaction
from models.snapshots.tables import Snapshot, SnapshotLayer, VolumeSnapshot
from models.tenants.actor import ADMIN, Actor
from models.tenants.giving import assign_vm
from stillframe.policies.as_json import policy_from_json
from stillframe.rights import Role
from stillframe.states import JobState, VolumeSnapshotState
from tasks.app import make_app
from tasks.extracting import extract, prune_volumes
from tasks.policies import let_go, settle_ended
from tasks.producer import Producer
from tasks.pruning import prune
from tasks.ticks import fire_policies
from tests.world import World

pytestmark = pytest.mark.postgres

WISH: dict[str, Any] = {
    "name": "nightly",
    "selector": {"names": ["web*"]},
    "schedules": [{"every": "100d"}],
    "retention": {"last": 1},
    "extract": {"targets": ["vda", "vdb"], "retention": {"last": 2}},
    "guards": {"max_per_host": 10},
}


@pytest.fixture
def mute(engine: Engine) -> Producer:
    """Nothing is sent, so no broker is needed."""
    return Producer(engine, make_app("redis://127.0.0.1:1/0"))


def policy(engine: Engine, **changes: Any) -> UUID:
    with transaction(engine) as session:
        return add_policy(session, policy_from_json(WISH | changes), ADMIN)


def snapshot(engine: Engine, mute: Producer, of: UUID, *targets: str) -> None:
    """The policy fires, and its jobs end well; the snapshots hold these volumes."""
    with transaction(engine) as session:
        run_policy(session, of, ADMIN)
    let_go(engine, mute)
    for job in queued(engine, "create_snapshot"):
        with transaction(engine) as session:
            for target in targets or ("vda", "vdb"):
                layer = {"snapshot_id": job.snapshot_id, "target": target, "path": "/x", "virtual_bytes": 1}
                session.add(SnapshotLayer(**layer))
        end_well(engine, job, {"type": "hot"})


def end_well(engine: Engine, job: Job, facts: dict[str, Any]) -> None:
    attempt = Journal(engine).claim(job.id, worker="h1/w", lease_s=30)
    assert attempt is not None
    attempt.start("check_snapshot")
    attempt.succeed(facts, None)


def queued(engine: Engine, kind: str) -> list[Job]:
    of = select(Job).where(Job.kind == kind, Job.state == JobState.QUEUED).order_by(Job.created_at, Job.id)
    with transaction(engine) as session:
        return list(session.scalars(of))


def extracted(engine: Engine, mute: Producer) -> list[Job]:
    """What is asked for by one tick, done."""
    settle_ended(engine)
    extract(engine, mute)
    jobs = queued(engine, "extract_volume")
    for job in jobs:
        end_well(
            engine, job, {"path": f"/v/stillframe/volumes/{job.volume_snapshot_id}.qcow2", "size_bytes": 5}
        )
    return jobs


def four_days(engine: Engine, mute: Producer, of: UUID) -> None:
    """A snapshot a day, with its images."""
    for days in (4, 3, 2, 1):
        snapshot(engine, mute, of)
        extracted(engine, mute)
        newest = select(func.max(Snapshot.created_at)).scalar_subquery()
        with transaction(engine) as session:
            at = datetime.now(UTC) - timedelta(days=days)
            session.execute(update(Snapshot).where(Snapshot.created_at == newest).values(created_at=at))


def volumes(engine: Engine) -> list[VolumeSnapshot]:
    with transaction(engine) as session:
        return list(session.scalars(select(VolumeSnapshot).order_by(VolumeSnapshot.created_at)))


def reasons(engine: Engine) -> list[str | None]:
    with transaction(engine) as session:
        return list(session.scalars(select(Firing.reason).where(Firing.job_id.is_not(None))))


def told(engine: Engine) -> list[str]:
    of = select(Event.message).where(Event.type == "policy.extract_refused")
    with transaction(engine) as session:
        return list(session.scalars(of))


def test_each_snapshot_is_followed_by_its_images(world: World, engine: Engine, mute: Producer) -> None:
    """One job a volume, scheduled, by the policy, once however often is looked; the images are the policy's."""
    world.vm("web1"), world.vm("web2")
    id_ = policy(engine)
    snapshot(engine, mute, id_)
    jobs = extracted(engine, mute)
    assert sorted(job.request["target"] for job in jobs) == ["vda", "vda", "vdb", "vdb"]
    assert {(job.priority, job.requested_by) for job in jobs} == {(SCHEDULED, "policy:nightly")}
    assert extract(engine, mute) == 0
    found = volumes(engine)
    assert {one.policy_id for one in found} == {id_}
    assert len({one.name for one in found}) == 4
    assert all(one.name.startswith("nightly-vd") for one in found)
    assert set(reasons(engine)) <= {None, "asked for by admin"}


def test_a_volume_that_a_vm_lacks_is_noted_and_the_others_come(
    world: World, engine: Engine, mute: Producer
) -> None:
    """The firing says which; nobody is alarmed."""
    world.vm("web1")
    snapshot(engine, mute, policy(engine), "vda")
    assert [job.request["target"] for job in extracted(engine, mute)] == ["vda"]
    assert reasons(engine) == ["not extracted: vdb, which the VM has not"]
    assert told(engine) == []


def test_a_snapshot_is_not_pruned_before_its_images_are_there(
    world: World, engine: Engine, mute: Producer
) -> None:
    """While they are to be asked for, and while they are copied, it counts as in use; then it goes."""
    vm = world.vm("web1")
    id_ = policy(engine)
    snapshot(engine, mute, id_)
    settle_ended(engine)
    first = _of(engine, id_)
    with transaction(engine) as session:
        session.execute(update(Snapshot).values(created_at=func.now() - timedelta(days=1)))
        session.execute(update(Firing).values(extract_due_at=func.now() + timedelta(hours=1)))
    snapshot(engine, mute, id_)
    settle_ended(engine)
    with transaction(engine) as session:
        verdicts = {one.id: one for one in judge(session, id_, [vm])[0].verdicts}
    assert verdicts[first].reasons == ("in use: volumes are to be extracted",)
    _prune_now(engine)
    assert prune(engine, mute) == 0

    with transaction(engine) as session:
        session.execute(
            update(Firing).where(Firing.extract_due_at.is_not(None)).values(extract_due_at=func.now())
        )
    assert extract(engine, mute) == 4
    _prune_now(engine)
    assert prune(engine, mute) == 0
    extracted(engine, mute)
    _prune_now(engine)
    assert prune(engine, mute) == 1
    (job,) = queued(engine, "prune_snapshots")
    assert job.request["snapshot_ids"] == [str(first)]


def test_images_are_kept_by_rules_of_their_own(world: World, engine: Engine, mute: Producer) -> None:
    """Of each volume the newest two by when their snapshot was taken; what goes is deleted by jobs, and shown before."""
    vm = world.vm("web1")
    id_ = policy(engine)
    four_days(engine, mute, id_)
    with transaction(engine) as session:
        shown = judge_volumes(session, id_, [vm])
    assert [(one.target, [verdict.keep for verdict in one.verdicts]) for one in shown] == [
        ("vda", [True, True, False, False]),
        ("vdb", [True, True, False, False]),
    ]
    condemned = {volume for one in shown for volume in one.condemned}
    assert prune_volumes(engine, mute) == 4
    assert prune_volumes(engine, mute) == 0
    jobs = queued(engine, "delete_volume")
    assert {job.volume_snapshot_id for job in jobs} == condemned
    assert {(job.priority, job.requested_by) for job in jobs} == {(SCHEDULED, "policy:nightly")}
    for job in jobs:
        end_well(engine, job, {"freed_bytes": 5})
    _look_now(engine)
    assert prune_volumes(engine, mute) == 0
    left = [one for one in volumes(engine) if one.state is VolumeSnapshotState.READY]
    assert len(left) == 4


def test_a_paused_policy_keeps_its_images(world: World, engine: Engine, mute: Producer) -> None:
    """Until the pause is over; then they are looked through without anybody's doing."""
    world.vm("web1")
    id_ = policy(engine)
    four_days(engine, mute, id_)
    with transaction(engine) as session:
        pause_policy(session, id_, ADMIN, datetime.now(UTC) + timedelta(hours=1))
    assert prune_volumes(engine, mute) == 0
    with transaction(engine) as session:
        (due,) = session.scalars(select(PolicyVm.volumes_due_at))
        (until,) = session.scalars(select(Policy.paused_until))
        assert due == until
        session.execute(update(Policy).values(paused_until=func.now()))
    _look_now(engine)
    assert prune_volumes(engine, mute) == 4


def test_a_policy_that_cannot_be_looked_after_keeps_no_other_from_firing(
    world: World, engine: Engine, mute: Producer
) -> None:
    """What the extraction of one chokes on, tick after tick, is told to the log; another's snapshot is asked for."""
    world.vm("web1")
    snapshot(engine, mute, policy(engine))
    settle_ended(engine)
    with transaction(engine) as session:
        session.execute(update(Policy).values(spec={}))
    other = policy(engine, name="other", extract=None)
    with transaction(engine) as session:
        run_policy(session, other, ADMIN)
    for _ in range(2):
        fire_policies(engine, mute)
    (job,) = queued(engine, "create_snapshot")
    assert job.requested_by == "policy:other"


def test_an_image_that_cannot_be_deleted_is_asked_for_less_and_less(
    world: World, engine: Engine, mute: Producer
) -> None:
    """Somebody uses it: after each failure the next try comes later."""
    world.vm("web1")
    id_ = policy(engine, extract={"targets": ["vda"], "retention": {"last": 1}})
    for _ in range(2):
        snapshot(engine, mute, id_)
        extracted(engine, mute)
    for _ in range(2):
        assert prune_volumes(engine, mute) == 1
        (job,) = queued(engine, "delete_volume")
        with transaction(engine) as session:
            ended = {"state": JobState.FAILED, "finished_at": func.now()}
            session.execute(update(Job).where(Job.id == job.id).values(ended))
        _look_now(engine)
        assert prune_volumes(engine, mute) == 0
        with transaction(engine) as session:
            again_at = session.scalars(select(PolicyVm.volumes_due_at)).one()
            session.execute(update(Job).values(finished_at=Job.finished_at - timedelta(hours=1)))
        _look_now(engine)
    assert again_at is not None
    assert again_at - datetime.now(UTC) > timedelta(minutes=8)


def test_a_drained_host_is_told_once_and_extracted_from_later(
    world: World, engine: Engine, mute: Producer
) -> None:
    """The firing says why; when the host takes jobs again, the images come."""
    world.vm("web1")
    snapshot(engine, mute, policy(engine))
    settle_ended(engine)
    with transaction(engine) as session:
        session.execute(update(Host).values(drained_at=func.now(), drained_by="kim"))
    for _ in range(3):
        assert extract(engine, mute) == 0
        with transaction(engine) as session:
            session.execute(update(Firing).values(extract_due_at=func.now()))
    (said,) = told(engine)
    assert "drained by kim" in said
    assert reasons(engine) == [f"not extracted: {said}"]
    with transaction(engine) as session:
        session.execute(update(Host).values(drained_at=None))
    assert extract(engine, mute) == 2


def test_what_was_deleted_meanwhile_is_given_up(world: World, engine: Engine, mute: Producer) -> None:
    """The snapshot is to be deleted before anything was asked for, or the policy is gone: nothing is asked, once and for all."""
    world.vm("web1")
    id_ = policy(engine)
    snapshot(engine, mute, id_)
    settle_ended(engine)
    world.job(_vm(engine), "delete_snapshot", snapshot=_of(engine, id_))
    assert extract(engine, mute) == 0
    assert "already to be deleted" in told(engine)[0]
    with transaction(engine) as session:
        assert session.scalar(select(func.count()).where(Firing.extract_due_at.is_not(None))) == 0
        session.execute(update(Job).values(state=JobState.SUCCEEDED))
    snapshot(engine, mute, id_)
    settle_ended(engine)
    with transaction(engine) as session:
        delete_policy(session, id_, ADMIN)
    assert extract(engine, mute) == 0
    assert volumes(engine) == []


def test_a_name_that_somebody_else_took_stops_nobody(world: World, engine: Engine, mute: Producer) -> None:
    """The firing says so, and is given up; the other VM's volumes come in the same tick."""
    world.vm("web1"), world.vm("web2")
    id_ = policy(engine, extract={"targets": ["vda"], "retention": {"last": 1}})
    snapshot(engine, mute, id_)
    settle_ended(engine)
    taken = _of(engine, id_)
    with transaction(engine) as session:
        firing = session.scalars(select(Firing).join(Job).where(Job.snapshot_id == taken)).one()
        name = f"nightly-vda-{firing.nominal_at.astimezone(UTC):%Y%m%d-%H%M%S}-{taken.hex[-10:]}"
    other = volume_named(world, name)
    assert extract(engine, mute) == 1
    assert told(engine) == ["there is already a volume snapshot of that name"]
    assert {one.id for one in volumes(engine) if one.name == name} == {other}


def volume_named(world: World, name: str) -> UUID:
    vm = world.vm("elsewhere")
    row = VolumeSnapshot(
        **{"name": name, "state": VolumeSnapshotState.READY, "snapshot_id": world.snapshot(vm), "vm_id": vm},
        **{"host_id": world.host(), "account_id": ADMIN.account_id, "target": "vda"},
    )
    with transaction(world.engine) as session:
        session.add(row)
    return row.id


def test_a_full_host_is_given_time(world: World, engine: Engine, mute: Producer) -> None:
    """Extractions count like any scheduled job: beyond the cap they wait."""
    for number in range(3):
        world.vm(f"web{number}")
    snapshot(engine, mute, policy(engine))
    settle_ended(engine)
    with transaction(engine) as session:
        row = session.scalars(select(Policy)).one()
        row.spec = row.spec | {"guards": row.spec["guards"] | {"max_per_host": 1}}
    assert extract(engine, mute) == 2
    assert extract(engine, mute) == 0
    for job in queued(engine, "extract_volume"):
        end_well(engine, job, {"path": "/v", "size_bytes": 1})
    with transaction(engine) as session:
        session.execute(
            update(Firing).where(Firing.extract_due_at.is_not(None)).values(extract_due_at=func.now())
        )
    assert extract(engine, mute) == 2


def test_a_refused_deletion_of_an_image_is_told_and_tried_later(
    world: World, engine: Engine, mute: Producer
) -> None:
    """Told once, kept with the VM, and tried again later each time; once it is asked for, all is well."""
    world.vm("web1")
    id_ = policy(engine)
    four_days(engine, mute, id_)
    with transaction(engine) as session:
        session.execute(update(Host).values(drained_at=func.now(), drained_by="kim"))
    waits = []
    for _ in range(3):
        _look_now(engine)
        assert prune_volumes(engine, mute) == 0
        with transaction(engine) as session:
            until = func.extract("epoch", PolicyVm.volumes_due_at - func.now()) / 60
            refusal, wait = session.execute(select(PolicyVm.volumes_refusal, until)).one()
        assert "drained by kim" in (refusal or "")
        waits.append(round(float(wait)))
    assert waits == [5, 10, 20]
    assert world.events().count("policy.prune_refused") == 1
    with transaction(engine) as session:
        session.execute(update(Host).values(drained_at=None))
    _look_now(engine)
    assert prune_volumes(engine, mute) > 0
    with transaction(engine) as session:
        row = session.scalars(select(PolicyVm)).one()
    assert (row.volumes_refusal, row.volumes_refused) == (None, 0)


def _of(engine: Engine, policy: UUID) -> UUID:
    """Its newest snapshot."""
    of = select(Snapshot.id).where(Snapshot.policy_id == policy).order_by(Snapshot.created_at.desc())
    with transaction(engine) as session:
        return session.scalars(of.limit(1)).one()


def _vm(engine: Engine) -> UUID:
    with transaction(engine) as session:
        return session.scalars(select(Snapshot.vm_id).limit(1)).one()


def _look_now(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(update(PolicyVm).values(volumes_due_at=func.now()))


def _prune_now(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(update(PolicyVm).values(prune_due_at=func.now()))


def test_of_a_vm_that_was_given_away_nothing_is_extracted(
    world: World, engine: Engine, mute: Producer
) -> None:
    """The run says why; its new owner is not told what the old one's policy wanted."""
    owner, _ = world.account("acme", "/a"), world.account("heir", "/b")
    vm = world.vm("web1", account=owner)
    with transaction(engine) as session:
        own = Actor("acme", owner, Role.USER, "/a")
        nightly = add_policy(session, policy_from_json(WISH), own)
    snapshot(engine, mute, nightly)
    settle_ended(engine)
    with transaction(engine) as session:
        assign_vm(session, ADMIN, str(vm), "heir")
    extract(engine, mute)
    assert queued(engine, "extract_volume") == []
    assert told(engine) == []
    assert "given to an account" in str(reasons(engine))
