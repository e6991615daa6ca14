"""What people say about a snapshot: its display name, description and tags, and comments. No worker hears of it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, insert, select, update

from models.base import Json
from models.event import Comment
from models.ids import new_id
from models.moves import Told, tell
from models.snapshot import Snapshot
from stillframe.errors import Refused, SnapshotNotFound
from stillframe.events import EventType
from stillframe.states import SnapshotState

EDITABLE = ("display_name", "description", "tags")


class SnapshotChanged(Refused):
    """Snapshot "{snapshot}" has been edited since it was read."""

    code = "snapshot.changed"
    remedy = "Read it again, look at what changed, and send the new ETag as If-Match."


def etag(snapshot: Mapping[str, Any]) -> str:
    """A fingerprint of what `edit` can change."""
    words = json.dumps([snapshot["display_name"], snapshot["description"], list(snapshot["tags"])])
    return f'"{hashlib.sha256(words.encode()).hexdigest()[:20]}"'


def edit(engine: Engine, id_: UUID, changes: Json, actor: str, seen: tuple[str, ...] = ()) -> None:
    """Sets some of EDITABLE. With `seen`, only if the snapshot still has one of these etags: else SnapshotChanged."""
    with engine.begin() as connection:
        of = select(Snapshot.__table__).where(Snapshot.id == id_).with_for_update()
        found = connection.execute(of).first()
        row = dict(found._mapping) if found else None
        if row is None or row["state"] == SnapshotState.DELETED:
            raise SnapshotNotFound(snapshot=str(id_))
        if seen and etag(row) not in seen:
            raise SnapshotChanged(snapshot=row["name"])
        different = {name: value for name, value in changes.items() if row[name] != value}
        if not different:
            return
        connection.execute(update(Snapshot).where(Snapshot.id == id_).values(different))
        edited = {name: {"old": row[name], "new": value} for name, value in different.items()}
        message = f"{actor} changed {', '.join(sorted(different))} of snapshot {row['name']}"
        _told(connection, Told(EventType.SNAPSHOT_EDITED, actor, message=message, data=edited), row)


def comment(engine: Engine, snapshot: UUID, text: str, author: str) -> Json:
    """Adds a comment, also to a snapshot that failed; not to one that is deleted."""
    with engine.begin() as connection:
        of = select(Snapshot.__table__).where(Snapshot.id == snapshot).with_for_update(key_share=True)
        found = connection.execute(of).first()
        row = dict(found._mapping) if found else None
        if row is None or row["state"] == SnapshotState.DELETED:
            raise SnapshotNotFound(snapshot=str(snapshot))
        values = {"id": new_id(), "snapshot_id": snapshot, "author": author, "text": text}
        at = connection.scalar(insert(Comment).values(values).returning(Comment.created_at))
        message = f"{author} commented on snapshot {row['name']}"
        said = {"comment_id": str(values["id"])}
        _told(connection, Told(EventType.COMMENT_ADDED, author, message=message, data=said), row)
    return {**values, "created_at": at}


def _told(connection: Connection, told: Told, row: Mapping[str, Any]) -> None:
    tell(connection, told, vm=row["vm_id"], snapshot=row["id"], host=row["host_id"])
