"""Lists and details of snapshots and volume snapshots, with what may be done with each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, or_, select

from models.base import AnyRow, AnySelect, Json
from models.find import containing, ending, has_a_word
from models.hosts.tables import Host
from models.jobs.about import deletions_of
from models.queries.named import Named, named
from models.queries.owners import with_owner
from models.queries.paging import Order, Wanted, instant
from models.queries.walk import Listing, Way, any_of, walk
from models.snapshots.tables import Snapshot, SnapshotLayer, is_held
from models.tenants.actor import Actor
from models.tenants.scope import mine, my_vms
from models.vms.tables import Layer, Vm
from stillframe.errors import SnapshotNotFound
from stillframe.rules import Hold, SnapshotFacts, actions
from stillframe.states import SnapshotOrigin, SnapshotState, SnapshotType, VmState

_ID = Snapshot.id.expression
#: What was never ready comes before all else.
_READY = func.coalesce(Snapshot.ready_at, func.to_timestamp(0))
_OF_VM = (Vm, Vm.id == Snapshot.vm_id)
_COLUMNS: dict[str, tuple[ColumnElement[Any], Callable[[Any], Any]]] = {
    "created_at": (Snapshot.created_at.expression, instant),
    "ready_at": (_READY, instant),
    "name": (Snapshot.name.expression, str),
    "state": (Snapshot.state.expression, str),
    "size_bytes": (Snapshot.size_bytes.expression, int),
    "vm": (Vm.name.expression, str),
}
_LOOKED_AT = (
    *(Snapshot.account_id, Snapshot.vm_id, Snapshot.policy_id, Snapshot.state, Snapshot.type),
    *(Snapshot.origin, Snapshot.current, Snapshot.held, Snapshot.held_until, Snapshot.created_at),
    *(Snapshot.name, Snapshot.display_name, Snapshot.tags),
)
ORDERS = {
    order.name: order
    for name, (column, parse) in _COLUMNS.items()
    for order in (
        Order(name, column, _ID, False, parse, joined=_OF_VM if name == "vm" else None),
        Order(f"-{name}", column, _ID, True, parse, joined=_OF_VM if name == "vm" else None),
    )
}


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which snapshots. Without states, all but the deleted ones; those of VMs that are gone only if asked for."""

    vm: str | None = None
    states: tuple[SnapshotState, ...] = ()
    type: SnapshotType | None = None
    origin: SnapshotOrigin | None = None
    current: bool | None = None
    held: bool | None = None
    #: By name or id; by id also one that is deleted.
    policy: str | None = None
    #: All of them.
    tags: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    account: str | None = None
    domain: str | None = None
    q: str | None = None
    gone: bool = False


def snapshots(connection: Connection, actor: Actor, filters: Filters, sort: str, wanted: Wanted) -> Json:
    """A page of snapshots; raises VmNotFound for a VM that nobody knows, VmGone for the name of one that is gone."""
    of = named(
        *(connection, actor),
        vm=filters.vm,
        gone=filters.gone,
        policy=filters.policy,
        account=filters.account,
        domain=filters.domain,
    )
    return walk(connection, _listing(actor, of, filters, ORDERS[sort]), wanted, _items(actor))


def snapshot(connection: Connection, actor: Actor, id_: UUID) -> Json:
    """One snapshot, also a deleted one; raises SnapshotNotFound."""
    rows = connection.execute(_select(actor).where(Snapshot.id == id_)).all()
    if not rows:
        raise SnapshotNotFound(snapshot=str(id_))
    return _items(actor)(connection, rows)[0]


def check_known(connection: Connection, actor: Actor, id_: UUID) -> None:
    """Raises SnapshotNotFound."""
    of = select(Snapshot.id).where(Snapshot.id == id_, mine(actor, Snapshot.account_id))
    if connection.scalar(of) is None:
        raise SnapshotNotFound(snapshot=str(id_))


def _listing(actor: Actor, of: Named, filters: Filters, order: Order) -> Listing:
    by_time = order.column is Snapshot.created_at.expression
    made = tuple(_made(filters))
    ways = _ways(actor, of, filters, by_time=by_time)
    return Listing(
        entity=Snapshot,
        columns=_LOOKED_AT,
        order=order,
        conditions=lambda one: _conditions(of, filters, one),
        joined=lambda one: [(Vm, Vm.id == one.vm_id)],
        shown=_select(actor),
        ways=tuple(ways) if by_time or not made else (*ways, Way(select(Snapshot.id).where(*made))),
        within=made if by_time else (),
    )


def _ways(actor: Actor, of: Named, filters: Filters, *, by_time: bool) -> Iterator[Way]:
    def by(condition: ColumnElement[bool], *, in_order: bool = True, words: bool = False) -> Way:
        ids = select(Snapshot.id).where(condition)
        return Way(ids, condition if in_order and by_time else None, words)

    if of.vms is not None:
        yield by(Snapshot.vm_id.in_(of.vms), in_order=len(of.vms) == 1)
    if of.policy is not None:
        yield by(Snapshot.policy_id == of.policy, in_order=False)
    yield from of.owned.ways(Snapshot.id, Snapshot.account_id, in_order=by_time)
    if filters.q and has_a_word(filters.q):
        yield Way(_mentioning(actor, filters.q), words=True)
    if filters.tags:
        yield by(Snapshot.tags.contains(list(filters.tags)), in_order=False, words=True)
    if filters.current:
        yield by(Snapshot.current.expression)
    if filters.held:
        yield by(Snapshot.held.expression)
    if filters.states:
        yield by(Snapshot.state.in_(filters.states), in_order=len(filters.states) == 1)


