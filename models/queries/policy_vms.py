"""How the VMs that a policy has fired for fare under it, and which of them it has set aside."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, func, select

from models.base import AnyRow, Json
from models.find import vm_ids
from models.policies.meant import vms
from models.policies.tables import PolicyVm
from models.queries.paging import Order, Wanted, page
from models.tenants.actor import Actor
from models.tenants.scope import my_vms
from models.vms.tables import Vm
from stillframe.counting import are

BY_NAME = Order("vm", Vm.name.expression, Vm.id.expression, descending=False)
#: Of many that are set aside so many are read for their names.
_NAMED = 100


@dataclass(frozen=True, kw_only=True)
class Faring:
    """Which VMs."""

    set_aside: bool | None = None
    vm: str | None = None


def policy_vms(connection: Connection, actor: Actor, policy: UUID, filters: Faring, wanted: Wanted) -> Json:
    """Those that it has fired for, by name."""
    own = PolicyVm
    statement = (
        select(
            *(Vm.id, Vm.name, own.failures, own.last_good_at, own.last_bad_at, own.set_aside_at),
            *(own.set_aside_reason, own.prune_refusal, own.volumes_refusal),
        )
        .join(Vm, Vm.id == own.vm_id)
        .where(own.policy_id == policy, my_vms(actor))
    )
    if filters.set_aside is not None:
        aside = own.set_aside_at.is_not(None)
        statement = statement.where(aside if filters.set_aside else ~aside)
    if filters.vm is not None:
        statement = statement.where(own.vm_id.in_(vm_ids(connection, actor, filters.vm)))
    return page(connection, statement, BY_NAME, wanted, _items)


def set_aside(connection: Connection, policy: UUID, of: Collection[UUID]) -> dict[UUID, str]:
    """Of these VMs those that it has set aside, and why."""
    own = select(PolicyVm.vm_id, PolicyVm.set_aside_reason).where(PolicyVm.policy_id == policy)
    rows = connection.execute(own.where(PolicyVm.vm_id.in_(of), PolicyVm.set_aside_at.is_not(None)))
    return {row.vm_id: row.set_aside_reason or "" for row in rows}


def set_aside_in_words(connection: Connection, policy: UUID) -> list[str]:
    """A sentence if there are such VMs."""
    own = select(Vm.name, PolicyVm.set_aside_reason, func.count().over().label("all"))
    of = own.join(Vm, Vm.id == PolicyVm.vm_id).where(
        PolicyVm.policy_id == policy, PolicyVm.set_aside_at.is_not(None)
    )
    rows = connection.execute(of.order_by(PolicyVm.set_aside_at.desc(), Vm.id).limit(_NAMED)).all()
    if not rows:
        return []
    return [
        f"{vms([row.name for row in rows], rows[0].all)} {are(rows[0].all)} set aside, and skipped until resumed: "
        f"{rows[0].set_aside_reason}"
    ]


def _items(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    return [
        {
            "vm": {"id": row.id, "name": row.name},
            "failures": row.failures,
            "last_good_at": row.last_good_at,
            "last_bad_at": row.last_bad_at,
            "set_aside": row.set_aside_at and {"at": row.set_aside_at, "reason": row.set_aside_reason},
            "refused": row.prune_refusal or row.volumes_refusal,
        }
        for row in rows
    ]
