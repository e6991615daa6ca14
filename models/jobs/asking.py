"""What has to be known before a request is written down, and the writing down: the SQL side of the Producer."""

from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import Insert, Select, insert, select
from sqlalchemy.orm import Session

from models.base import Json
from models.hosts.tables import Host
from models.jobs.about import deletions_of
from models.jobs.tables import Job, JobSnapshot
from models.moves import Told, event
from models.snapshots.tables import Snapshot, SnapshotLayer, VolumeSnapshot, is_held
from models.tenants.actor import Actor
from models.tenants.scope import mine, my_vms, owner
from models.vms.tables import Vm
from stillframe.errors import (
    SnapshotNotFound,
    VmGone,
    VmNameAmbiguous,
    VmNotFound,
)
from stillframe.events import EventType
from stillframe.operations import CreateSnapshot, ExtractVolume, Operation
from stillframe.rules import Hold, SnapshotFacts
from stillframe.states import SnapshotOrigin, SnapshotState, SnapshotType, VmState, VolumeSnapshotState

NOBODY: Mapping[UUID, str] = MappingProxyType({})


def find_vm(session: Session, actor: Actor, wanted: str) -> Vm:
    """A VM by its uuid or its name; raises VmNotFound, VmNameAmbiguous or VmGone."""
    by_id = _uuid(wanted)
    of = select(Vm).where(my_vms(actor)).execution_options(populate_existing=True)
    row = session.scalars(of.where(Vm.id == by_id)).one_or_none() if by_id else None
    rows = [row] if row else list(session.scalars(of.where(Vm.name == wanted).order_by(Vm.id)))
    here = [row for row in rows if not row.gone]
    if len(here) > 1:
        raise VmNameAmbiguous(vm=wanted, candidates=", ".join(str(row.id) for row in here))
    if here:
        return here[0]
    if rows:
        raise VmGone(vm=wanted, host=_host_name(session, rows[-1]))
    raise VmNotFound(vm=wanted)


def vms_about(session: Session, actor: Actor, operation: Operation) -> list[UUID]:
    """The VMs that an operation is about, as far as the actor sees any; raises VmNotFound, VmNameAmbiguous or VmGone."""
    asked = operation.to_json()
    if wanted := asked.get("vm"):
        return [find_vm(session, actor, wanted).id]
    if volume := _uuid(asked.get("volume_snapshot_id") or ""):
        of = select(VolumeSnapshot.vm_id).where(VolumeSnapshot.id == volume)
        return list(session.scalars(of.where(mine(actor, VolumeSnapshot.account_id))))
    return vms_of(session, actor, [*filter(None, [asked.get("snapshot_id")]), *asked.get("snapshot_ids", ())])


def vms_of(session: Session, actor: Actor, snapshots: Collection[str]) -> list[UUID]:
    """The VMs of snapshots, as far as the actor sees any: the quotas of others are neither told nor locked."""
    ids = [id_ for one in snapshots if (id_ := _uuid(one))]
    of = select(Snapshot.vm_id).where(Snapshot.id.in_(ids), mine(actor, Snapshot.account_id))
    return list(session.scalars(of.distinct()))


def lock_snapshot(session: Session, actor: Actor, wanted: str) -> tuple[Snapshot, Vm]:
    """A snapshot with its VM, locked so that requests about it take turns; raises SnapshotNotFound."""
    snapshot = _snapshot(session, _of_id(actor, wanted).with_for_update(key_share=True), wanted)
    return snapshot, session.get_one(Vm, snapshot.vm_id)


def lock_snapshots(session: Session, actor: Actor, wanted: Collection[str]) -> dict[str, Snapshot | None]:
    """Snapshots by the ids as they were given, each once, locked in one order whoever asks; None for what there is none of."""
    ids = {one: _uuid(one) for one in sorted(set(wanted))}
    named = Snapshot.id.in_([id_ for id_ in ids.values() if id_])
    of = select(Snapshot).where(named, mine(actor, Snapshot.account_id)).order_by(Snapshot.id)
    rows = {row.id: row for row in session.scalars(of.with_for_update(key_share=True))}
    once: dict[UUID | str, str] = {}
    for given, id_ in ids.items():
        once.setdefault(id_ or given, given)
    return {given: rows.get(id_) if isinstance(id_, UUID) else None for id_, given in once.items()}


