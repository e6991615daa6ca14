"""How the jobs of firings went: written on the firing, noted of the VM, and the sign to look what can be pruned.

A firing follows its job: one that was stuck, and that a person resumed, is settled again by how it ends then.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Row, Uuid, bindparam, select, text
from sqlalchemy.orm import Session

from models.base import quoted
from models.policies.set_aside import review
from models.policies.tables import Policy
from stillframe.states import ENDED, OVER

#: Of a `firing` and its `job`: whether the job is where the firing does not know it.
IS_NEWS = f"""
    firing.state IN ('asked', 'stuck')
    AND (firing.state = 'asked' AND job.state IN ({quoted(OVER)}) OR firing.state = 'stuck' AND job.state <> 'stuck')
"""

_NEWS = f"""
    WITH news AS (
        SELECT firing.id, job.state, job.error ->> 'detail' AS why
        FROM firing JOIN job ON job.id = firing.job_id
        WHERE {IS_NEWS}
        ORDER BY job.finished_at NULLS LAST, job.id
        LIMIT :limit
        FOR UPDATE OF firing SKIP LOCKED
    )
    UPDATE firing SET
        state = CASE
            WHEN news.state IN ('succeeded', 'stuck') THEN news.state
            WHEN news.state IN ({quoted(ENDED)}) THEN 'failed'
            ELSE 'asked' END,
        reason = CASE WHEN news.state IN ({quoted(OVER)}) THEN news.why END, decided_at = now(),
        extract_due_at = CASE
            WHEN news.state = 'succeeded' AND jsonb_typeof(policy.spec -> 'extract') = 'object' THEN now() END
    FROM news, policy WHERE firing.id = news.id AND policy.id = firing.policy_id
    RETURNING firing.policy_id, firing.vm_id, firing.nominal_at, firing.state, firing.reason
"""  # noqa: S608

#: In one order, whoever settles.
_NOTE = """
    INSERT INTO policy_vm (policy_id, vm_id, last_good_at, last_bad_at, prune_due_at)
    SELECT policy_id, vm_id, max(good_at), max(bad_at), CASE WHEN max(good_at) IS NOT NULL THEN now() END
    FROM unnest(:policy_id, :vm_id, :good_at, :bad_at) AS news (policy_id, vm_id, good_at, bad_at)
    GROUP BY policy_id, vm_id ORDER BY policy_id, vm_id
    ON CONFLICT (policy_id, vm_id) DO UPDATE SET
        last_good_at = greatest(policy_vm.last_good_at, excluded.last_good_at),
        last_bad_at = greatest(policy_vm.last_bad_at, excluded.last_bad_at),
        prune_due_at = coalesce(excluded.prune_due_at, policy_vm.prune_due_at)
"""
_NOTE_TYPES: dict[str, Any] = {
    **dict.fromkeys(("policy_id", "vm_id"), ARRAY(Uuid())),
    **dict.fromkeys(("good_at", "bad_at"), ARRAY(DateTime(timezone=True))),
}


def settle(session: Session, limit: int = 500) -> int:
    """Takes note of jobs that have ended, are stuck, or are so no more; a VM of which they keep failing is set aside."""
    rows = session.execute(text(_NEWS), {"limit": limit}).all()
    if not rows:
        return 0
    # Policies before what they know of VMs, as those do who edit them.
    policies = select(Policy.id).where(Policy.id.in_({row.policy_id for row in rows})).order_by(Policy.id)
    session.execute(policies.with_for_update(key_share=True))
    _note(session, rows)
    review(session, {(row.policy_id, row.vm_id): row.reason for row in rows})
    return len(rows)


def _note(session: Session, rows: Sequence[Row[Any]]) -> None:
    columns: dict[str, list[UUID | datetime | None]] = {
        "policy_id": [row.policy_id for row in rows],
        "vm_id": [row.vm_id for row in rows],
        "good_at": [row.nominal_at if row.state == "succeeded" else None for row in rows],
        "bad_at": [row.nominal_at if row.state in {"failed", "stuck"} else None for row in rows],
    }
    typed = [bindparam(name, type_=type_) for name, type_ in _NOTE_TYPES.items()]
    session.execute(text(_NOTE).bindparams(*typed), columns)
