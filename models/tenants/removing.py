"""Accounts and domains deleted: only when nothing is left in them. Their rows stay, for the history that names them.

Whoever puts something into an account or a domain holds its row in share (`models.tenants.named`), and who deletes it holds it
alone: so nothing comes in beside the last look. Locks are taken as everywhere: VMs, domains, accounts.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from models.base import Json
from models.jobs.tables import UNFINISHED, Job
from models.moves import Told, tell
from models.policies.tables import Policy, my_policies
from models.snapshots.tables import Snapshot, VolumeSnapshot
from models.tenants.actor import Actor
from models.tenants.keys import OPENS
from models.tenants.named import find_account, find_domain
from models.tenants.quota import COUNTED, EXTRACTED
from models.tenants.scope import is_below
from models.tenants.tables import ADMIN_ACCOUNT, ROOT_DOMAIN, Account, ApiKey, Domain
from models.users.tables import User
from models.vms.tables import Vm
from models.webhooks.tables import Webhook
from stillframe.errors import (
    AccountInUse,
    AccountNotFound,
    BeyondOwn,
    DomainInUse,
    DomainNotFound,
    Undeletable,
)
from stillframe.events import EventType
from stillframe.rights import Role, is_within

#: What is left, by its name in the plural.
_ONE = {
    "VMs": "VM",
    "snapshots": "snapshot",
    "volume snapshots": "volume snapshot",
    "unfinished jobs": "unfinished job",
    "policies": "policy",
    "users": "user",
    "webhooks": "webhook",
    "domains": "domain",
    "accounts": "account",
}


def delete_account(session: Session, actor: Actor, account: str) -> None:
    """Its keys open nothing any more. Raises AccountInUse with what it still has, Undeletable, or BeyondOwn."""
    row, home = find_account(session, actor, account)
    if row.id == ADMIN_ACCOUNT:
        raise Undeletable(what=f"Account {row.name}", why="what was given to nobody belongs to it")
    if row.id == actor.account_id:
        raise Undeletable(what=f"Account {row.name}", why="it is the one that asks")
    _lock_gone_vms(session, row.id)
    _alone_with_account(session, row.id, account)
    _check_no_wider_key(session, actor, row)
    if left := _left_of_account(session, actor, row.id):
        raise AccountInUse(account=row.name, has=_listed(left), counts=left)
    # Nothing of theirs is left, and should one come back, somebody has to see it.
    session.execute(update(Vm).where(Vm.account_id == row.id).values(account_id=None))
    row.deleted_at = func.now()
    revoked = session.execute(
        update(ApiKey)
        .where(ApiKey.account_id == row.id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey.id)
    ).all()
    said: Json = {"account_id": str(row.id), "domain": home.path, "keys_revoked": len(revoked)}
    tell(session, Told(EventType.ACCOUNT_DELETED, actor.name, message=row.name, data=said), account=row.id)


def delete_domain(session: Session, actor: Actor, domain: str) -> None:
    """Raises DomainInUse with what is in it, or Undeletable for the root and for what one's own account is in."""
    row = find_domain(session, actor, domain)
    if row.id == ROOT_DOMAIN:
        raise Undeletable(what="The root of all domains", why="everything is below it")
    if is_below(actor.domain, row.path):
        raise Undeletable(what=f"Domain {row.path}", why="the account that asks is in it")
    _alone_with_domain(session, row.id, domain)
    if left := _left_of_domain(session, actor, row):
        raise DomainInUse(domain=row.path, has=_listed(left), counts=left)
    told = Told(EventType.DOMAIN_DELETED, actor.name, message=row.path, data={"domain_id": str(row.id)})
    row.deleted_at = func.now()
    session.flush()
    _move_aside(session, row)
    tell(session, told, account=actor.account_id)


def _lock_gone_vms(session: Session, account: UUID) -> None:
    of = select(Vm.id).where(Vm.account_id == account, Vm.gone).order_by(Vm.id)
    session.execute(of.with_for_update(key_share=True))


def _alone_with_account(session: Session, id_: UUID, text: str) -> None:
    """Whoever is putting something into it is waited for; raises AccountNotFound if it was deleted meanwhile."""
    locked = select(Account.id).where(Account.id == id_, Account.deleted_at.is_(None)).with_for_update()
    if session.scalar(locked) is None:
        raise AccountNotFound(account=text)


def _alone_with_domain(session: Session, id_: UUID, text: str) -> None:
    locked = select(Domain.id).where(Domain.id == id_, Domain.deleted_at.is_(None)).with_for_update()
    if session.scalar(locked) is None:
        raise DomainNotFound(domain=text)


def _check_no_wider_key(session: Session, actor: Actor, row: Account) -> None:
    wider = [role for role in Role if not is_within(role, actor.role)]
    of = select(ApiKey.id).where(ApiKey.account_id == row.id, ApiKey.role.in_(wider), OPENS)
    if session.scalar(of.limit(1)) is not None:
        raise BeyondOwn(what=f"To delete account {row.name}, which has keys that see further,")


def _left_of_account(session: Session, actor: Actor, id_: UUID) -> Json:
    """What keeps it; of policies also those of others that choose VMs by it, as far as they are seen."""
    chosen = and_(Policy.of_account_id == id_, my_policies(actor))
    return _counted(
        session,
        {
            "VMs": (Vm.id, (Vm.account_id == id_, ~Vm.gone)),
            "snapshots": (Snapshot.id, (Snapshot.account_id == id_, COUNTED)),
            "volume snapshots": (VolumeSnapshot.id, (VolumeSnapshot.account_id == id_, EXTRACTED)),
            "unfinished jobs": (Job.id, (Job.account_id == id_, Job.state.in_(sorted(UNFINISHED)))),
            "policies": (Policy.id, (Policy.deleted_at.is_(None), or_(Policy.account_id == id_, chosen))),
            "users": (User.id, (User.account_id == id_,)),
            "webhooks": (Webhook.id, (Webhook.account_id == id_, Webhook.deleted_at.is_(None))),
        },
    )


def _left_of_domain(session: Session, actor: Actor, row: Domain) -> Json:
    chosen = (Policy.of_domain == row.path, Policy.deleted_at.is_(None), my_policies(actor))
    return _counted(
        session,
        {
            "domains": (Domain.id, (Domain.parent_id == row.id, Domain.deleted_at.is_(None))),
            "accounts": (Account.id, (Account.domain_id == row.id, Account.deleted_at.is_(None))),
            "policies": (Policy.id, chosen),
        },
    )


def _counted(session: Session, what: Mapping[str, Any]) -> Json:
    """How many there are of each of which there is any."""
    found = {
        name: session.scalar(select(func.count(id_)).where(*conditions))
        for name, (id_, conditions) in what.items()
    }
    return {name: count for name, count in found.items() if count}


def _listed(counts: Json) -> str:
    return ", ".join(f"{count} {_ONE[name] if count == 1 else name}" for name, count in counts.items())


def _move_aside(session: Session, row: Domain) -> None:
    """Its path, and those of what was deleted below it before: a domain that gets its name later does not see them."""
    was, aside = row.path, f"{row.path}~{row.id.hex[-12:]}"
    for column in (Policy.of_domain, Domain.path):
        session.execute(
            update(column.class_)
            .where(or_(column == was, func.starts_with(column, f"{was}/")))
            .values({column: func.concat(aside, func.substr(column, len(was) + 1))})
        )
