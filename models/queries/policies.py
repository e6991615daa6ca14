"""Lists and details of policies, of what became of their firings, and of what is to come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from sqlalchemy import Connection, func, or_, select

from models.base import Json
from models.policies.images import JudgedVolumes, judge_volumes
from models.policies.kept import Judged, judge
from models.policies.pace import took
from models.policies.resolve import vms_in
from models.policies.tables import Firing, FiringState, Policy, PolicySchedule, my_policies
from models.queries.find import as_id, containing, vm_ids
from models.queries.paging import AnyRow, AnySelect, Order, Wanted, instant, page
from models.tenants.actor import Actor
from models.tenants.scope import my_vms
from models.tenants.tables import Account
from models.vms.tables import Vm
from stillframe.errors import PolicyNameAmbiguous, PolicyNotFound
from stillframe.policies.as_json import policy_from_json, schedule_from_json
from stillframe.policies.dead_ends import dead_ends
from stillframe.policies.firing import jitter_of
from stillframe.policies.pace import warnings
from stillframe.rules import ALIVE

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
    connection: Connection, actor: Actor, wanted: Wanted, q: str | None = None, vm: str | None = None
) -> Json:
    """Policies by name. `vm`: those that have fired for this VM."""
    statement = _select(actor)
    if q:
        statement = statement.where(Policy.name.ilike(containing(q)))
    if vm is not None:
        of = select(Firing.policy_id).where(Firing.vm_id.in_(vm_ids(connection, actor, vm)))
        statement = statement.where(Policy.id.in_(of))
    return page(connection, statement, BY_NAME, wanted, _items)


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
    statement = (
        select(
            *(Firing.id, Firing.nominal_at, Firing.until_at, Firing.moments, Firing.due_at, Firing.state),
            *(Firing.reason, Firing.job_id, Firing.decided_at, Firing.vm_id, Vm.name.label("vm_name")),
        )
        .outerjoin(Vm, (Vm.id == Firing.vm_id) & my_vms(actor))
        .where(Firing.policy_id == policy)
    )
    if filters.states:
        statement = statement.where(Firing.state.in_(filters.states))
    if filters.vm is not None:
        statement = statement.where(Firing.vm_id.in_(vm_ids(connection, actor, filters.vm)))
    if filters.at is not None:
        statement = statement.where(Firing.nominal_at == filters.at)
    return page(connection, statement, NEWEST_FIRST, wanted, _run_items)


def preview(connection: Connection, policy: UUID, count: int) -> Json:
    """The next runs with each VM's turn, and what would be kept and pruned now, with every reason."""
    return {
        "warnings": warnings_of(connection, policy),
        "runs": _coming(connection, policy, count),
        "vms": [_shown(one) for one in judge(connection, policy)],
        "volumes": _volumes_shown(connection, policy),
    }


def warnings_of(connection: Connection, policy: UUID) -> list[str]:
    """What comes to a standstill or to nothing, and what is too slow by what its VMs' last snapshots took."""
    row = connection.execute(select(Policy.spec, func.now().label("now")).where(Policy.id == policy)).one()
    wish, vms = policy_from_json(row.spec), vms_in(connection, [policy]).get(policy, [])
    alive = select(Vm.name).where(Vm.id.in_(vms), Vm.state.in_(ALIVE)).order_by(Vm.name)
    ends = dead_ends(wish, connection.scalars(alive).all())
    return [*ends, *warnings(wish, took(connection, vms, wish.mode), row.now)]


def _coming(connection: Connection, policy: UUID, count: int) -> list[Json]:
    vms = vms_in(connection, [policy]).get(policy, [])
    names = {
        row.id: row.name for row in connection.execute(select(Vm.id, Vm.name).where(Vm.id.in_(vms[:20])))
    }
    coming = [
        _run(policy, row, at, names)
        for row in connection.execute(_going(policy))
        for at in islice(schedule_from_json(row.spec).instants(row.next_at - timedelta(seconds=1)), count)
    ]
    return sorted(coming, key=lambda run: run["at"])[:count]


def _run(policy: UUID, row: AnyRow, at: datetime, names: dict[UUID, str]) -> Json:
    schedule = schedule_from_json(row.spec)
    turns = [
        {"vm": {"id": vm, "name": name}, "at": at + jitter_of(policy, row.id, vm, schedule.jitter)}
        for vm, name in names.items()
    ]
    local = at.astimezone(schedule.zone)
    return {
        "at": at,
        "local": local.isoformat(),
        "schedule": row.spec,
        "turns": sorted(turns, key=lambda turn: turn["at"]),
    }


def _going(policy: UUID) -> AnySelect:
    return select(PolicySchedule.id, PolicySchedule.spec, PolicySchedule.next_at).where(
        PolicySchedule.policy_id == policy,
        PolicySchedule.retired_at.is_(None),
        PolicySchedule.next_at.is_not(None),
    )


def _shown(one: Judged) -> Json:
    return {"vm": {"id": one.vm_id, "name": one.vm_name}, "snapshots": _verdicts(one)}


def _volumes_shown(connection: Connection, policy: UUID) -> list[Json]:
    judged = judge_volumes(connection, policy)
    names = {
        row.id: row.name
        for row in connection.execute(select(Vm.id, Vm.name).where(Vm.id.in_({one.vm_id for one in judged})))
    }
    return [
        {"vm": {"id": one.vm_id, "name": names[one.vm_id]}, "target": one.target, "images": _verdicts(one)}
        for one in judged
    ]


def _verdicts(one: Judged | JudgedVolumes) -> list[Json]:
    return [
        {
            "id": verdict.id,
            "name": one.names[verdict.id],
            "created_at": verdict.created_at,
            "size_bytes": one.sizes[verdict.id],
            "keep": verdict.keep,
            "reasons": list(verdict.reasons),
        }
        for verdict in one.verdicts
    ]


def _select(actor: Actor) -> AnySelect:
    next_at = (
        select(func.min(PolicySchedule.next_at))
        .where(PolicySchedule.policy_id == Policy.id, PolicySchedule.retired_at.is_(None))
        .scalar_subquery()
    )
    return (
        select(
            *(Policy.id, Policy.name, Policy.spec, Policy.enabled, Policy.paused_until, Policy.failures),
            *(Policy.suspended_at, Policy.suspended_reason, Policy.created_by, Policy.created_at),
            *(Policy.updated_at, Account.name.label("account"), next_at.label("next_fire_at")),
        )
        .join(Account, Account.id == Policy.account_id)
        .where(Policy.deleted_at.is_(None), my_policies(actor))
    )


def _items(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    return [
        {
            **row.spec,
            **{name: value for name, value in row._mapping.items() if name != "spec"},
            "suspended": row.suspended_at and {"at": row.suspended_at, "reason": row.suspended_reason},
        }
        for row in rows
    ]


def _run_items(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    return [
        {**row._mapping, "vm": {"id": row.vm_id, "name": row.vm_name} if row.vm_id else None} for row in rows
    ]
