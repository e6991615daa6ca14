"""Lists and details of snapshots and volume snapshots, with what may be done with each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, or_, select

from models.base import Json
from models.hosts.tables import Host
from models.jobs.about import deletions_of
from models.queries.accounts import owned
from models.queries.find import as_id, containing, ending, vm_ids
from models.queries.paging import AnyRow, AnySelect, Order, Wanted, instant, page
from models.queries.policies import policy_id
from models.snapshots.tables import Snapshot, SnapshotLayer, is_held
from models.tenants.actor import Actor
from models.tenants.scope import mine, my_vms
from models.tenants.tables import Account, Domain
from models.vms.tables import Layer, Vm
from stillframe.errors import SnapshotNotFound
from stillframe.rules import Hold, SnapshotFacts, actions
from stillframe.states import SnapshotOrigin, SnapshotState, SnapshotType, VmState

_ID = Snapshot.id.expression
ORDERS = {
    "created_at": Order("created_at", Snapshot.created_at.expression, _ID, descending=False, parse=instant),
    "-created_at": Order("-created_at", Snapshot.created_at.expression, _ID, descending=True, parse=instant),
    "name": Order("name", Snapshot.name.expression, _ID, descending=False),
    "-name": Order("-name", Snapshot.name.expression, _ID, descending=True),
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
    return page(connection, _filtered(connection, actor, filters), ORDERS[sort], wanted, _items(actor))


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


def _filtered(connection: Connection, actor: Actor, filters: Filters) -> AnySelect:
    statement = _select(actor)
    if filters.vm is not None:
        statement = statement.where(
            Snapshot.vm_id.in_(vm_ids(connection, actor, filters.vm, gone=filters.gone))
        )
    elif not filters.gone:
        statement = statement.where(~Vm.gone)
    if filters.states:
        statement = statement.where(Snapshot.state.in_(filters.states))
    else:
        statement = statement.where(Snapshot.state != SnapshotState.DELETED)
    if filters.policy is not None:
        of = as_id(filters.policy) or policy_id(connection, actor, filters.policy)
        statement = statement.where(Snapshot.policy_id == of)
    if filters.tags:
        statement = statement.where(Snapshot.tags.contains(list(filters.tags)))
    statement = statement.where(
        *owned(connection, actor, Snapshot.account_id, filters.account, filters.domain)
    )
    if filters.q:
        statement = statement.where(_mentions(connection, actor, filters.q))
    return statement.where(*_asked_for(filters))


def _asked_for(filters: Filters) -> Iterator[ColumnElement[bool]]:
    for column, wanted in ((Snapshot.type, filters.type), (Snapshot.origin, filters.origin)):
        if wanted is not None:
            yield column == wanted
    for flag, is_set in ((Snapshot.current.expression, filters.current), (is_held(), filters.held)):
        if is_set is not None:
            yield flag if is_set else ~flag
    if filters.created_after is not None:
        yield Snapshot.created_at >= filters.created_after
    if filters.created_before is not None:
        yield Snapshot.created_at < filters.created_before


def _mentions(connection: Connection, actor: Actor, text: str) -> ColumnElement[bool]:
    """The VMs are looked up first, so that each part of the OR can use its own index."""
    pattern = containing(text)
    named = list(connection.scalars(select(Vm.id).where(Vm.name.ilike(pattern), my_vms(actor)).limit(1000)))
    parts: list[ColumnElement[bool]] = [
        Snapshot.name.ilike(pattern),
        Snapshot.display_name.ilike(pattern),
        Snapshot.tags.contains([text]),
    ]
    if named:
        parts.append(Snapshot.vm_id.in_(named))
    if (by_id := ending(_ID, text)) is not None:
        parts.append(by_id)
    return or_(*parts)


def _select(actor: Actor) -> AnySelect:
    return (
        select(
            *(Snapshot.id, Snapshot.name, Snapshot.display_name, Snapshot.description, Snapshot.state),
            *(Snapshot.type, Snapshot.consistency, Snapshot.current, Snapshot.parent_id, Snapshot.policy_id),
            *(is_held().label("held"), Snapshot.hold_reason, Snapshot.held_by, Snapshot.held_until),
            *(Snapshot.tags, Snapshot.created_at, Snapshot.ready_at, Snapshot.expires_at),
            *(
                Snapshot.size_bytes,
                Snapshot.memory_bytes,
                Snapshot.pause_ms,
                Snapshot.freeze_ms,
                Snapshot.error,
                Snapshot.origin,
                Snapshot.foreign,
            ),
            *(
                Vm.id.label("vm_id"),
                Vm.name.label("vm_name"),
                Vm.state.label("vm_state"),
                Vm.gone.label("vm_gone"),
            ),
            *(Host.name.label("host"), Account.name.label("account"), Domain.path.label("domain")),
        )
        .join(Vm, Vm.id == Snapshot.vm_id)
        .join(Host, Host.id == Snapshot.host_id)
        .join(Account, Account.id == Snapshot.account_id)
        .join(Domain, Domain.id == Account.domain_id)
        .where(mine(actor, Snapshot.account_id))
    )


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
