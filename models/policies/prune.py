"""When the snapshots that a policy has of a VM are to be looked through, and how looking went before."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.orm import Session

from models.base import AnyRow, quoted
from models.jobs.tables import SCHEDULED, UNFINISHED, Job
from models.moves import Told, tell
from models.policies.spec import Batch, batch, read
from models.policies.tables import PolicyVm
from models.snapshots.tables import Snapshot
from stillframe.events import EventType, Level
from stillframe.operations import PruneSnapshots
from stillframe.policies.policy import Policy
from stillframe.rights import Role
from stillframe.states import ENDED, JobState

#: After a deletion that did not succeed the next is asked so much later, twice as much each time, up to a day.
_AFTER_FAILURE = timedelta(minutes=5)
_LONGEST = timedelta(days=1)
_FAILURES_COUNTED = 10

_DUE = f"""
    WITH under_way AS (
        SELECT host_id, count(*) AS jobs FROM job
        WHERE state IN ({quoted(UNFINISHED)}) AND priority >= {SCHEDULED} GROUP BY host_id
    )
    SELECT due.policy_id, due.vm_id, now() AS now, vm.gone, vm.host_id, coalesce(under_way.jobs, 0) AS on_host,
        policy.name, policy.spec, policy.account_id, policy.role, home.path AS domain, policy.paused_until,
        policy.deleted_at IS NULL AND policy.suspended_at IS NULL AND policy.enabled AS stands, pruning.id AS pruning
    FROM policy_vm AS due
    JOIN policy ON policy.id = due.policy_id
    JOIN account AS owner ON owner.id = policy.account_id JOIN domain AS home ON home.id = owner.domain_id
    JOIN vm ON vm.id = due.vm_id
    LEFT JOIN under_way ON under_way.host_id = vm.host_id
    LEFT JOIN LATERAL (
        SELECT job.id FROM job
        WHERE job.vm_id = due.vm_id AND job.kind = 'prune_snapshots' AND job.state IN ({quoted(UNFINISHED)})
        LIMIT 1
    ) AS pruning ON true
    WHERE due.prune_due_at <= now()
    ORDER BY due.prune_due_at, due.policy_id, due.vm_id
    LIMIT :limit
    FOR UPDATE OF due SKIP LOCKED
"""  # noqa: S608


@dataclass(frozen=True)
class Due:
    """A VM whose snapshots of a policy are to be looked through now."""

    policy_id: UUID
    name: str
    policy: Policy
    account_id: UUID
    role: Role
    domain: str
    vm_id: UUID
    host_id: UUID
    now: datetime
    #: Whether the VM is on no host.
    gone: bool
    #: Whether the policy is not deleted, switched off or suspended.
    stands: bool
    paused_until: datetime | None
    #: Scheduled jobs on its host that are not over.
    on_host: int
    #: A job that deletes snapshots of the VM together and is not over.
    pruning: UUID | None


def due(session: Session, limit: int = 200) -> Batch[Due]:
    """Those longest due, locked; others who look at the same time pass them over. What cannot be read is put off."""
    rows = session.execute(text(_DUE).bindparams(bindparam("limit", limit))).all()
    found = batch(rows, _due)
    for row in found.bad:
        look_at(session, row.policy_id, row.vm_id, None)
    return found


def look_at(session: Session, policy: UUID, vm: UUID, at: datetime | None) -> None:
    """When they are looked through next; None: when there is something new."""
    session.execute(_of(policy, vm).values(prune_due_at=at))


def look_again(session: Session, policy: UUID, vm: UUID | None = None) -> None:
    """Something has changed about what a policy keeps: of one VM, or of all its VMs."""
    of = update(PolicyVm).where(PolicyVm.policy_id == policy) if vm is None else _of(policy, vm)
    session.execute(of.values(prune_due_at=func.now(), volumes_due_at=func.now()))


def asked(session: Session, one: Due) -> None:
    """Its deletion is under way; it is looked at again when that should be over."""
    session.execute(
        _of(one.policy_id, one.vm_id).values(prune_refusal=None, prune_due_at=one.now + _AFTER_FAILURE)
    )


def refused(session: Session, one: Due, why: str) -> None:
    """Its deletion could not be asked for; told unless the last time was refused with the same words."""
    known = session.scalars(
        select(PolicyVm.prune_refusal).where(PolicyVm.policy_id == one.policy_id, PolicyVm.vm_id == one.vm_id)
    ).one()
    session.execute(
        _of(one.policy_id, one.vm_id).values(prune_refusal=why, prune_due_at=one.now + _AFTER_FAILURE)
    )
    if known != why:
        data = {"policy_id": str(one.policy_id), "name": one.name, "reason": why}
        told = Told(EventType.POLICY_PRUNE_REFUSED, f"policy:{one.name}", Level.WARNING, why, data)
        tell(session, told, vm=one.vm_id, host=one.host_id)


def in_hand(session: Session, snapshots: Collection[UUID]) -> bool:
    """Whether somebody is at one of these at this moment; if not, they are locked.

    The tick holds rows of many VMs and so waits for none: who releases a snapshot, or deletes several, would wait for it.
    """
    of = select(Snapshot.id).where(Snapshot.id.in_(snapshots)).order_by(Snapshot.id)
    return len(session.scalars(of.with_for_update(key_share=True, skip_locked=True)).all()) < len(snapshots)


def not_before(session: Session, one: Due) -> datetime | None:
    """When the next deletion may be asked for after some that did not succeed, if that is still to come."""
    ended = session.execute(
        select(Job.state, Job.finished_at)
        .where(
            Job.vm_id == one.vm_id,
            Job.kind == PruneSnapshots.kind,
            Job.request["policy_id"].astext == str(one.policy_id),
            Job.state.in_(sorted(ENDED)),
        )
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(_FAILURES_COUNTED)
    ).all()
    succeeded = [row.state is JobState.SUCCEEDED for row in ended]
    failures = succeeded.index(True) if True in succeeded else len(succeeded)
    if not failures or ended[0].finished_at is None:
        return None
    at: datetime = ended[0].finished_at + min(_AFTER_FAILURE * 2 ** (failures - 1), _LONGEST)
    return at if at > one.now else None


def _of(policy: UUID, vm: UUID) -> Any:
    return update(PolicyVm).where(PolicyVm.policy_id == policy, PolicyVm.vm_id == vm)


def _due(row: AnyRow) -> Due:
    values: dict[str, Any] = dict(row._mapping)
    own = {name: values[name] for name in ("policy_id", "vm_id", "host_id", "name", "account_id", "domain")}
    rest = {name: values[name] for name in ("now", "gone", "stands", "paused_until", "on_host", "pruning")}
    return Due(policy=read(row.spec), role=Role(row.role), **own, **rest)
