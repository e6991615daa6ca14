"""Lists and details of policies, and of what became of their firings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, or_, select

from models.base import AnyRow, AnySelect, Json
from models.find import as_id, containing, vm_ids
from models.policies.spec import read, unreadable
from models.policies.tables import Firing, FiringState, Policy, PolicySchedule, PolicyVm, my_policies
from models.queries.owners import owned, with_owner
from models.queries.paging import Order, Wanted, instant
from models.queries.walk import Listing, Way, walk
from models.tenants.actor import Actor
from models.tenants.scope import my_vms
from models.tenants.tables import Account
from models.vms.tables import Vm
from stillframe.errors import Invalid, PolicyNameAmbiguous, PolicyNotFound
from stillframe.policies.as_json import policy_to_json
from stillframe.policies.policy import Policy as Wish
from stillframe.policies.policy import Selector
from stillframe.policies.retention import Retention

#: Shown of a policy that cannot be read, beside the reason.
_NOTHING = policy_to_json(Wish(name="", selector=Selector(), schedules=(), retention=Retention()))

BY_NAME = Order("name", Policy.name.expression, Policy.id.expression, descending=False)
NEWEST_FIRST = Order(
    "-nominal_at", Firing.nominal_at.expression, Firing.id.expression, descending=True, parse=instant
)


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Which firings."""

    states: tuple[FiringState, ...] = ()
    vm: str | None = None
    at: datetime | None = None


def policies(
    connection: Connection,
    actor: Actor,
    wanted: Wanted,
    *,
    q: str | None = None,
    vm: str | None = None,
    account: str | None = None,
    domain: str | None = None,
) -> Json:
    """Policies by name. `vm`: those that have fired for this VM; raises VmNotFound, AccountNotFound, DomainNotFound."""
    of = owned(connection, actor, account, domain)
    fired = None
    if vm is not None:
        fired = select(Firing.policy_id).where(Firing.vm_id.in_(vm_ids(connection, actor, vm))).distinct()

    def conditions(one: Any) -> Iterator[ColumnElement[bool]]:
        yield my_policies(actor, one)
        yield one.deleted_at.is_(None)
        yield from of.conditions(one.account_id)
        if q:
            yield one.name.ilike(containing(q))
        if fired is not None:
            yield one.id.in_(fired)

    by_vm = [Way(fired)] if fired is not None else []
    listing = Listing(
        entity=Policy,
        columns=(Policy.account_id, Policy.role, Policy.deleted_at, Policy.name),
        order=BY_NAME,
        conditions=conditions,
        shown=_select(actor),
        ways=(*by_vm, *of.ways(Policy.id, Policy.account_id, in_order=False)),
        within=(Policy.deleted_at.is_(None),),
    )
    return walk(connection, listing, wanted, _items)


def policy(connection: Connection, actor: Actor, text: str) -> Json:
    """One by id or name; raises PolicyNotFound."""
    rows = connection.execute(_select(actor).where(Policy.id == policy_id(connection, actor, text))).all()
    return _items(connection, rows)[0]


def policy_id(connection: Connection, actor: Actor, text: str) -> UUID:
    """The one policy of that id or name, the actor's own first; raises PolicyNotFound or PolicyNameAmbiguous."""
    if "\0" in text:
        raise PolicyNotFound(policy=text)
    id_ = as_id(text)
    named = Policy.name == text if id_ is None else or_(Policy.id == id_, Policy.name == text)
    of = select(Policy.id, Policy.account_id, Account.name).join(Account, Account.id == Policy.account_id)
    there = of.where(named, Policy.deleted_at.is_(None), my_policies(actor))
    found = connection.execute(there.order_by(Policy.id).limit(10)).all()
    if not found:
        raise PolicyNotFound(policy=text)
    own = [row for row in found if row.account_id == actor.account_id] or list(found)
    if len(own) > 1:
        candidates = ", ".join(f"{row.id} of {row.name}" for row in own)
        raise PolicyNameAmbiguous(policy=text, candidates=candidates)
    only: UUID = own[0].id
    return only


def runs(connection: Connection, actor: Actor, policy: UUID, filters: Runs, wanted: Wanted) -> Json:
    """What became of its firings, newest first."""
    vms = None if filters.vm is None else vm_ids(connection, actor, filters.vm)

    def conditions(one: Any) -> Iterator[ColumnElement[bool]]:
        yield one.policy_id == policy
        if filters.states:
            yield one.state.in_(filters.states)
        if vms is not None:
            yield one.vm_id.in_(vms)

    of_policy = Firing.policy_id == policy
    of_vms = [Way(select(Firing.id).where(Firing.vm_id.in_(vms)))] if vms is not None else []
    listing = Listing(
        entity=Firing,
        columns=(Firing.policy_id, Firing.state, Firing.vm_id),
        order=NEWEST_FIRST,
        conditions=conditions,
        shown=_runs(actor),
        ways=(*of_vms, Way(select(Firing.id).where(of_policy), of_policy)),
        within=() if filters.at is None else (Firing.nominal_at == filters.at,),
    )
    return walk(connection, listing, wanted, _run_items)


def _runs(actor: Actor) -> AnySelect:
    return select(
        *(Firing.id, Firing.nominal_at, Firing.until_at, Firing.moments, Firing.due_at, Firing.state),
        *(Firing.reason, Firing.job_id, Firing.decided_at, Firing.vm_id, Vm.name.label("vm_name")),
        Firing.asked_by,
    ).outerjoin(Vm, (Vm.id == Firing.vm_id) & my_vms(actor))


def _select(actor: Actor) -> AnySelect:
    next_at = (
        select(func.min(PolicySchedule.next_at))
        .where(PolicySchedule.policy_id == Policy.id, PolicySchedule.retired_at.is_(None))
        .scalar_subquery()
    )
    set_aside = (
        select(func.count())
        .where(PolicyVm.policy_id == Policy.id, PolicyVm.set_aside_at.is_not(None))
        .scalar_subquery()
    )
    rows = select(
        *(Policy.id, Policy.name, Policy.spec, Policy.enabled, Policy.paused_until),
        *(Policy.suspended_at, Policy.suspended_reason, Policy.created_by, Policy.created_at),
        *(Policy.updated_at, next_at.label("next_fire_at"), set_aside.label("set_aside")),
    )
    return with_owner(rows, Policy.account_id).where(Policy.deleted_at.is_(None), my_policies(actor))


def _items(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    return [_item(row) for row in rows]


def _item(row: AnyRow) -> Json:
    own = {name: value for name, value in row._mapping.items() if name != "spec"}
    suspended = row.suspended_at and {"at": row.suspended_at, "reason": row.suspended_reason}
    try:
        wish = policy_to_json(read(row.spec))
    except Invalid as error:  # it stands still from the next tick on, if it does not yet
        wish = _NOTHING
        suspended = suspended or {"at": row.updated_at, "reason": unreadable(error)}
    return {**wish, **own, "suspended": suspended}


def _run_items(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    return [
        {**row._mapping, "vm": {"id": row.vm_id, "name": row.vm_name} if row.vm_id else None} for row in rows
    ]
