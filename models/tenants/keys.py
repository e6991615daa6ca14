"""API keys: shown once when they are made, kept as a hash, known by their first letters."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from models.tenants.actor import Actor
from models.tenants.scope import accounts
from models.tenants.tables import Account, ApiKey, Domain
from stillframe.errors import KeyRefused, NotFound
from stillframe.rights import Right, Role

_PREFIX = "sfk_"
#: Accounts below a domain from which on they are many.
_WIDE = 100
_SHOWN = len(_PREFIX) + 8


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
        .where(
            ApiKey.sha256 == _hash(key),
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
        )
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


def rights_of(scopes: Collection[str] | None) -> frozenset[Right] | None:
    """Those that a row was narrowed to; None for all of its role."""
    return None if scopes is None else frozenset(right for right in Right if right in scopes)


def is_wide(session: Session, role: Role, domain: str) -> bool:
    """Whether somebody of that role sees many accounts of that domain."""
    return role is Role.DOMAIN and len(session.scalars(accounts(domain).limit(_WIDE)).all()) == _WIDE


def _hash(key: str) -> str:
    # A fast hash is right here: the key is 256 random bits, not a word that somebody chose.
    return hashlib.sha256(key.encode()).hexdigest()
