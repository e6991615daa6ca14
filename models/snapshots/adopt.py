"""Rows made right by what a rescan found: snapshots that only the host knows come in, and those it has not got go to `error`."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.hosts.machine import lock_vm, record_vm
from models.hosts.tables import Host
from models.moves import Told, move_snapshot, move_volume_snapshot, tell
from models.snapshots.tables import NAMELESS, Snapshot, VolumeSnapshot
from models.tenants.tables import ADMIN_ACCOUNT
from models.vms.tables import Vm
from stillframe.errors import (
    DeletionUnfinished,
    LostRace,
    NameInvalid,
    SnapshotLost,
    StillframeError,
    VolumeSnapshotLost,
)
from stillframe.events import EventType, Level
from stillframe.names import check_name
from stillframe.seen import SnapshotSeen, VmSeen, VolumeSnapshotSeen
from stillframe.states import Consistency, SnapshotOrigin, SnapshotState, SnapshotType, VolumeSnapshotState

_LONGEST_NAME = 64
_NO_NAME = {VolumeSnapshotState.DELETED, VolumeSnapshotState.ERROR}


def adopt(
    session: Session,
    host: str,
    vm: VmSeen,
    *,
    snapshots: Sequence[SnapshotSeen],
    volumes: Sequence[VolumeSnapshotSeen],
    actor: str,
) -> None:
    """Take snapshots and volume snapshots of a VM into the rows, with the tree they form.

    They belong to the VM's account, or the administrator's if it has none. One whose deletion was begun comes in as
    `error`, so that it can be deleted. What is not in a manifest (how long the VM was paused) is left empty.
    """
    here = session.scalars(select(Host.id).where(Host.name == host)).one()
    if lock_vm(session, vm.uuid) is None:
        record_vm(session, here, vm)
    row = session.get_one(Vm, vm.uuid)
    known = _lock(session, [one.id for one in snapshots])
    for one in sorted(snapshots, key=lambda one: (str(one.words.get("created_at")), one.id)):
        _adopt_snapshot(session, row, known.get(one.id), one, actor)
    session.flush()
    for volume in volumes:
        _adopt_volume(session, row, volume, actor)
    session.flush()
    record_vm(session, here, vm)


def lose_snapshot(session: Session, snapshot: UUID, host: str, actor: str) -> None:
    """Nothing of a snapshot that is ready is on the host."""
    row = session.execute(select(Snapshot.name, Snapshot.folder).where(Snapshot.id == snapshot)).one()
    error = SnapshotLost(snapshot=row.name, host=host, folder=row.folder)
    _spoil(session, snapshot, error, actor)


def mark_half_deleted(session: Session, snapshot: UUID, actor: str) -> None:
    """A snapshot that is ready by its row cannot be reverted to any more: its deletion was begun."""
    name = session.scalars(select(Snapshot.name).where(Snapshot.id == snapshot)).one()
    _spoil(session, snapshot, DeletionUnfinished(snapshot=name), actor)


def lose_volume(session: Session, volume: UUID, host: str, actor: str) -> None:
    """The image of a volume snapshot that is ready is gone."""
    row = session.get_one(VolumeSnapshot, volume)
    error = VolumeSnapshotLost(volume=row.name, host=host, path=row.path)
    move_volume_snapshot(session, volume, VolumeSnapshotState.ERROR, error=error.to_json())
    _tell(session, row, Told(EventType.VOLUME_LOST, actor, Level.ERROR, error.detail))


def _lock(session: Session, snapshots: Sequence[UUID]) -> dict[UUID, Snapshot]:
    """Those that there are, locked in the order in which requests lock several."""
    of = select(Snapshot).where(Snapshot.id.in_(snapshots)).order_by(Snapshot.id)
    of = of.with_for_update(key_share=True).execution_options(populate_existing=True)
    return {row.id: row for row in session.scalars(of)}


def _check_still(row: Snapshot, state: SnapshotState) -> None:
    """Raises LostRace if a job began with it after it was looked at: then it is that job's affair."""
    if row.state is not state:
        raise LostRace(what=f"snapshot {row.id}", expected=state, found=row.state)


def _spoil(session: Session, snapshot: UUID, error: StillframeError, actor: str) -> None:
    for row in _lock(session, [snapshot]).values():
        _check_still(row, SnapshotState.READY)
    said = error.to_json()
    told = Told(EventType.SNAPSHOT_LOST, actor, Level.ERROR, error.detail, {"error": said})
    move_snapshot(session, snapshot, SnapshotState.ERROR, told=told, error=said, current=False)


