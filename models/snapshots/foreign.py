"""Rows of snapshots that other tools made: shown and kept true, never counted, their names in no path."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from uuid import UUID, uuid5

from sqlalchemy.orm import Session

from models.base import Json
from models.moves import Told, move_snapshot, tell
from models.snapshots.tables import Snapshot, SnapshotLayer
from models.tenants.tables import ADMIN_ACCOUNT
from models.vms.known import Known
from stillframe.events import EventType
from stillframe.seen import ForeignSeen, VmSeen
from stillframe.states import SnapshotOrigin, SnapshotState, SnapshotType

#: Names of others have any length; what is shown has one that an index takes.
_LONGEST_NAME = 255
_LATEST_S = 4_102_444_800
#: Nobody is at work on a snapshot in one of these.
_AT_REST = (SnapshotState.READY, SnapshotState.ERROR)


def record_foreign(session: Session, host: UUID, account: UUID | None, seen: VmSeen, known: Known) -> None:
    """Make the rows of a VM's foreign snapshots say what was seen; called before the VM's own tree is recorded.

    One that is not there any more is deleted, but for one that a job is at work on: its end says what became of it.
    """
    left = {_key(row): row for row in known.foreign.values()}
    rows: dict[str, Snapshot] = {}
    for key, one in {(one.name, one.created_at): one for one in seen.foreign or ()}.items():
        row = left.pop(key, None)
        if row is None:
            row = _new(session, host, account or ADMIN_ACCOUNT, seen.uuid, one)
        _update(row, one)
        _record_volumes(session, row, one, seen, known)
        rows[one.name] = row
    for row in left.values():
        if row.state in _AT_REST:
            _mark_deleted(session, row)
    session.flush()
    _record_places(session, rows, seen, known)


def is_still_there(session: Session, snapshot: UUID, seen: VmSeen) -> bool:
    """Whether a snapshot is a foreign one and was seen."""
    row = session.get_one(Snapshot, snapshot)
    foreign = row.origin is SnapshotOrigin.FOREIGN
    return foreign and _key(row) in {(one.name, one.created_at) for one in seen.foreign or ()}


def _key(row: Snapshot) -> tuple[str, int]:
    said = row.foreign or {}
    return str(said.get("name")), int(said.get("created_at", 0))


def _new(session: Session, host: UUID, account: UUID, vm: UUID, one: ForeignSeen) -> Snapshot:
    shown = one.name[:_LONGEST_NAME]
    row = Snapshot(
        id=_free_id(session, vm, one),
        vm_id=vm,
        host_id=host,
        account_id=account,
        name=shown,
        display_name=shown,
        description=one.description,
        type=_type(one),
        state=SnapshotState.READY,
        created_at=datetime.fromtimestamp(min(max(one.created_at, 0), _LATEST_S), UTC),
        origin=SnapshotOrigin.FOREIGN,
    )
    row.ready_at = row.created_at
    session.add(row)
    session.flush()
    told = Told(EventType.SNAPSHOT_FOUND, "host", message=shown, data={"kind": one.kind})
    tell(session, told, vm=vm, snapshot=row.id, host=host)
    return row


def _free_id(session: Session, vm: UUID, one: ForeignSeen) -> UUID:
    """The same for the same snapshot; one that was deleted and has come back gets another."""
    number = 0
    while True:
        id_ = uuid5(vm, f"{one.name}\n{one.created_at}\n{number}")
        if session.get(Snapshot, id_) is None:
            return id_
        number += 1


def _type(one: ForeignSeen) -> SnapshotType:
    if one.with_memory:
        return SnapshotType.MEMORY
    return SnapshotType.HOT if one.state in ("running", "paused", "disk-snapshot") else SnapshotType.COLD


def _update(row: Snapshot, one: ForeignSeen) -> None:
    said: Json = {name: value for name, value in asdict(one).items() if name != "description"}
    if row.foreign != said:
        row.foreign = said
    row.memory_bytes = one.memory_bytes or None


def _record_volumes(session: Session, row: Snapshot, one: ForeignSeen, seen: VmSeen, known: Known) -> None:
    sizes: Mapping[str, int] = {volume.target: volume.virtual_bytes for volume in seen.volumes or ()}
    for target, path in one.volumes.items():
        layer = known.frozen.get((row.id, target))
        if layer is None:
            layer = SnapshotLayer(snapshot_id=row.id, target=target)
            session.add(layer)
        layer.path, layer.virtual_bytes = path, sizes.get(target, 0)


def _record_places(session: Session, rows: Mapping[str, Snapshot], seen: VmSeen, known: Known) -> None:
    """Which grew out of which, and where the VM stands, unless it stands on one of ours: it has one current snapshot."""
    current = None
    for one in seen.foreign or ():
        parent = rows.get(one.parent) if one.parent else None
        rows[one.name].parent_id = parent.id if parent else None
        current = rows[one.name] if one.current else current
    ours = seen.tree.current() if seen.tree else None
    if ours in known.snapshots or any(row.current for row in known.snapshots.values()):
        current = None
    for row in rows.values():
        if row.current and row is not current:
            row.current = False
    session.flush()
    if current is not None:
        current.current = True
    session.flush()


def _mark_deleted(session: Session, row: Snapshot) -> None:
    move_snapshot(session, row.id, SnapshotState.DELETING)
    told = Told(EventType.SNAPSHOT_DELETED, "host", message="another tool deleted it")
    move_snapshot(session, row.id, SnapshotState.DELETED, told=told, current=False, error=None)
