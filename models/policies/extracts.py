"""Volumes of a policy's snapshots that are to be extracted: asked for once the snapshot is there, and until it is asked for."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, exists, text, update
from sqlalchemy.orm import Session

from models.base import AnyRow, quoted
from models.jobs.tables import SCHEDULED, UNFINISHED, Job
from models.moves import Told, tell
from models.policies.spec import Batch, batch, read
from models.policies.tables import Firing
from models.snapshots.tables import Snapshot
from models.tenants.actor import Actor, of_policy
from stillframe.events import EventType, Level
from stillframe.policies.policy import Policy
from stillframe.rights import Role

#: What cannot be read now may be read by a newer version.
_UNREADABLE = timedelta(hours=1)

_DUE = f"""
    WITH under_way AS (
        SELECT host_id, count(*) AS jobs FROM job
        WHERE state IN ({quoted(UNFINISHED)}) AND priority >= {SCHEDULED} GROUP BY host_id
    )
    SELECT firing.id, firing.policy_id, firing.vm_id, firing.nominal_at, firing.reason, job.snapshot_id,
        policy.name, policy.spec, policy.account_id, policy.role, home.path AS domain,
        policy.deleted_at IS NOT NULL AS deleted, now() AS now,
        vm.host_id, coalesce(under_way.jobs, 0) AS on_host
    FROM firing
    JOIN policy ON policy.id = firing.policy_id
    JOIN account AS owner ON owner.id = policy.account_id JOIN domain AS home ON home.id = owner.domain_id
    JOIN vm ON vm.id = firing.vm_id
    JOIN job ON job.id = firing.job_id
    LEFT JOIN under_way ON under_way.host_id = vm.host_id
    WHERE firing.extract_due_at <= now()
    ORDER BY firing.extract_due_at, firing.id
    LIMIT :limit
    FOR UPDATE OF firing SKIP LOCKED
"""  # noqa: S608


@dataclass(frozen=True)
class Due:
    """A firing whose snapshot is there, and of which volumes are to be extracted now."""

    id: UUID
    policy_id: UUID
    name: str
    policy: Policy
    actor: Actor
    vm_id: UUID
    host_id: UUID
    snapshot_id: UUID
    nominal_at: datetime
    now: datetime
    #: Why it was not asked for before.
    reason: str | None
    deleted: bool
    #: Scheduled jobs on its host that are not over.
    on_host: int


def due(session: Session, limit: int = 200) -> Batch[Due]:
    """Those longest due, locked; others who look at the same time pass them over. What cannot be read is put off."""
    rows = session.execute(text(_DUE).bindparams(bindparam("limit", limit))).all()
    found = batch(rows, _due)
    for row in found.bad:
        put_off = row.now + _UNREADABLE
        session.execute(update(Firing).where(Firing.id == row.id).values(extract_due_at=put_off))
    return found


def is_to_come() -> ColumnElement[bool]:
    """Of the row `snapshot`: whether volumes of it are still to be asked for."""
    return (
        exists()
        .where(Job.snapshot_id == Snapshot.id, Job.kind == "create_snapshot", Firing.job_id == Job.id)
        .where(Firing.extract_due_at.is_not(None))
    )


def later(session: Session, one: Due, at: datetime) -> None:
    """It is looked at again then."""
    session.execute(update(Firing).where(Firing.id == one.id).values(extract_due_at=at))


def over(session: Session, one: Due, reason: str | None = None) -> None:
    """It was asked for, or never will be: then the firing says why."""
    session.execute(update(Firing).where(Firing.id == one.id).values(extract_due_at=None, reason=reason))


def refused(session: Session, one: Due, why: str, again_at: datetime | None) -> None:
    """It was refused; told unless the last time was refused with the same words."""
    said = f"not extracted: {why}"
    values = {"extract_due_at": again_at, "reason": said}
    session.execute(update(Firing).where(Firing.id == one.id).values(values))
    if one.reason == said:
        return
    data = {"policy_id": str(one.policy_id), "name": one.name, "reason": why}
    told = Told(EventType.POLICY_EXTRACT_REFUSED, f"policy:{one.name}", Level.WARNING, why, data)
    tell(session, told, vm=one.vm_id, snapshot=one.snapshot_id, host=one.host_id)


def _due(row: AnyRow) -> Due:
    values: dict[str, Any] = dict(row._mapping)
    actor = of_policy(row.name, values.pop("account_id"), Role(values.pop("role")), values.pop("domain"))
    return Due(policy=read(values.pop("spec")), actor=actor, **values)
