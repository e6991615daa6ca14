"""What people say about a snapshot: its names, description and tags, when it expires, and comments. No worker hears of it."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.base import Json
from models.events.tables import Comment
from models.ids import new_id
from models.jobs.about import deletions_of
from models.moves import Told, tell
from models.session import violated
from models.snapshots.tables import Snapshot
from models.vms.tables import Vm
from stillframe.errors import (
    DeletionAsked,
    ForeignCannot,
    Invalid,
    NameTaken,
    SnapshotChanged,
    SnapshotNotFound,
)
from stillframe.events import EventType
from stillframe.names import check_name
from stillframe.states import SnapshotOrigin, SnapshotState

EDITABLE = ("name", "display_name", "description", "tags", "expires_at")


def etag(snapshot: Mapping[str, Any]) -> str:
    """A fingerprint of what `edit` can change."""
    expires_at = snapshot["expires_at"] and snapshot["expires_at"].timestamp()
    words = json.dumps([*(snapshot[name] for name in EDITABLE[:4]), expires_at])
    return f'"{hashlib.sha256(words.encode()).hexdigest()[:20]}"'


def edit(engine: Engine, id_: UUID, changes: Json, actor: str, seen: tuple[str, ...] = ()) -> None:
    """Sets some of EDITABLE. With `seen`, only if the snapshot still has one of these etags: else SnapshotChanged.

    Raises NameInvalid, NameTaken, ForeignCannot for the name of another tool's, Invalid for a time that is over.
    """
    with engine.begin() as connection:
        of = select(Snapshot.__table__, Vm.name.label("vm_name")).join(Vm, Vm.id == Snapshot.vm_id)
        of = of.where(Snapshot.id == id_).with_for_update(of=Snapshot.__table__)
        found = connection.execute(of).first()
        row = dict(found._mapping) if found else None
        if row is None or row["state"] == SnapshotState.DELETED:
            raise SnapshotNotFound(snapshot=str(id_))
        if seen and etag(row) not in seen:
            raise SnapshotChanged(snapshot=row["name"])
        wanted = changes | _expiry(connection, changes)
        different = {name: value for name, value in wanted.items() if row[name] != value}
        if not different:
            return
        if "expires_at" in different and (job := deletions_of(connection, [id_]).get(id_)):
            raise DeletionAsked(snapshot=row["name"], job=job)
        if "name" in different:
            _check_name(row, different["name"])
        _update(connection, row, different)
        edited = {name: {"old": _plain(row[name]), "new": _plain(value)} for name, value in different.items()}
        message = f"{actor} changed {', '.join(sorted(different))} of snapshot {row['name']}"
        _told(connection, Told(EventType.SNAPSHOT_EDITED, actor, message=message, data=edited), row)


def _expiry(connection: Connection, changes: Json) -> Json:
    """A length of time counts from now, by the database's clock."""
    wanted = changes.get("expires_at")
    if wanted is None:
        return {}
    now = connection.scalars(select(func.now())).one()
    at = now + wanted if isinstance(wanted, timedelta) else wanted
    if at <= now:
        raise Invalid(detail=f"expires_at is over: {at.isoformat()}")
    return {"expires_at": at}


def _check_name(row: Json, name: str) -> None:
    check_name(name, "snapshot")
    if row["origin"] == SnapshotOrigin.FOREIGN:
        raise ForeignCannot(snapshot=row["name"], why="its name is the one that its tool knows it by")


def _update(connection: Connection, row: Json, values: Json) -> None:
    if "expires_at" in values:
        values = values | {"expiry_tried_at": None, "expiry_refusal": None}
    try:
        connection.execute(update(Snapshot).where(Snapshot.id == row["id"]).values(values))
    except IntegrityError as error:
        if violated(error) != "uq_snapshot_live_name":
            raise
        raise NameTaken(vm=row["vm_name"], name=values["name"]) from error


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def comment(session: Session, snapshot: UUID, text: str, author: str) -> UUID:
    """Adds a comment, also to a snapshot that failed; not to one that is deleted. Returns its id."""
    connection = session.connection()
    of = select(Snapshot.__table__).where(Snapshot.id == snapshot).with_for_update(key_share=True)
    found = connection.execute(of).first()
    row = dict(found._mapping) if found else None
    if row is None or row["state"] == SnapshotState.DELETED:
        raise SnapshotNotFound(snapshot=str(snapshot))
    id_ = new_id()
    connection.execute(insert(Comment).values(id=id_, snapshot_id=snapshot, author=author, text=text))
    message = f"{author} commented on snapshot {row['name']}"
    said = {"comment_id": str(id_)}
    _told(connection, Told(EventType.COMMENT_ADDED, author, message=message, data=said), row)
    return id_


def _told(connection: Connection, told: Told, row: Mapping[str, Any]) -> None:
    tell(connection, told, vm=row["vm_id"], snapshot=row["id"], host=row["host_id"])
