"""Lists and details of volume snapshots."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, or_, select

from models.base import Json
from models.hosts.tables import Host
from models.queries.find import as_id, containing, ending, vm_ids
from models.queries.paging import AnyRow, AnySelect, Order, Wanted, instant, page
from models.queries.policies import policy_id
from models.snapshots.tables import VolumeSnapshot
from models.snapshots.volumes import volume_deletions
from models.tenants.actor import Actor
from models.tenants.scope import mine
from models.tenants.tables import Account, Domain
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
    q: str | None = None


def volumes(connection: Connection, actor: Actor, filters: Filters, wanted: Wanted) -> Json:
    """A page, newest first; raises VmNotFound."""
    statement = _select(actor)
    if filters.vm is not None:
        statement = statement.where(
            VolumeSnapshot.vm_id.in_(vm_ids(connection, actor, filters.vm, gone=True))
        )
    if filters.snapshot is not None:
        statement = statement.where(VolumeSnapshot.snapshot_id == filters.snapshot)
    if filters.policy is not None:
        of = as_id(filters.policy) or policy_id(connection, actor, filters.policy)
        statement = statement.where(VolumeSnapshot.policy_id == of)
    if filters.states:
        statement = statement.where(VolumeSnapshot.state.in_(filters.states))
    else:
        statement = statement.where(VolumeSnapshot.state != VolumeSnapshotState.DELETED)
    if filters.q:
        by_id = ending(_ID, filters.q)
        parts = [VolumeSnapshot.name.ilike(containing(filters.q)), *([by_id] if by_id is not None else [])]
        statement = statement.where(or_(*parts))
    return page(connection, statement, NEWEST_FIRST, wanted, _items(actor))


def volume(connection: Connection, actor: Actor, id_: UUID) -> Json:
    """One volume snapshot, also a deleted one; raises VolumeSnapshotNotFound."""
    rows = connection.execute(_select(actor).where(VolumeSnapshot.id == id_)).all()
    if not rows:
        raise VolumeSnapshotNotFound(volume=str(id_))
    return _items(actor)(connection, rows)[0]


def _select(actor: Actor) -> AnySelect:
    one = VolumeSnapshot
    return (
        select(
            *(
                one.id,
                one.name,
                one.state,
                one.snapshot_id,
                one.policy_id,
                one.target,
                one.format,
                one.virtual_bytes,
            ),
            *(one.size_bytes, one.sha256, one.path, one.created_at, one.ready_at, one.error),
            *(Vm.id.label("vm_id"), Vm.name.label("vm_name")),
            *(Host.name.label("host"), Account.name.label("account"), Domain.path.label("domain")),
        )
        .join(Vm, Vm.id == one.vm_id)
        .join(Host, Host.id == one.host_id)
        .join(Account, Account.id == one.account_id)
        .join(Domain, Domain.id == Account.domain_id)
        .where(mine(actor, one.account_id))
    )


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