def _made(filters: Filters, one: Any = Snapshot) -> Iterator[ColumnElement[bool]]:
    if filters.created_after is not None:
        yield one.created_at >= filters.created_after
    if filters.created_before is not None:
        yield one.created_at < filters.created_before


def _conditions(of: Named, filters: Filters, one: Any) -> Iterator[ColumnElement[bool]]:
    yield from of.conditions(one)
    if of.vms is None and not filters.gone:
        yield ~Vm.gone
    yield one.state.in_(filters.states) if filters.states else one.state != SnapshotState.DELETED
    for column, wanted in (
        (one.type, filters.type),
        (one.origin, filters.origin),
        (one.current, filters.current),
        (is_held(one), filters.held),
    ):
        if wanted is not None:
            yield column == wanted
    if filters.tags:
        yield one.tags.contains(list(filters.tags))
    yield from _made(filters, one)
    if filters.q:
        yield or_(*_mentions(one, filters.q), Vm.name.ilike(containing(filters.q)))


def _mentions(one: Any, text: str) -> Iterator[ColumnElement[bool]]:
    """Each has an index of its own."""
    pattern = containing(text)
    yield one.name.ilike(pattern)
    yield one.display_name.ilike(pattern)
    yield one.tags.contains([text])
    if (by_id := ending(one.id, text)) is not None:
        yield by_id


def _mentioning(actor: Actor, text: str) -> AnySelect:
    """The ids of all that mention it themselves, or whose VM's name does."""
    named = select(Vm.id).where(Vm.name.ilike(containing(text)), my_vms(actor))
    of_vms = select(Snapshot.id).join(Vm, Vm.id == Snapshot.vm_id).where(Vm.id.in_(named))
    return any_of([*(select(Snapshot.id).where(part) for part in _mentions(Snapshot, text)), of_vms])


def _select(actor: Actor) -> AnySelect:
    rows = (
        select(
            *(Snapshot.id, Snapshot.name, Snapshot.display_name, Snapshot.description, Snapshot.state),
            *(Snapshot.type, Snapshot.consistency, Snapshot.current, Snapshot.parent_id, Snapshot.policy_id),
            *(is_held().label("held"), Snapshot.hold_reason, Snapshot.held_by, Snapshot.held_until),
            *(Snapshot.tags, Snapshot.created_at, Snapshot.ready_at, Snapshot.expires_at),
            *(Snapshot.size_bytes, Snapshot.memory_bytes, Snapshot.pause_ms, Snapshot.freeze_ms),
            *(Snapshot.error, Snapshot.origin, Snapshot.foreign, Host.name.label("host")),
            *(Vm.id.label("vm_id"), Vm.name.label("vm_name")),
            *(Vm.state.label("vm_state"), Vm.gone.label("vm_gone")),
        )
        .join(Vm, Vm.id == Snapshot.vm_id)
        .join(Host, Host.id == Snapshot.host_id)
    )
    return with_owner(rows, Snapshot.account_id).where(mine(actor, Snapshot.account_id))


def _items(actor: Actor) -> Callable[[Connection, Sequence[AnyRow]], list[Json]]:
    def items(connection: Connection, rows: Sequence[AnyRow]) -> list[Json]:
        ids = [row.id for row in rows]
        volumes, deletions = _volumes(connection, ids), deletions_of(connection, ids)
        return [
            {
                **row._mapping,
                "vm": {"id": row.vm_id, "name": row.vm_name},
                "vm_state": VmState.GONE if row.vm_gone else row.vm_state,
                "hold": asdict(hold) if (hold := _hold(row)) else None,
                "volumes": volumes.get(row.id, []),
                "actions": actions(_facts(row, deletions.get(row.id)), actor.rights),
            }
            for row in rows
        ]

    return items


def _facts(row: AnyRow, deletion: UUID | None) -> SnapshotFacts:
    return SnapshotFacts(
        name=row.name,
        state=row.state,
        type=row.type,
        vm=row.vm_name,
        vm_state=VmState.GONE if row.vm_gone else row.vm_state,
        host=row.host,
        deletion=deletion,
        hold=_hold(row),
        cannot=(row.foreign or {}).get("cannot", {}),
        foreign=row.foreign is not None,
    )


def _hold(row: AnyRow) -> Hold | None:
    return Hold(row.hold_reason or "", row.held_by or "", row.held_until) if row.held else None


def _volumes(connection: Connection, ids: list[UUID]) -> dict[UUID, list[Json]]:
    found: dict[UUID, list[Json]] = {}
    layers = (
        select(
            *(SnapshotLayer.snapshot_id, SnapshotLayer.target, SnapshotLayer.path.label("layer")),
            *(SnapshotLayer.virtual_bytes, Layer.size_bytes),
        )
        .outerjoin(Layer, Layer.id == SnapshotLayer.layer_id)
        .where(SnapshotLayer.snapshot_id.in_(ids))
        .order_by(SnapshotLayer.snapshot_id, SnapshotLayer.target)
    )
    for row in connection.execute(layers):
        found.setdefault(row.snapshot_id, []).append(dict(row._mapping))
    return found
