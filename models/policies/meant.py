"""Whom a change of a selector leaves out, and whom it means now, in words for who made it."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.policies.resolve import vms_in
from models.vms.tables import Vm
from stillframe.counting import counted

#: Of many VMs so many are named.
NAMED = 5


def meant(session: Session, policy: UUID) -> dict[UUID, str]:
    """The VMs that a policy means at this moment, with their names."""
    vms = vms_in(session, [policy]).get(policy, [])
    rows = session.execute(select(Vm.id, Vm.name).where(Vm.id.in_(vms)).order_by(Vm.name))
    return {row.id: row.name for row in rows}


def left_out(before: dict[UUID, str], now: dict[UUID, str]) -> list[str]:
    """A sentence if VMs that were meant are not any more."""
    gone = [name for vm, name in before.items() if vm not in now]
    if not gone:
        return []
    means = f"means {vms(now.values())}" if now else "means no VM"
    return [f"it no longer means {vms(gone)}, and now {means}"]


def vms(names: Collection[str], number: int | None = None) -> str:
    """How many, and which: the first few by name. There may be more than the names tell."""
    number = len(names) if number is None else number
    named = sorted(names)[:NAMED]
    more = f" and {number - len(named)} more" if number > len(named) else ""
    return f"{counted(number, 'VM')} ({', '.join(named)}{more})"