def _adopt_snapshot(session: Session, vm: Vm, known: Snapshot | None, seen: SnapshotSeen, actor: str) -> None:
    if known is not None:
        _check_still(known, SnapshotState.ERROR)
        name = _free_name(session, vm.id, known.name, seen.id)
        told = Told(EventType.SNAPSHOT_ADOPTED, actor, message=name)
        found: dict[str, Any] = {"error": None, "folder": seen.folder, "name": name}
        move_snapshot(session, seen.id, SnapshotState.READY, told=told, **found)
        session.expire(known)
        return
    created_at = _instant(seen.words.get("created_at"))
    name = _free_name(session, vm.id, _name(seen.words.get("name"), "adopted", seen.id), seen.id)
    row = Snapshot(
        id=seen.id,
        vm_id=vm.id,
        host_id=vm.host_id,
        account_id=vm.account_id or ADMIN_ACCOUNT,
        name=name,
        display_name=_text(seen.words.get("display_name"), 255) or name,
        description=_text(seen.words.get("description"), 4096),
        tags=[_text(tag, 64) for tag in _list(seen.words.get("tags"))],
        type=SnapshotType(seen.type),
        consistency=Consistency(seen.consistency) if seen.consistency else None,
        state=SnapshotState.READY if seen.whole else SnapshotState.ERROR,
        error=None if seen.whole else DeletionUnfinished(snapshot=name).to_json(),
        folder=seen.folder,
        memory_bytes=seen.memory_bytes,
        created_at=created_at,
        ready_at=created_at,
    )
    session.add(row)
    session.flush()
    told = Told(EventType.SNAPSHOT_ADOPTED, actor, message=name, data={"folder": seen.folder})
    tell(session, told, vm=vm.id, snapshot=seen.id, host=vm.host_id)


def _adopt_volume(session: Session, vm: Vm, seen: VolumeSnapshotSeen, actor: str) -> None:
    known = session.get(VolumeSnapshot, seen.id)
    if known is not None:
        name = _free_volume_name(session, known.account_id, known.name, seen.id)
        found = {"error": None, "path": seen.path, "name": name}
        move_volume_snapshot(session, seen.id, VolumeSnapshotState.READY, **found)
        _tell(session, known, Told(EventType.VOLUME_ADOPTED, actor, message=name))
        return
    if session.get(Snapshot, seen.snapshot) is None:
        session.add(_deleted_one(vm, seen.snapshot))
        session.flush()
    owner = vm.account_id or ADMIN_ACCOUNT
    name = _name(seen.name, "adopted", seen.id)
    created_at = _instant(seen.created_at)
    row = VolumeSnapshot(
        id=seen.id,
        name=_free_volume_name(session, owner, name, seen.id),
        state=VolumeSnapshotState.READY,
        snapshot_id=seen.snapshot,
        vm_id=vm.id,
        host_id=vm.host_id,
        account_id=owner,
        target=seen.target,
        format=seen.format,
        virtual_bytes=seen.virtual_bytes,
        size_bytes=seen.size_bytes,
        sha256=seen.sha256,
        path=seen.path,
        created_at=created_at,
        ready_at=created_at,
    )
    session.add(row)
    session.flush()
    _tell(session, row, Told(EventType.VOLUME_ADOPTED, actor, message=row.name))


def _deleted_one(vm: Vm, snapshot: UUID) -> Snapshot:
    """The snapshot that an image was extracted out of, deleted since: its row is all there can be of it."""
    name = f"deleted-{snapshot.hex[-6:]}"
    return Snapshot(
        id=snapshot,
        vm_id=vm.id,
        host_id=vm.host_id,
        account_id=vm.account_id or ADMIN_ACCOUNT,
        name=name,
        display_name=name,
        type=SnapshotType.HOT,
        state=SnapshotState.DELETED,
    )


def _tell(session: Session, row: VolumeSnapshot, told: Told) -> None:
    told = replace(told, data={"volume_snapshot_id": str(row.id)})
    tell(session, told, vm=row.vm_id, snapshot=row.snapshot_id, host=row.host_id)


def _free_name(session: Session, vm: UUID, name: str, id_: UUID) -> str:
    taken = select(Snapshot.id).where(
        Snapshot.vm_id == vm,
        Snapshot.name == name,
        Snapshot.state.not_in(NAMELESS),
        Snapshot.origin == SnapshotOrigin.STILLFRAME,
    )
    return _with_id(name, id_) if session.scalar(taken.limit(1)) else name


def _free_volume_name(session: Session, owner: UUID, name: str, id_: UUID) -> str:
    taken = select(VolumeSnapshot.id).where(
        VolumeSnapshot.account_id == owner, VolumeSnapshot.name == name, VolumeSnapshot.state.not_in(_NO_NAME)
    )
    return _with_id(name, id_) if session.scalar(taken.limit(1)) else name


def _with_id(name: str, id_: UUID) -> str:
    end = f"-{id_.hex[-6:]}"
    return name[: _LONGEST_NAME - len(end)] + end


def _name(said: Any, prefix: str, id_: UUID) -> str:
    """What a file on a host says is not believed to be a name."""
    with suppress(NameInvalid, TypeError):
        return check_name(said, "snapshot")
    return _with_id(prefix, id_)


def _text(said: Any, most: int) -> str:
    return said.replace("\0", "")[:most] if isinstance(said, str) else ""


def _list(said: Any) -> list[Any]:
    return said if isinstance(said, list) else []


def _instant(said: Any) -> datetime | Any:
    """When it was taken; now, by the database's clock, if that is not known."""
    try:
        at = datetime.fromisoformat(said)
    except (TypeError, ValueError):
        return func.now()
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
