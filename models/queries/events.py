"""Lists of events and comments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, or_, select

from models.base import AnyRow, AnySelect, Json
from models.events.places import newest_place, place_of
from models.events.tables import Comment, Event, EventPlace
from models.jobs.tables import Job
from models.queries.named import Named, named
from models.queries.paging import Order, Wanted, instant, page
from models.queries.walk import Listing, Way, newest, walk
from models.snapshots.tables import Snapshot
from models.tenants.actor import Actor
from models.tenants.scope import owner_of
from models.vms.tables import Vm
from stillframe.errors import SnapshotNotFound
from stillframe.events import OR_WORSE, Level

_ID = Event.id.expression
NEWEST_FIRST = Order("-id", _ID, _ID, descending=True, parse=int, parse_id=int)
IN_ORDER = Order(
    "place",
    EventPlace.place.expression,
    EventPlace.event_id.expression,
    descending=False,
    parse=int,
    parse_id=int,
    joined=(EventPlace, EventPlace.event_id == Event.id),
)
SAID_IN_ORDER = Order(
    "created_at", Comment.created_at.expression, Comment.id.expression, descending=False, parse=instant
)


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which events. With `after`, an event's id, they come oldest first and none is ever missed.

    `type` with a dot at its end is a beginning: `job.`; `level` means this one or worse.
    """

    vm: str | None = None
    snapshot: UUID | None = None
    job: UUID | None = None
    account: str | None = None
    #: With all below it.
    domain: str | None = None
    type: str | None = None
    level: Level | None = None
    steps: bool = True
    after: int | None = None


def named_by(connection: Connection, actor: Actor, filters: Filters) -> Named:
    """What the filters name; raises VmNotFound, AccountNotFound or DomainNotFound."""
    return named(connection, actor, vm=filters.vm, account=filters.account, domain=filters.domain)


def events(connection: Connection, actor: Actor, filters: Filters, wanted: Wanted) -> Json:
    """A page, newest first unless `after` is given; raises VmNotFound, AccountNotFound or DomainNotFound."""
    of = named_by(connection, actor, filters)
    if filters.after is None:
        return walk(connection, _listing(of, filters, NEWEST_FIRST), wanted, items)
    newest_place(connection)
    after = EventPlace.place > place_of(connection, filters.after)
    return walk(connection, _listing(of, filters, IN_ORDER, after), wanted, items)


def last_events(connection: Connection, of: Named, filters: Filters, most: int) -> list[int]:
    """The ids of the last so many, as far as a page of them would have them."""
    return newest(connection, _listing(of, filters, NEWEST_FIRST), most)


def shown() -> AnySelect:
    """Events with all that is shown of them.

    A name is that of now as long as the VM or snapshot is whose the event is, and of a VM given away the one it had when
    the job was asked for: what its new owner calls things is not for the one before.
    """
    return (
        select(
            *(Event.id, Event.at, Event.type, Event.level, Event.actor, Event.vm_id, Event.snapshot_id),
            *(Event.job_id, Event.message, Event.data, func.coalesce(Vm.name, Job.vm_name).label("vm_name")),
            *(Job.kind.label("job_kind"), Snapshot.name.label("snapshot_name")),
        )
        .outerjoin(Vm, (Vm.id == Event.vm_id) & _is_its(owner_of(Vm)))
        .outerjoin(Job, Job.id == Event.job_id)
        .outerjoin(Snapshot, (Snapshot.id == Event.snapshot_id) & _is_its(Snapshot.account_id))
    )


def _is_its(account: Any) -> ColumnElement[bool]:
    """Whether that account is still the event's; those without one are for people who see everything."""
    return or_(account == Event.account_id, Event.account_id.is_(None))


def _listing(of: Named, filters: Filters, order: Order, *within: ColumnElement[bool]) -> Listing:
    return Listing(
        entity=Event,
        columns=(*(Event.account_id, Event.vm_id, Event.snapshot_id, Event.job_id, Event.type, Event.level),),
        order=order,
        conditions=lambda one: conditions(of, filters, one),
        shown=shown(),
        ways=tuple(_ways(of, filters, in_order=order is NEWEST_FIRST)),
        within=within,
    )


def _ways(of: Named, filters: Filters, *, in_order: bool) -> Iterator[Way]:
    def by(condition: ColumnElement[bool], *, by_id: bool = True) -> Way:
        return Way(select(Event.id).where(condition), condition if by_id and in_order else None)

    if filters.job is not None:
        yield by(Event.job_id == filters.job)
    if filters.snapshot is not None:
        yield by(Event.snapshot_id == filters.snapshot)
    if of.vms is not None:
        yield by(Event.vm_id.in_(of.vms), by_id=len(of.vms) == 1)
    if filters.type is not None:
        yield by(_is_of_type(Event, filters.type), by_id=not filters.type.endswith("."))
    yield from of.owned.ways(Event.id, Event.account_id, in_order=in_order)
    if filters.level in OR_WORSE:
        yield by(Event.level.in_(OR_WORSE[Level.WARNING]))


def conditions(of: Named, filters: Filters, one: Any = Event) -> Iterator[ColumnElement[bool]]:
    """What the actor sees of the filters, as the rows have it. `after` is not among them."""
    yield from of.conditions(one)
    for column, wanted in ((one.snapshot_id, filters.snapshot), (one.job_id, filters.job)):
        if wanted is not None:
            yield column == wanted
    if filters.type is not None:
        yield _is_of_type(one, filters.type)
    if filters.level in OR_WORSE:
        yield one.level.in_(OR_WORSE[filters.level])
    if not filters.steps:
        yield ~one.type.startswith("step.")


def _is_of_type(one: Any, wanted: str) -> ColumnElement[bool]:
    of_type: ColumnElement[bool] = (
        one.type.startswith(wanted, autoescape=True) if wanted.endswith(".") else one.type == wanted
    )
    return of_type


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
