"""What somebody sees: one place that turns an actor into the conditions of every read.

What is outside does not exist for them: it is in no list and no count, and asked for by its id it is not found.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute

from models.hosts.tables import Host
from models.tenants.actor import Actor
from models.tenants.tables import ADMIN_ACCOUNT, Account, Domain
from models.vms.tables import Vm
from stillframe.rights import Role, is_within

AccountColumn = (
    InstrumentedAttribute[Role]
    | InstrumentedAttribute[UUID]
    | InstrumentedAttribute[UUID | None]
    | ColumnElement[Any]
)


def mine(actor: Actor, account: AccountColumn) -> ColumnElement[bool]:
    """Rows whose account the actor sees: all for a root admin, else those of its account or its domain's subtree.

    Rows without an account are the operators' own: a root admin sees them, and nobody else.
    """
    match actor.role:
        case Role.ROOT:
            return true()
        case Role.DOMAIN if actor.domain == "/":
            return account.is_not(None)
        case Role.DOMAIN if actor.wide:
            # Not as a join: Postgres walks the list in its order then, and looks each account up in a hash.
            return account.in_(accounts(actor.domain)).is_(True)
        case Role.DOMAIN:
            return account.in_(accounts(actor.domain))
        case _:
            return account == actor.account_id


def my_vms(actor: Actor, one: Any = Vm) -> ColumnElement[bool]:
    """VMs that the actor sees. One that was given to nobody yet is the first administrator's."""
    owned = mine(actor, one.account_id)
    nobodys = one.account_id.is_(None)
    return or_(owned, nobodys) if sees(actor, ADMIN_ACCOUNT, "/") else owned


def no_wider(actor: Actor, role: AccountColumn) -> ColumnElement[bool]:
    """Rows that act for whoever made them, as far as those see no further than the actor: others would lend their view."""
    return role.in_([one for one in Role if is_within(one, actor.role) or one is Role.USER])


def my_domains(actor: Actor) -> ColumnElement[bool]:
    """Domains that the actor sees: below a domain admin's own, and of the others only their own."""
    match actor.role:
        case Role.ROOT:
            return true()
        case Role.DOMAIN:
            return subtree(actor.domain)
        case _:
            return Domain.path == actor.domain


def my_hosts(actor: Actor) -> ColumnElement[bool]:
    """Hosts as such: those who run them see them, which are the root admins and the first administrator's account."""
    return true() if runs_hosts(actor) else Host.id.is_(None)


def runs_hosts(actor: Actor) -> bool:
    """Whether it is one of those who run the hosts."""
    return actor.role is Role.ROOT or actor.account_id == ADMIN_ACCOUNT


def hosts_of_my_vms(actor: Actor) -> ColumnElement[bool]:
    """Hosts whose names the actor sees anyway, because a VM of theirs is there."""
    there = select(Vm.id).where(Vm.host_id == Host.id, my_vms(actor)).exists()
    return true() if runs_hosts(actor) else there


def sees(actor: Actor, account: UUID | None, domain: str) -> bool:
    """Whether an account, in the domain of that path, is within what the actor sees."""
    match actor.role:
        case Role.ROOT:
            return True
        case Role.DOMAIN:
            return is_below(domain, actor.domain)
        case _:
            return account == actor.account_id


def is_below(path: str, top: str) -> bool:
    """Whether a domain is in the subtree of another, or is that one."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def subtree(top: str) -> ColumnElement[bool]:
    """Domains that are this one or below it."""
    beginning = top.rstrip("/") + "/"
    return or_(Domain.path == top, Domain.path.startswith(beginning, autoescape=True))


def accounts(top: str) -> Select[UUID]:
    """The ids of the accounts in a subtree."""
    return select(Account.id).join(Domain, Domain.id == Account.domain_id).where(subtree(top))


def owner(vm: Vm) -> UUID:
    """The account that what is made of a VM belongs to."""
    return vm.account_id or ADMIN_ACCOUNT


def owner_of(one: Any) -> ColumnElement[UUID]:
    """The same in SQL."""
    return func.coalesce(one.account_id, ADMIN_ACCOUNT)


OWNER = owner_of(Vm)


def whose_vm(vm: UUID | ColumnElement[Any]) -> ColumnElement[Any]:
    """The account that the VM of an event belongs to; NULL without a VM."""
    return select(OWNER).where(Vm.id == vm).scalar_subquery()
