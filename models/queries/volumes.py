"""Lists and details of volume snapshots."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, or_, select

from models.base import AnyRow, AnySelect, Json
from models.find import containing, ending, has_a_word
from models.hosts.tables import Host
from models.queries.named import Named, named
from models.queries.owners import with_owner
from models.queries.paging import Order, Wanted, instant
from models.queries.walk import Listing, Way, any_of, walk
from models.snapshots.tables import VolumeSnapshot
from models.snapshots.volumes import volume_deletions
from models.tenants.actor import Actor
from models.tenants.scope import mine
from models.vms.tables import Vm
from stillframe.errors import VolumeSnapshotNotFound
from stillframe.rules import VolumeSnapshotFacts, volume_actions
from stillframe.states import VolumeSnapshotState

_ID = VolumeSnapshot.id.expression
NEWEST_FIRST = Order("-created_at", VolumeSnapshot.created_at.expression, _ID, descending=True, parse=instant)


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which volume snapshots. Without states, all but the deleted ones. They outlive their VM and are listed all the same."""

    vm: str | None = None
    states: tuple[VolumeSnapshotState, ...] = ()
    snapshot: UUID | None = None
    #: By name or id; by id also one that is deleted.
    policy: str | None = None
    account: str | None = None
    #: With all below it.
    domain: str | None = None
    q: str | None = None


def volumes(connection: Connection, actor: Actor, filters: Filters, wanted: Wanted) -> Json:
    """A page, newest first; raises VmNotFound, PolicyNotFound, AccountNotFound or DomainNotFound."""
    of = named(
        *(connection, actor),
        vm=filters.vm,
        gone=True,
        policy=filters.policy,
        account=filters.account,
        domain=filters.domain,
    )
    one = VolumeSnapshot
    listing = Listing(
        entity=one,
        columns=(one.account_id, one.vm_id, one.snapshot_id, one.policy_id, one.state, one.name),
        order=NEWEST_FIRST,
        conditions=lambda one: _conditions(of, filters, one),
        shown=_select(actor),
        ways=tuple(_ways(of, filters)),
    )
    return walk(connection, listing, wanted, _items(actor))


def volume(connection: Connection, actor: Actor, id_: UUID) -> Json:
    """One volume snapshot, also a deleted one; raises VolumeSnapshotNotFound."""
    rows = connection.execute(_select(actor).where(VolumeSnapshot.id == id_)).all()
    if not rows:
        raise VolumeSnapshotNotFound(volume=str(id_))
    return _items(actor)(connection, rows)[0]


def _ways(of: Named, filters: Filters) -> Iterator[Way]:
    def by(condition: ColumnElement[bool], *, in_order: bool = False) -> Way:
        return Way(select(VolumeSnapshot.id).where(condition), condition if in_order else None)

    if filters.snapshot is not None:
        yield by(VolumeSnapshot.snapshot_id == filters.snapshot)
    if of.vms is not None:
        yield by(VolumeSnapshot.vm_id.in_(of.vms), in_order=len(of.vms) == 1)
    if of.policy is not None:
        yield by(VolumeSnapshot.policy_id == of.policy)
    yield from of.owned.ways(VolumeSnapshot.id, VolumeSnapshot.account_id, in_order=True)
    if filters.q and has_a_word(filters.q):
        parts = (select(VolumeSnapshot.id).where(part) for part in _mentions(VolumeSnapshot, filters.q))
        yield Way(any_of(parts), words=True)


def _conditions(of: Named, filters: Filters, one: Any) -> Iterator[ColumnElement[bool]]:
    yield from of.conditions(one)
    if filters.snapshot is not None:
        yield one.snapshot_id == filters.snapshot
    yield one.state.in_(filters.states) if filters.states else one.state != VolumeSnapshotState.DELETED
    if filters.q:
        yield or_(*_mentions(one, filters.q))


def _mentions(one: Any, text: str) -> Iterator[ColumnElement[bool]]:
    """Each has an index of its own."""
    yield one.name.ilike(containing(text))
    if (by_id := ending(one.id, text)) is not None:
        yield by_id


def _select(actor: Actor) -> AnySelect:
    one = VolumeSnapshot
    rows = (
        select(
            *(one.id, one.name, one.state, one.snapshot_id, one.policy_id, one.target, one.format),
            *(one.virtual_bytes, one.size_bytes, one.sha256, one.path, one.created_at, one.ready_at),
            *(one.error, Vm.id.label("vm_id"), Vm.name.label("vm_name"), Host.name.label("host")),
        )
        .join(Vm, Vm.id == one.vm_id)
        .join(Host, Host.id == one.host_id)
    )
    return with_owner(rows, one.account_id).where(mine(actor, one.account_id))


def _items(actor: Actor) -> Callable[[Connection, Sequence[AnyRow]], list[Json]]:
    def items(connection: Connection, rows: Sequence[AnyRow]) -> list[Json]:
        deletions = volume_deletions(connection, [row.id for row in rows])
        return [
            {
                **row._mapping,
                "vm": {"id": row.vm_id, "name": row.vm_name},
                "actions": volume_actions(
                    VolumeSnapshotFacts(row.name, row.state, deletions.get(row.id)), actor.rights
                ),
            }
            for row in rows
        ]

    return items
