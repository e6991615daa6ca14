"""Lists of events and comments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, select

from models.base import Json
from models.events.places import newest_place, place_of
from models.events.tables import Comment, Event, EventPlace
from models.jobs.tables import Job
from models.queries.find import vm_ids
from models.queries.paging import AnyRow, AnySelect, Order, Wanted, instant, page
from models.snapshots.tables import Snapshot
from models.tenants.actor import Actor
from models.tenants.scope import mine
from models.vms.tables import Vm
from stillframe.errors import SnapshotNotFound
from stillframe.events import Level

_ID = Event.id.expression
NEWEST_FIRST = Order("-id", _ID, _ID, descending=True, parse=int, parse_id=int)
IN_ORDER = Order(
    "place",
    EventPlace.place.expression,
    EventPlace.event_id.expression,
    descending=False,
    parse=int,
    parse_id=int,
)
SAID_IN_ORDER = Order(
    "created_at", Comment.created_at.expression, Comment.id.expression, descending=False, parse=instant
)

OR_WORSE = {Level.WARNING: (Level.WARNING, Level.ERROR), Level.ERROR: (Level.ERROR,)}


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which events. With `after`, an event's id, they come oldest first and none is ever missed.

    `type` with a dot at its end is a beginning: `job.`; `level` means this one or worse.
    """

    vm: str | None = None
    snapshot: UUID | None = None
    job: UUID | None = None
    type: str | None = None
    level: Level | None = None
    steps: bool = True
    after: int | None = None


def events(connection: Connection, actor: Actor, filters: Filters, wanted: Wanted) -> Json:
    """A page, newest first unless `after` is given; raises VmNotFound."""
    found = shown().where(*conditions(connection, actor, filters))
    if filters.after is None:
        return page(connection, found, NEWEST_FIRST, wanted, items)
    newest_place(connection)
    after = EventPlace.place > place_of(connection, filters.after)
    found = found.join(EventPlace, EventPlace.event_id == Event.id).where(after)
    return page(connection, found, IN_ORDER, wanted, items)


def shown() -> AnySelect:
    """Events with all that is shown of them."""
    return (
        select(
            *(Event.id, Event.at, Event.type, Event.level, Event.actor, Event.vm_id, Event.snapshot_id),
            *(Event.job_id, Event.message, Event.data, Vm.name.label("vm_name")),
            *(Job.kind.label("job_kind"), Snapshot.name.label("snapshot_name")),
        )
        .outerjoin(Vm, Vm.id == Event.vm_id)
        .outerjoin(Job, Job.id == Event.job_id)
        .outerjoin(Snapshot, Snapshot.id == Event.snapshot_id)
    )


def conditions(connection: Connection, actor: Actor, filters: Filters) -> tuple[ColumnElement[bool], ...]:
    """What the actor sees of the filters, as the rows have it; raises VmNotFound. `after` is not among them."""
    return (mine(actor, Event.account_id), *_conditions(connection, actor, filters))


def _conditions(connection: Connection, actor: Actor, filters: Filters) -> Iterator[ColumnElement[bool]]:
    if filters.vm is not None:
        yield Event.vm_id.in_(vm_ids(connection, actor, filters.vm))
    if filters.snapshot is not None:
        yield Event.snapshot_id == filters.snapshot
    if filters.job is not None:
        yield Event.job_id == filters.job
    if filters.type is not None:
        begins = filters.type.endswith(".")
        yield Event.type.startswith(filters.type, autoescape=True) if begins else Event.type == filters.type
    if filters.level in OR_WORSE:
        yield Event.level.in_(OR_WORSE[filters.level])
    if not filters.steps:
        yield ~Event.type.startswith("step.")


def comments(connection: Connection, snapshot: UUID, wanted: Wanted) -> Json:
    """A page of what was said about a snapshot, oldest first."""
    return page(connection, _said_of(snapshot), SAID_IN_ORDER, wanted, _comment_items)


def comment(connection: Connection, snapshot: UUID, id_: UUID) -> Json:
    """One thing that was said; raises SnapshotNotFound when it went with its snapshot."""
    row = connection.execute(_said_of(snapshot).where(Comment.id == id_)).first()
    if row is None:
        raise SnapshotNotFound(snapshot=str(snapshot))
    return dict(row._mapping)


def items(connection: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    """Rows of `shown` as they leave."""
    return [
        {**row._mapping, "vm": {"id": row.vm_id, "name": row.vm_name or ""} if row.vm_id else None}
        for row in rows
    ]


def _comment_items(connection: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    return [dict(row._mapping) for row in rows]


def _said_of(snapshot: UUID) -> AnySelect:
    said = select(Comment.id, Comment.snapshot_id, Comment.author, Comment.text, Comment.created_at)
    return said.where(Comment.snapshot_id == snapshot)
