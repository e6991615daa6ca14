"""Domains, accounts and keys, made and changed: nobody gives more than they have."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.base import Json
from models.ids import new_id
from models.moves import Told, tell
from models.queries.find import as_id
from models.tenants.actor import Actor
from models.tenants.gifts import check_gift
from models.tenants.keys import make_key
from models.tenants.scope import mine, my_domains
from models.tenants.tables import Account, ApiKey, Domain
from stillframe.errors import (
    AccountNameTaken,
    AccountNotFound,
    BeyondOwn,
    DomainNameTaken,
    DomainNotFound,
    KeyNotFound,
)
from stillframe.events import EventType
from stillframe.names import check_name
from stillframe.rights import Right, Role, is_within

LIMITS_OF_ACCOUNT = ("max_snapshots_a_vm", "max_snapshots", "max_bytes", "max_jobs")
LIMITS_OF_DOMAIN = ("max_snapshots", "max_bytes")


def find_domain(session: Session, actor: Actor, text: str) -> Domain:
    """By its path or id; raises DomainNotFound."""
    id_ = as_id(text)
    path = "/" + text.strip("/")
    named = Domain.path == path if id_ is None else Domain.id == id_
    of = select(Domain).where(named, my_domains(actor))
    found = session.scalars(of).one_or_none() if _can_be(text) else None
    if found is None:
        raise DomainNotFound(domain=text)
    return found


def find_account(session: Session, actor: Actor, text: str) -> tuple[Account, Domain]:
    """By its name or id; raises AccountNotFound."""
    id_ = as_id(text)
    named = Account.name == text if id_ is None else or_(Account.id == id_, Account.name == text)
    of = select(Account, Domain).join(Domain, Domain.id == Account.domain_id)
    # An id means the account that has it, also if somebody gave another account that id as its name.
    one = of.where(named, mine(actor, Account.id)).order_by((Account.id == id_).desc()).limit(1)
    found = session.execute(one).first() if _can_be(text) else None
    if found is None:
        raise AccountNotFound(account=text)
    return found[0], found[1]


def add_domain(session: Session, actor: Actor, name: str, parent: str) -> UUID:
    """A domain below another; raises DomainNotFound or DomainNameTaken."""
    above = find_domain(session, actor, parent)
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
    home = find_domain(session, actor, domain)
    row = Account(id=new_id(), domain_id=home.id, name=check_name(name, "account"))
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise AccountNameTaken(account=name) from error
    _tell(session, actor, EventType.ACCOUNT_CREATED, name, {"domain": home.path}, account=row.id)
    return row.id


def limit_account(session: Session, actor: Actor, account: str, limits: Mapping[str, int | None]) -> UUID:
    """Sets some of LIMITS_OF_ACCOUNT; None takes one away. What is there already stays, however much it is."""
    row, _ = find_account(session, actor, account)
    for name in LIMITS_OF_ACCOUNT:
        if name in limits:
            setattr(row, name, limits[name])
    _tell(session, actor, EventType.ACCOUNT_LIMITED, row.name, dict(limits), account=row.id)
    return row.id


def limit_domain(session: Session, actor: Actor, domain: str, limits: Mapping[str, int | None]) -> UUID:
    """Sets some of LIMITS_OF_DOMAIN. Those of a domain are set from above it: raises BeyondOwn for one's own."""
    row = find_domain(session, actor, domain)
    if actor.role is not Role.ROOT and row.path == actor.domain:
        raise BeyondOwn(what=f"To limit domain {row.path}")
    for name in LIMITS_OF_DOMAIN:
        if name in limits:
            setattr(row, name, limits[name])
    _tell(session, actor, EventType.DOMAIN_LIMITED, row.path, dict(limits), account=actor.account_id)
    return row.id


def add_key(
    session: Session,
    actor: Actor,
    account: str,
    role: Role,
    name: str,
    *,
    scopes: Collection[Right] | None = None,
    expires_at: datetime | timedelta | None = None,
) -> tuple[str, UUID]:
    """A new key of an account, shown this once; raises AccountNotFound, RightsNotOfRole, or BeyondOwn for more than one has."""
    row, _ = find_account(session, actor, account)
    if isinstance(expires_at, timedelta):
        expires_at += session.scalars(select(func.now())).one()
    check_gift(actor, "A key", role, scopes, expires_at)
    key, id_ = make_key(session, row.id, role, name, expires_at=expires_at, scopes=scopes)
    said = {"key_id": str(id_), "role": role.value, "scopes": sorted(scopes) if scopes is not None else None}
    _tell(session, actor, EventType.KEY_CREATED, f"{name} of account {row.name}", said, account=row.id)
    return key, id_


def revoke_key(session: Session, actor: Actor, key: UUID) -> None:
    """From now on it opens nothing; a second time changes nothing. Raises KeyNotFound."""
    of = select(ApiKey).where(ApiKey.id == key, my_keys(actor))
    row = session.scalars(of.with_for_update()).one_or_none()
    if row is None:
        raise KeyNotFound(key=key)
    if row.revoked_at is None:
        row.revoked_at = func.now()
        said = {"key_id": str(key), "prefix": row.prefix}
        _tell(session, actor, EventType.KEY_REVOKED, row.name, said, account=row.account_id)


def my_keys(actor: Actor) -> ColumnElement[bool]:
    """Keys that the actor sees: those of its accounts that see no further than it does."""
    within = [role for role in Role if is_within(role, actor.role)]
    return mine(actor, ApiKey.account_id) & ApiKey.role.in_(within)


def _tell(
    session: Session, actor: Actor, type_: EventType, message: str, data: Json, *, account: UUID
) -> None:
    tell(session, Told(type_, actor.name, message=message, data=data), account=account)


def _can_be(text: str) -> bool:
    return "\0" not in text
