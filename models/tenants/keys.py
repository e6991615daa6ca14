"""API keys: shown once when they are made, kept as a hash, known by their first letters. Nobody gives more than they have."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from models.moves import Told, tell
from models.tenants.actor import Actor
from models.tenants.gifts import check_gift
from models.tenants.named import find_account
from models.tenants.scope import accounts, mine
from models.tenants.tables import Account, ApiKey, Domain
from stillframe.errors import KeyNotFound, KeyRefused, NotFound
from stillframe.events import EventType
from stillframe.rights import Right, Role, is_within

_PREFIX = "sfk_"
#: Accounts below a domain from which on they are many.
_WIDE = 100
_SHOWN = len(_PREFIX) + 8

#: Neither revoked nor over.
OPENS = and_(ApiKey.revoked_at.is_(None), func.coalesce(ApiKey.expires_at > func.now(), True))


def make_key(
    session: Session,
    account: UUID,
    role: Role,
    name: str,
    *,
    expires_at: datetime | None = None,
    scopes: Collection[Right] | None = None,
) -> tuple[str, UUID]:
    """A new key of an account, and its id. The key has 256 random bits and can never be shown again.

    With `scopes` it may do only these of what its role may.
    """
    if session.get(Account, account) is None:
        raise NotFound(what=f'account "{account}"')
    key = _PREFIX + secrets.token_urlsafe(32)
    row = ApiKey(
        account_id=account,
        role=role,
        scopes=None if scopes is None else sorted(scopes),
        name=name,
        prefix=key[:_SHOWN],
        sha256=_hash(key),
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return key, row.id


def verify_key(session: Session, key: str) -> Actor:
    """Who a key acts for; raises KeyRefused when it is not known, has expired or was revoked.

    Its last use is kept to the minute, so that reading with a key does not write each time.
    """
    found = session.execute(
        select(
            *(
                ApiKey.id,
                ApiKey.role,
                ApiKey.scopes,
                ApiKey.expires_at,
                Account.id.label("account"),
                Account.name,
            ),
            Domain.path.label("domain"),
        )
        .join(Account, Account.id == ApiKey.account_id)
        .join(Domain, Domain.id == Account.domain_id)
        .where(ApiKey.sha256 == _hash(key), OPENS, Account.deleted_at.is_(None))
    ).one_or_none()
    if found is None:
        raise KeyRefused
    minute = func.date_trunc("minute", func.now())
    session.execute(
        update(ApiKey)
        .where(ApiKey.id == found.id, or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < minute))
        .values(last_used_at=func.now())
    )
    return Actor(
        name=found.name,
        account_id=found.account,
        role=found.role,
        domain=found.domain,
        scopes=rights_of(found.scopes),
        until=found.expires_at,
        wide=is_wide(session, found.role, found.domain),
        key_id=found.id,
    )


def check_opens(session: Session, key: UUID) -> None:
    """Raises KeyRefused if it was revoked, has expired, or went with its account."""
    of = select(ApiKey.id).join(Account, Account.id == ApiKey.account_id)
    if session.scalar(of.where(ApiKey.id == key, OPENS, Account.deleted_at.is_(None))) is None:
        raise KeyRefused


def rights_of(scopes: Collection[str] | None) -> frozenset[Right] | None:
    """Those that a row was narrowed to; None for all of its role."""
    return None if scopes is None else frozenset(right for right in Right if right in scopes)


def is_wide(session: Session, role: Role, domain: str) -> bool:
    """Whether somebody of that role sees many accounts of that domain."""
    return role is Role.DOMAIN and len(session.scalars(accounts(domain).limit(_WIDE)).all()) == _WIDE


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
    row, _ = find_account(session, actor, account, keep=True)
    if isinstance(expires_at, timedelta):
        expires_at += session.scalars(select(func.now())).one()
    check_gift(actor, "A key", role, scopes, expires_at)
    key, id_ = make_key(session, row.id, role, name, expires_at=expires_at, scopes=scopes)
    said = {"key_id": str(id_), "role": role.value, "scopes": sorted(scopes) if scopes is not None else None}
    message = f"{name} of account {row.name}"
    tell(session, Told(EventType.KEY_CREATED, actor.name, message=message, data=said), account=row.id)
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
        told = Told(EventType.KEY_REVOKED, actor.name, message=row.name, data=said)
        tell(session, told, account=row.account_id)


def my_keys(actor: Actor) -> ColumnElement[bool]:
    """Keys that the actor sees: administrators those of their accounts that see no further than they do, others their own."""
    if not is_within(Role.DOMAIN, actor.role):
        return ApiKey.id == actor.key_id
    within = [role for role in Role if is_within(role, actor.role)]
    return mine(actor, ApiKey.account_id) & ApiKey.role.in_(within)


def _hash(key: str) -> str:
    # A fast hash is right here: the key is 256 random bits, not a word that somebody chose.
    return hashlib.sha256(key.encode()).hexdigest()
