"""Logins that go on: a random token in a cookie, of which the hash is kept. It opens until it is over, or is ended."""

import hashlib
import secrets
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from models.tenants.actor import Actor
from models.tenants.keys import is_wide, rights_of
from models.tenants.tables import Account, Domain
from models.users.tables import LoginSession, User
from stillframe.errors import SessionRefused

#: Sessions that are over are removed a few at a time, by whoever logs in.
_SWEPT = 50
#: Characters of what a browser says of itself.
_AGENT = 200


@dataclass(frozen=True)
class Lasts:
    """Seconds after which a login is over: without use, and in any case."""

    idle_s: float
    whole_s: float


def begin_session(session: Session, user: UUID, lasts: Lasts, address: str, agent: str) -> tuple[str, UUID]:
    """A token of 256 random bits, which is shown to nobody but its browser, and the session's id."""
    token = secrets.token_urlsafe(32)
    row = LoginSession(
        user_id=user,
        sha256=_hash(token),
        created_at=func.now(),
        last_seen_at=func.now(),
        expires_at=func.now() + _seconds(lasts.whole_s),
        address=address,
        agent=agent[:_AGENT],
    )
    session.add(row)
    session.flush()
    over = select(LoginSession.id).where(LoginSession.expires_at <= func.now()).limit(_SWEPT)
    locked = over.with_for_update(skip_locked=True).scalar_subquery()
    session.execute(delete(LoginSession).where(LoginSession.id.in_(locked)))
    return token, row.id


def verify_session(session: Session, token: str, lasts: Lasts, *, used: bool = True) -> Actor:
    """Who is logged in; raises SessionRefused. `used`: it counts as use, which is kept to the minute."""
    of = (
        select(
            *(LoginSession.id, LoginSession.user_id, LoginSession.last_seen_at, User.name, User.role),
            *(User.scopes, User.must_change, User.expires_at, Account.id.label("account")),
            Domain.path.label("domain"),
        )
        .join(User, User.id == LoginSession.user_id)
        .join(Account, Account.id == User.account_id)
        .join(Domain, Domain.id == User.domain_id)
        .where(LoginSession.sha256 == _hash(token), goes_on(lasts), is_open())
    )
    found = session.execute(of).one_or_none()
    if found is None:
        raise SessionRefused
    if used:
        minute = func.date_trunc("minute", func.now())
        mine = LoginSession.id == found.id, LoginSession.last_seen_at < minute
        session.execute(update(LoginSession).where(*mine).values(last_seen_at=func.now()))
    return Actor(
        name=login_of(found.domain, found.name),
        account_id=found.account,
        role=found.role,
        domain=found.domain,
        scopes=rights_of(found.scopes),
        until=found.expires_at,
        wide=is_wide(session, found.role, found.domain),
        user_id=found.user_id,
        session_id=found.id,
        must_change=found.must_change,
    )


def forget_session(session: Session, token: str) -> None:
    """A token opens nothing any more, if it did."""
    session.execute(delete(LoginSession).where(LoginSession.sha256 == _hash(token)))


def end_sessions(session: Session, user: UUID, *, only: UUID | None = None) -> int:
    """From now on they open nothing: all of a user, or one. How many there were."""
    some = [LoginSession.user_id == user]
    if only is not None:
        some.append(LoginSession.id == only)
    return len(session.scalars(delete(LoginSession).where(*some).returning(LoginSession.id)).all())


def goes_on(lasts: Lasts) -> ColumnElement[bool]:
    """Sessions that are not over."""
    idle_since = func.now() - _seconds(lasts.idle_s)
    return (LoginSession.expires_at > func.now()) & (LoginSession.last_seen_at > idle_since)


def is_open() -> ColumnElement[bool]:
    """Users who may log in."""
    in_time = or_(User.expires_at.is_(None), User.expires_at > func.now())
    return User.disabled_at.is_(None) & in_time


def login_of(domain: str, name: str) -> str:
    """What a user types, and how it is shown: the domain's path, then the name."""
    return f"{domain.rstrip('/')}/{name}"


def _hash(token: str) -> str:
    # A fast hash is right here: the token is 256 random bits, not a word that somebody chose.
    return hashlib.sha256(token.encode()).hexdigest()


def _seconds(seconds: float) -> ColumnElement[object]:
    return func.make_interval(0, 0, 0, 0, 0, 0, seconds)
