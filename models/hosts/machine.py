"""Rows made from what a worker saw on its host. The host holds the truth; only differences are written, and told."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from models.base import Json
from models.hosts.follow import move_vm
from models.hosts.tables import Host
from models.hosts.twins import Twins
from models.ids import new_id
from models.moves import Told, tell
from models.snapshots.foreign import record_foreign
from models.vms.known import Known, read_known
from models.vms.tables import Vm, VmTwin, Volume
from models.vms.tree import record_tree
from stillframe.events import EventType, Level
from stillframe.seen import HostSeen, VmSeen, VolumeSeen
from stillframe.states import VmState

logger = logging.getLogger(__name__)

#: What libvirt allows and Postgres does not (NUL, half a character), or what contradicts another row.
_UNSTORABLE = (DataError, IntegrityError, UnicodeEncodeError)
_TOLD_OF_VM = ("name", "state", "host_id", "gone")


def record_host(session: Session, seen: HostSeen, looked_at: datetime | None = None) -> UUID:
    """A host with all its VMs; those it had and no longer has are marked gone. Returns the host's id.

    `looked_at` is what `heartbeat` returned before the look: VMs recorded since (by a job that ended meanwhile) are
    left as they are.
    """
    host, now = _host(session, seen)
    rows = _lock_vms(session, host, [vm.uuid for vm in seen.vms])
    twins = Twins.read(session, host, rows.values(), now, looked_at)
    twins.forget(session, rows, but={vm.uuid for vm in seen.vms})
    later = {vm for vm, row in rows.items() if looked_at is not None and row.seen_at >= looked_at}
    news = [vm for vm in seen.vms if vm.uuid not in later]
    here = [vm for vm in news if vm.uuid not in rows or twins.is_here(session, rows[vm.uuid], vm)]
    _record(session, host, rows, here)
    for vm in rows.keys() - later - {vm.uuid for vm in seen.vms}:
        if rows[vm].host_id == host and not rows[vm].gone and not twins.leave(session, rows[vm]):
            _mark_gone(session, rows[vm])
    session.flush()
    return host


def record_vm(session: Session, host: UUID, seen: VmSeen) -> None:
    """One VM with its volumes, layers and what is known of its snapshots; nothing if it has moved to another host."""
    row = lock_vm(session, seen.uuid)
    if row and row.host_id != host:
        twins = Twins.read(session, host, [row], _now(session), None)
        if not twins.is_here(session, row, seen):
            return
    _record(session, host, {seen.uuid: row} if row else {}, [seen])
    session.flush()


def heartbeat(session: Session, host: str) -> datetime:
    """Say that a host's worker lives; returns the database's time. A host that is not known yet is registered."""
    known = session.execute(
        update(Host).where(Host.name == host).values(last_seen_at=func.now()).returning(func.now())
    ).scalar_one_or_none()
    if known is None:
        _host(session, HostSeen(host, "", "", 0, 0, ()))
        known = _now(session)
    return known


def _now(session: Session) -> datetime:
    return session.scalars(select(func.now())).one()


def lock_vm(session: Session, vm: UUID) -> Vm | None:
    """The VM's row, locked against other writers of what was seen; requests that refer to it are not held up.

    Taken before any row of a job or a snapshot, so that an inventory and the end of a job never wait in a circle.
    """
    return session.scalars(
        select(Vm)
        .where(Vm.id == vm)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()


def leave(session: Session, row: Vm) -> None:
    """The VM is no longer on its host: it is where else it was seen to run, or gone. The caller holds its row."""
    if not Twins.read(session, row.host_id, [row], _now(session), None).leave(session, row):
        _mark_gone(session, row)
    session.flush()


def _mark_gone(session: Session, row: Vm) -> None:
    row.gone, row.state, row.reason = True, VmState.GONE, "it is no longer on the host"
    told = Told(EventType.VM_GONE, "host", Level.WARNING, row.name)
    tell(session, told, vm=row.id, host=row.host_id)


def _lock_vms(session: Session, host: UUID, vms: Sequence[UUID]) -> dict[UUID, Vm]:
    """The rows of a host's VMs, of those that it had something of, and of these, locked in the order of their ids."""
    twins = select(VmTwin.vm_id).where(VmTwin.host_id == host)
    rows = session.scalars(
        select(Vm)
        .where((Vm.host_id == host) | Vm.id.in_(vms) | Vm.id.in_(twins))
        .order_by(Vm.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in rows}


def _host(session: Session, seen: HostSeen) -> tuple[UUID, datetime]:
    facts = {
        "libvirt_version": seen.libvirt_version,
        "qemu_version": seen.qemu_version,
        "cpus": seen.cpus,
        "memory_bytes": seen.memory_bytes,
    }
    fresh = new_id()
    host, now = session.execute(
        insert(Host)
        .values(id=fresh, name=seen.name, **facts)
        .on_conflict_do_update(index_elements=["name"], set_=facts | {"last_seen_at": func.now()})
        .returning(Host.id, func.now())
    ).one()
    if host == fresh:
        tell(session, Told(EventType.HOST_REGISTERED, seen.name, message=seen.name), host=host)
    return host, now


def _record(session: Session, host: UUID, rows: Mapping[UUID, Vm], vms: Sequence[VmSeen]) -> None:
    ids = [vm.uuid for vm in vms]
    known = read_known(session, [vm for vm in ids if vm in rows])
    recorded = [
        seen.uuid
        for seen in sorted(vms, key=lambda one: one.uuid)
        if _is_recorded(session, host, rows.get(seen.uuid), seen, known.get(seen.uuid, Known()))
    ]
    session.execute(
        update(Vm)
        .where(Vm.id.in_(recorded))
        .values(seen_at=func.now())
        .execution_options(synchronize_session=False)
    )


def _is_recorded(session: Session, host: UUID, row: Vm | None, seen: VmSeen, known: Known) -> bool:
    """Records one VM; what no row can hold of one is told to the log, and keeps no other from being recorded."""
    try:
        with session.begin_nested():
            _record_one(session, host, row, seen, known)
    except _UNSTORABLE:
        logger.exception("VM %s cannot be recorded as it was seen", seen.uuid)
        return False
    return True


def _record_one(session: Session, host: UUID, row: Vm | None, seen: VmSeen, known: Known) -> None:
    if row is None:
        session.add(_new(host, seen))
        session.flush()
        _tell(session, host, seen, EventType.VM_SEEN, {"name": seen.name, "state": seen.state.value})
        changes: Json = {}
    else:
        left = row.host_id
        changes = _update(row, host, seen)
        if left != host:
            session.flush()
            move_vm(session, row.id, host)
    changes |= _record_volumes(session, host, seen, known.volumes)
    if row is not None and changes:
        _tell(session, host, seen, EventType.VM_CHANGED, changes)
    if seen.foreign is not None:
        record_foreign(session, host, row.account_id if row else None, seen, known)
    if seen.tree is not None:
        record_tree(session, seen.uuid, seen.tree, known)


def _new(host: UUID, seen: VmSeen) -> Vm:
    return Vm(
        id=seen.uuid,
        host_id=host,
        name=seen.name,
        state=seen.state,
        reason=seen.reason,
        memory_bytes=seen.memory_bytes,
        traits=seen.traits.to_json(),
    )


def _update(row: Vm, host: UUID, seen: VmSeen) -> Json:
    before = {name: getattr(row, name) for name in _TOLD_OF_VM}
    row.host_id, row.name, row.state, row.gone = host, seen.name, seen.state, False
    row.reason, row.memory_bytes, row.traits = seen.reason, seen.memory_bytes, seen.traits.to_json()
    return {
        name: {"from": str(was), "to": str(getattr(row, name))}
        for name, was in before.items()
        if was != getattr(row, name)
    }


def _record_volumes(session: Session, host: UUID, vm: VmSeen, known: dict[str, Volume]) -> Json:
    """The rows of a VM's volumes; returns which came, went, or changed their file. Nothing if they could not be read."""
    changes: Json = {}
    if vm.volumes is None:
        return changes
    for seen in vm.volumes:
        row = known.pop(seen.target, None)
        if row is None:
            session.add(_volume(host, vm.uuid, seen))
            changes[seen.target] = {"from": None, "to": seen.path}
            continue
        if row.path != seen.path:
            changes[seen.target] = {"from": row.path, "to": seen.path}
        row.path, row.format, row.storage, row.why_not = seen.path, seen.format, seen.storage, seen.why_not
        row.virtual_bytes, row.size_bytes = seen.virtual_bytes, seen.size_bytes
        row.depth, row.home, row.free_bytes = seen.depth, seen.home, seen.free_bytes
        row.storage_id, row.total_bytes = _storage(host, seen), seen.total_bytes
    for row in known.values():
        session.delete(row)
        changes[row.target] = {"from": row.path, "to": None}
    return changes


def _storage(host: UUID, seen: VolumeSeen) -> str | None:
    """The same name for what is the same storage: each host has devices of its own, and calls them as others do."""
    local = seen.storage_id is not None and seen.storage_id.startswith("local:")
    return f"{host}/{seen.storage_id}" if local else seen.storage_id


def _volume(host: UUID, vm: UUID, seen: VolumeSeen) -> Volume:
    return Volume(
        vm_id=vm,
        target=seen.target,
        path=seen.path,
        format=seen.format,
        storage=seen.storage,
        virtual_bytes=seen.virtual_bytes,
        size_bytes=seen.size_bytes,
        why_not=seen.why_not,
        depth=seen.depth,
        home=seen.home,
        free_bytes=seen.free_bytes,
        storage_id=_storage(host, seen),
        total_bytes=seen.total_bytes,
    )


def _tell(session: Session, host: UUID, seen: VmSeen, type_: EventType, data: Json) -> None:
    tell(session, Told(type_, "host", message=seen.name, data=data), vm=seen.uuid, host=host)