def find_snapshot(session: Session, actor: Actor, wanted: str) -> Snapshot:
    """A snapshot to be looked at; raises SnapshotNotFound."""
    return _snapshot(session, _of_id(actor, wanted), wanted)


def _of_id(actor: Actor, wanted: str) -> Select[Snapshot]:
    return select(Snapshot).where(Snapshot.id == _uuid(wanted), mine(actor, Snapshot.account_id))


def _snapshot(session: Session, of: Select[Snapshot], wanted: str) -> Snapshot:
    found = session.scalars(of.execution_options(populate_existing=True)).one_or_none()
    if found is None:
        raise SnapshotNotFound(snapshot=wanted)
    return found


def facts_of(session: Session, snapshot: Snapshot, vm: Vm) -> SnapshotFacts:
    """What the rules want to know of a snapshot."""
    return SnapshotFacts(
        name=snapshot.name,
        state=snapshot.state,
        type=snapshot.type,
        vm=vm.name,
        vm_state=VmState.GONE if vm.gone else vm.state,
        host=_host_name(session, vm),
        deletion=deletions_of(session, [snapshot.id]).get(snapshot.id),
        hold=_hold(session, snapshot),
        cannot=(snapshot.foreign or {}).get("cannot", {}),
        foreign=snapshot.foreign is not None,
    )


def _hold(session: Session, snapshot: Snapshot) -> Hold | None:
    if not snapshot.held or not session.scalar(select(is_held()).where(Snapshot.id == snapshot.id)):
        return None
    return Hold(snapshot.hold_reason or "", snapshot.held_by or "", snapshot.held_until)


def targets_of(session: Session, snapshot: UUID) -> list[str]:
    """The volumes that a snapshot holds."""
    rows = session.scalars(select(SnapshotLayer.target).where(SnapshotLayer.snapshot_id == snapshot))
    return sorted(rows)


def new_snapshot(id_: UUID, vm: Vm, operation: CreateSnapshot, *, expires_at: datetime | None) -> Insert:
    """Adds the row of a snapshot that is to be made; `operation` has a name and a type by now."""
    name = operation.name or ""
    return insert(Snapshot).values(
        id=id_,
        vm_id=vm.id,
        host_id=vm.host_id,
        account_id=owner(vm),
        name=name,
        display_name=operation.display_name or name,
        description=operation.description,
        type=SnapshotType(operation.type or ""),
        state=SnapshotState.CREATING,
        origin=SnapshotOrigin.STILLFRAME,
        tags=list(operation.tags),
        expires_at=expires_at,
        policy_id=UUID(operation.policy_id) if operation.policy_id else None,
    )


def new_volume_snapshot(id_: UUID, snapshot: Snapshot, name: str, operation: ExtractVolume) -> Insert:
    """Adds the row of a volume snapshot that is to be extracted."""
    return insert(VolumeSnapshot).values(
        id=id_,
        name=name,
        state=VolumeSnapshotState.CREATING,
        snapshot_id=snapshot.id,
        vm_id=snapshot.vm_id,
        host_id=snapshot.host_id,
        account_id=snapshot.account_id,
        target=operation.target,
        policy_id=UUID(operation.policy_id) if operation.policy_id else None,
    )


def add_job(
    session: Session,
    job: Job,
    actor: Actor,
    data: Json,
    *,
    made: Insert | None = None,
    condemned: Mapping[UUID, str] = NOBODY,
) -> None:
    """The row of a job, what it makes, and the event that it is queued, in one statement. None of it may have a default.

    Of each that it deletes together with others there is one event more, which says why.
    """
    told = Told(EventType.JOB_QUEUED, actor.name, data=data)
    about = {"vm_id": job.vm_id, "job_id": job.id, "host_id": job.host_id, "account_id": job.account_id}
    values = {name: value for name, value in vars(job).items() if not name.startswith("_")}
    rows = [
        *([made.cte("made")] if made is not None else []),
        insert(Job).values(values).cte("job"),
    ]
    session.execute(event(told, snapshot_id=job.snapshot_id, **about).add_cte(*rows))
    session.add_all(JobSnapshot(job_id=job.id, snapshot_id=snapshot) for snapshot in condemned)
    for snapshot, why in condemned.items():
        told = Told(EventType.SNAPSHOT_CONDEMNED, actor.name, message=why)
        session.execute(event(told, snapshot_id=snapshot, **about))


def _host_name(session: Session, vm: Vm) -> str:
    return session.scalars(select(Host.name).where(Host.id == vm.host_id)).one()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
