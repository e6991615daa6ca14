"""How the jobs of firings ended: written on the firing, counted by the policy, and the sign to look what can be pruned."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.base import quoted
from models.policies.keep import suspend_policy
from models.policies.tables import Policy, PolicyVm
from stillframe.states import ENDED, JobState

_ENDED = f"""
    WITH over AS (
        SELECT firing.id, job.state, job.error ->> 'detail' AS why
        FROM firing JOIN job ON job.id = firing.job_id
        WHERE firing.state = 'asked' AND job.state IN ({quoted(ENDED | {JobState.STUCK})})
        ORDER BY job.finished_at NULLS LAST, job.id
        LIMIT :limit
        FOR UPDATE OF firing SKIP LOCKED
    )
    UPDATE firing SET
        state = CASE WHEN over.state = 'succeeded' THEN 'succeeded' ELSE 'failed' END,
        reason = over.why, decided_at = now(),
        extract_due_at = CASE
            WHEN over.state = 'succeeded' AND jsonb_typeof(policy.spec -> 'extract') = 'object' THEN now() END
    FROM over, policy WHERE firing.id = over.id AND policy.id = firing.policy_id
    RETURNING firing.policy_id, firing.vm_id, firing.state, firing.reason
"""  # noqa: S608


def settle(session: Session, limit: int = 500) -> int:
    """Takes note of jobs that have ended; a policy whose firings fail one after the other suspends itself."""
    rows = session.execute(text(_ENDED), {"limit": limit}).all()
    # Policies before what they know of VMs, as those do who edit them; and both in one order, whoever settles.
    policies = select(Policy.id).where(Policy.id.in_({row.policy_id for row in rows})).order_by(Policy.id)
    session.execute(policies.with_for_update(key_share=True))
    vms = tuple_(PolicyVm.policy_id, PolicyVm.vm_id).in_({(row.policy_id, row.vm_id) for row in rows})
    known = select(PolicyVm.vm_id).where(vms).order_by(PolicyVm.policy_id, PolicyVm.vm_id)
    session.execute(known.with_for_update(key_share=True))
    for row in rows:
        _note_vm(session, row)
        if row.state == "succeeded":
            session.execute(update(Policy).where(Policy.id == row.policy_id).values(failures=0))
        else:
            _count_failure(session, row.policy_id, row.reason or "no reason is known")
    return len(rows)


def _note_vm(session: Session, row: Row[Any]) -> None:
    good = row.state == "succeeded"
    when: dict[str, Any] = {"last_good_at" if good else "last_bad_at": func.now()}
    if good:
        when["prune_due_at"] = func.now()
    session.execute(
        insert(PolicyVm)
        .values(policy_id=row.policy_id, vm_id=row.vm_id, **when)
        .on_conflict_do_update(index_elements=["policy_id", "vm_id"], set_=when)
    )


def _count_failure(session: Session, policy: UUID, why: str) -> None:
    failures = session.scalars(
        update(Policy)
        .where(Policy.id == policy)
        .values(failures=Policy.failures + 1)
        .returning(Policy.failures)
    ).one()
    row = session.execute(
        select(Policy.spec, Policy.suspended_at, Policy.deleted_at).where(Policy.id == policy)
    ).one()
    if row.suspended_at is None and row.deleted_at is None and failures >= row.spec["max_failures"]:
        suspend_policy(session, policy, f"{failures} firings failed one after the other, the last: {why}")
