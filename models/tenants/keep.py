"""Domains and accounts, made and limited."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.base import Json
from models.ids import new_id
from models.moves import Told, tell
from models.tenants.actor import Actor
from models.tenants.named import find_account, find_domain
from models.tenants.tables import Account, Domain
from stillframe.errors import AccountNameTaken, BeyondOwn, DomainNameTaken
from stillframe.events import EventType
from stillframe.names import check_name
from stillframe.rights import Role

LIMITS_OF_ACCOUNT = ("max_snapshots_a_vm", "max_snapshots", "max_bytes", "max_jobs")
LIMITS_OF_DOMAIN = ("max_snapshots", "max_bytes")


def add_domain(session: Session, actor: Actor, name: str, parent: str) -> UUID:
    """A domain below another; raises DomainNotFound or DomainNameTaken."""
    above = find_domain(session, actor, parent, keep=True)
    path = f"{above.path.rstrip('/')}/{check_name(name, 'domain')}"
    row = Domain(id=new_id(), parent_id=above.id, name=name, path=path)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise DomainNameTaken(domain=path) from error
    _tell(
        session, actor, EventType.DOMAIN_CREATED, path, {"domain_id": str(row.id)}, account=actor.account_id
    )
    return row.id


def add_account(session: Session, actor: Actor, name: str, domain: str) -> UUID:
    """An account in a domain; raises DomainNotFound or AccountNameTaken."""
    home = find_domain(session, actor, domain, keep=True)
    row = Account(id=new_id(), domain_id=home.id, name=check_name(name, "account"))
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise AccountNameTaken(account=name, domain=home.path) from error
    _tell(session, actor, EventType.ACCOUNT_CREATED, name, {"domain": home.path}, account=row.id)
    return row.id


def limit_account(session: Session, actor: Actor, account: str, limits: Mapping[str, int | None]) -> UUID:
    """Sets some of LIMITS_OF_ACCOUNT; None takes one away. What is there already stays, however much it is."""
    row, _ = find_account(session, actor, account, keep=True)
    for name in LIMITS_OF_ACCOUNT:
        if name in limits:
            setattr(row, name, limits[name])
    _tell(session, actor, EventType.ACCOUNT_LIMITED, row.name, dict(limits), account=row.id)
    return row.id


def limit_domain(session: Session, actor: Actor, domain: str, limits: Mapping[str, int | None]) -> UUID:
    """Sets some of LIMITS_OF_DOMAIN. Those of a domain are set from above it: raises BeyondOwn for one's own."""
    row = find_domain(session, actor, domain, keep=True)
    if actor.role is not Role.ROOT and row.path == actor.domain:
        raise BeyondOwn(what=f"To limit domain {row.path}")
    for name in LIMITS_OF_DOMAIN:
        if name in limits:
            setattr(row, name, limits[name])
    _tell(session, actor, EventType.DOMAIN_LIMITED, row.path, dict(limits), account=actor.account_id)
    return row.id


def _tell(
    session: Session, actor: Actor, type_: EventType, message: str, data: Json, *, account: UUID
) -> None:
    tell(session, Told(type_, actor.name, message=message, data=data), account=account)
