"""From a name and a password to a login. The password is looked at between two transactions: it takes long on purpose.

Whether a user is there is told by nothing: what there is not takes the same ways, and the same time.
"""

from dataclasses import dataclass
from math import ceil
from uuid import UUID

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.moves import Told, tell
from models.session import transaction
from models.tenants.actor import Actor
from models.tenants.tables import Domain
from models.users.keep import replace_password
from models.users.limit import Bucket, Full, charge, give_back, is_news, of_address, of_name, sweep
from models.users.sessions import (
    Lasts,
    begin_session,
    end_sessions,
    forget_session,
    is_open,
    login_of,
    verify_session,
)
from models.users.tables import LoginKnown, User
from stillframe.errors import LoginRefused, PasswordWrong, TooManyLogins
from stillframe.events import EventType, Level

#: Days for which a user is known at an address, and at how many.
_KNOWN_DAYS, _KNOWN_AT = 90, 20


@dataclass(frozen=True)
class Browser:
    """What asks. `address` is the one that its tries are counted under, `token` that of the login it has already."""

    address: str
    agent: str = ""
    token: str | None = None


@dataclass(frozen=True)
class Tried:
    """A try that was charged. `kept` is what its password has to fit, None where there is no such user.

    `number` is which of the user's passwords that is.
    """

    user: UUID | None
    kept: str | None
    number: int
    buckets: tuple[Bucket, ...]


def begin(engine: Engine, login: str, browser: Browser) -> Tried:
    """Charges a try at a login, written as a path; raises TooManyLogins."""
    path, _, name = login.strip("/").rpartition("/")
    named = Domain.path == f"/{path}", func.lower(User.name) == name.lower()
    with transaction(engine) as session:
        of = select(User).join(Domain, Domain.id == User.domain_id).where(*named)
        row = session.scalars(of).one_or_none()
    return _charged(engine, row, login_of(f"/{path}", name.lower()), browser)


def begin_again(engine: Engine, actor: Actor, browser: Browser) -> Tried:
    """The same for somebody who is logged in, and says the present password once more."""
    with transaction(engine) as session:
        row = session.get(User, actor.user_id)
    return _charged(engine, row, actor.name.lower(), browser)


def succeed(
    engine: Engine, tried: Tried, browser: Browser, lasts: Lasts, *, fresh: str | None = None
) -> tuple[str, Actor]:
    """The password fits: the token of a new login, and who is logged in now; raises LoginRefused if it does not open.

    `fresh` is the same password hashed anew, if that is due. The token that the browser had opens nothing any more.
    """
    with transaction(engine) as session:
        user = _locked(session, tried)
        if user is None:
            raise LoginRefused
        if fresh is not None:
            user.password_hash = fresh
        user.last_login_at = func.now()
        if browser.token is not None:
            forget_session(session, browser.token)
        return _let_in(session, user, tried, browser, lasts)


def change_password(
    engine: Engine, tried: Tried, browser: Browser, lasts: Lasts, *, fresh: str
) -> tuple[str, Actor]:
    """The present password was right: `fresh` is kept of the new one, and all logins end but a new one of this browser.

    Raises PasswordWrong when another was set meanwhile.
    """
    with transaction(engine) as session:
        user = _locked(session, tried)
        if user is None:
            raise PasswordWrong
        replace_password(user, fresh, must_change=False)
        ended = end_sessions(session, user.id)
        token, actor = _let_in(session, user, tried, browser, lasts)
        said = {"user_id": str(user.id), "sessions_ended": ended}
        told = Told(EventType.USER_PASSWORD_CHANGED, actor.name, message=actor.name, data=said)
        tell(session, told, account=user.account_id)
    return token, actor


def _locked(session: Session, tried: Tried) -> User | None:
    """The user, if the password that was tried is still the one, and they may log in. Locked: nobody changes that now."""
    of = select(User).where(User.id == tried.user, User.password_number == tried.number, is_open())
    return session.scalars(of.with_for_update()).one_or_none()


def _let_in(session: Session, user: User, tried: Tried, browser: Browser, lasts: Lasts) -> tuple[str, Actor]:
    give_back(session, tried.buckets)
    _know(session, user.id, browser.address)
    token, id_ = begin_session(session, user.id, lasts, browser.address, browser.agent)
    actor = verify_session(session, token, lasts)
    said = {"user_id": str(user.id), "session_id": str(id_), "address": browser.address}
    told = Told(EventType.SESSION_BEGAN, actor.name, message=f"from {browser.address}", data=said)
    tell(session, told, account=user.account_id)
    return token, actor


def _charged(engine: Engine, row: User | None, login: str, browser: Browser) -> Tried:
    user, kept, number = (row.id, row.password_hash, row.password_number) if row else (None, None, 0)
    try:
        with transaction(engine) as session:
            known_at = browser.address if _is_known(session, user, browser.address) else None
            buckets = (of_name(login, known_at), of_address(browser.address))
            charge(session, buckets)
            sweep(session)
    except Full as full:
        _tell_full(engine, full, row, login, browser)
        raise TooManyLogins(retry_after_s=max(1, ceil(full.wait_s))) from None
    return Tried(user, kept, number, buckets)


def _is_known(session: Session, user: UUID | None, address: str) -> bool:
    lately = LoginKnown.at > func.now() - func.make_interval(0, 0, 0, _KNOWN_DAYS)
    of = select(LoginKnown.user_id).where(LoginKnown.user_id == user, LoginKnown.address == address, lately)
    return session.execute(of).one_or_none() is not None


def _know(session: Session, user: UUID, address: str) -> None:
    known = insert(LoginKnown).values(user_id=user, address=address)
    columns = [LoginKnown.user_id, LoginKnown.address]
    session.execute(known.on_conflict_do_update(index_elements=columns, set_={"at": func.now()}))
    mine = select(LoginKnown.address).where(LoginKnown.user_id == user)
    old = mine.order_by(LoginKnown.at.desc(), LoginKnown.address).offset(_KNOWN_AT)
    of = LoginKnown.user_id == user, LoginKnown.address.in_(old.scalar_subquery())
    session.execute(delete(LoginKnown).where(*of))


def _tell_full(engine: Engine, full: Full, row: User | None, login: str, browser: Browser) -> None:
    """Once each time a bucket fills: of a name to its account, of an address to those who run the hosts."""
    of_one = full.bucket != of_address(browser.address)
    with transaction(engine) as session:
        # What was typed and is nobody's name is told to nobody: it may be somebody's password.
        if not is_news(session, full.bucket) or (of_one and row is None):
            return
        said = {"address": browser.address} | ({"user_id": str(row.id)} if of_one and row else {})
        message = f"too often as {login if of_one else 'anybody'}, the last time from {browser.address}"
        told = Told(EventType.LOGIN_FAILED, browser.address, Level.WARNING, message, said)
        tell(session, told, account=row.account_id if of_one and row else None)
