"""VMs of which a policy's snapshots keep failing: they are set aside, one by one, and keep no other VM from its own.

Only what was tried counts: a job that failed or is stuck. One that a person cancelled, or that nobody began in time as
while its host was away, says nothing about the VM.
"""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Row, Uuid, bindparam, func, select, text, update
from sqlalchemy.orm import Session

from models.moves import Told, tell
from models.policies.keep import suspend_policy
from models.policies.resolve import vms_in
from models.policies.tables import Policy, PolicyVm
from stillframe.counting import counted
from stillframe.events import EventType, Level

_COUNT = """
    UPDATE policy_vm AS own SET failures = least(32000, (
        SELECT count(*) FROM firing JOIN job ON job.id = firing.job_id
        WHERE firing.vm_id = own.vm_id AND firing.policy_id = own.policy_id
        AND firing.nominal_at > coalesce(greatest(own.last_good_at, own.counted_from), '-infinity')
        AND firing.state IN ('failed', 'stuck') AND job.state IN ('failed', 'stuck')
    ))
    FROM unnest(:policy_id, :vm_id) AS news (policy_id, vm_id), vm
    WHERE own.policy_id = news.policy_id AND own.vm_id = news.vm_id AND vm.id = own.vm_id
    RETURNING own.policy_id, own.vm_id, own.failures, own.set_aside_at, vm.name AS vm_name, vm.host_id
"""
#: Of a policy whose own word cannot be read.
_USUAL = 4

Whys = Mapping[tuple[UUID, UUID], str | None]


def review(session: Session, whys: Whys) -> None:
    """Counts the failures of these VMs of policies anew, with what the last one said; sets aside, or takes back.

    A policy all of whose VMs are set aside suspends itself. Their policies are locked.
    """
    typed = text(_COUNT).bindparams(
        *(bindparam(name, type_=ARRAY(Uuid())) for name in ("policy_id", "vm_id"))
    )
    pairs = sorted(whys)
    columns = {"policy_id": [policy for policy, _ in pairs], "vm_id": [vm for _, vm in pairs]}
    rows = session.execute(typed, columns).all()
    policies = _policies(session, {row.policy_id for row in rows})
    failing = [row for row in rows if row.failures >= _most(policies[row.policy_id])]
    news = [row for row in failing if row.set_aside_at is None]
    # One that was given away, or that the selector does not mean any more, is no business of the policy's by now.
    meant = vms_in(session, {row.policy_id for row in news})
    hit: dict[UUID, str] = {}
    for row in news:
        if row.vm_id in meant.get(row.policy_id, ()):
            why = whys[row.policy_id, row.vm_id] or "no reason is known"
            _set_aside(session, policies[row.policy_id], row, why)
            hit[row.policy_id] = why
    for row in rows:
        if row not in failing and row.set_aside_at is not None:
            _take_back(session, policies[row.policy_id], row)
    for id_, why in sorted(hit.items()):
        _suspend_if_all(session, policies[id_], meant[id_], why)


def _policies(session: Session, policies: Collection[UUID]) -> dict[UUID, Policy]:
    of = select(Policy).where(Policy.id.in_(policies)).execution_options(populate_existing=True)
    return {row.id: row for row in session.scalars(of)}


def _most(policy: Policy) -> int:
    most = policy.spec.get("max_failures") if isinstance(policy.spec, dict) else None
    return most if isinstance(most, int) and most > 0 else _USUAL


def _set_aside(session: Session, policy: Policy, row: Row[Any], why: str) -> None:
    several = " one after the other" if row.failures > 1 else ""
    reason = f"{counted(row.failures, 'snapshot')} failed{several}, the last: {why}"
    session.execute(_of(row).values(set_aside_at=func.now(), set_aside_reason=reason))
    told = _told(EventType.POLICY_VM_SET_ASIDE, Level.ERROR, policy, row, reason)
    tell(session, told, vm=row.vm_id, host=row.host_id)


def _take_back(session: Session, policy: Policy, row: Row[Any]) -> None:
    session.execute(_of(row).values(set_aside_at=None, set_aside_reason=None))
    told = _told(EventType.POLICY_VM_RESUMED, Level.INFO, policy, row, "what failed was made good")
    tell(session, told, vm=row.vm_id, host=row.host_id)


def _suspend_if_all(session: Session, policy: Policy, vms: Collection[UUID], why: str) -> None:
    """One that has a VM left goes on with it."""
    if policy.suspended_at is not None or policy.deleted_at is not None:
        return
    aside = select(PolicyVm.vm_id).where(PolicyVm.policy_id == policy.id, PolicyVm.set_aside_at.is_not(None))
    if set(vms) <= set(session.scalars(aside)):
        each = "its VM is" if len(vms) == 1 else f"all of its {len(vms)} VMs are"
        suspend_policy(
            session,
            policy.id,
            f"{each} set aside after {counted(_most(policy), 'failure')} in a row, the last: {why}",
        )


def _of(row: Row[Any]) -> Any:
    return update(PolicyVm).where(PolicyVm.policy_id == row.policy_id, PolicyVm.vm_id == row.vm_id)


def _told(type_: EventType, level: Level, policy: Policy, row: Row[Any], reason: str) -> Told:
    data = {"policy_id": str(policy.id), "name": policy.name, "vm": row.vm_name, "reason": reason}
    return Told(type_, f"policy:{policy.name}", level, reason, data)
