"""The VMs that a policy has fired for: which are set aside, and how they have their turns again."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from models.policies.tables import PolicyVm
from models.vms.tables import Vm


def one_set_aside(session: Session, policy: UUID, vms: Collection[UUID]) -> Vm | None:
    """Of these VMs the first that the policy has set aside."""
    of = select(Vm).join(PolicyVm, PolicyVm.vm_id == Vm.id)
    its = of.where(PolicyVm.policy_id == policy, Vm.id.in_(vms), PolicyVm.set_aside_at.is_not(None))
    return session.scalars(its.order_by(Vm.id).limit(1)).one_or_none()


def resume_vms(session: Session, policy: UUID, vm: UUID | None = None) -> None:
    """What failed up to now counts no more, of one VM or of all, and none of them is set aside."""
    of = [PolicyVm.policy_id == policy, *([PolicyVm.vm_id == vm] if vm else [])]
    fresh = {"failures": 0, "counted_from": func.now(), "set_aside_at": None, "set_aside_reason": None}
    failing = or_(PolicyVm.failures > 0, PolicyVm.set_aside_at.is_not(None))
    session.execute(update(PolicyVm).where(*of, failing).values(fresh))
