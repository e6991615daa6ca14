"""Users, made and changed. What lets somebody in (a role, rights, a password) is given by whoever has as much themselves."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.find import as_id
from models.ids import new_id
from models.moves import Told, tell
from models.tenants.actor import Actor
from models.tenants.gifts import check_gift
from models.tenants.named import find_account
from models.tenants.scope import mine
from models.tenants.tables import Domain
from models.users.sessions import end_sessions, login_of
from models.users.tables import User
from stillframe.errors import (
    SessionNotFound,
    UserIsOneself,
    UserNameAmbiguous,
    UserNameTaken,
    UserNotFound,
)
from stillframe.events import EventType
from stillframe.names import check_display_name, check_name
from stillframe.rights import Right, Role, is_within

_WHAT = "A user"
#: What decides how far a user gets.
_GIFTS = ("role", "scopes", "expires_at")


def add_user(
    session: Session,
    actor: Actor,
    account: str,
    name: str,
    password_hash: str,
    *,
    role: Role = Role.USER,
    scopes: Collection[Right] | None = None,
    display_name: str | None = None,
    email: str | None = None,
    expires_at: datetime | timedelta | None = None,
    must_change: bool = True,
) -> UUID:
    """A user of an account; raises AccountNotFound, NameInvalid, UserNameTaken, RightsNotOfRole, or BeyondOwn."""
    owner, domain = find_account(session, actor, account, keep=True)
    until = _until(session, expires_at)
    check_gift(actor, _WHAT, role, scopes, until)
    row = User(
        id=new_id(),
        account_id=owner.id,
        domain_id=domain.id,
        name=check_name(name, "user"),
        display_name=check_display_name(display_name or name),
        email=email,
        role=role,
        scopes=None if scopes is None else sorted(scopes),
        password_hash=password_hash,
        must_change=must_change,
        expires_at=until,
        created_by=actor.name,
    )
    login = login_of(domain.path, name)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise UserNameTaken(login=login) from error
    _tell(session, actor, EventType.USER_CREATED, (row, login), role=role.value, scopes=row.scopes)
    return row.id


def edit_user(session: Session, actor: Actor, user: str, changes: Mapping[str, Any]) -> UUID:
    """Sets some of display_name, email, role, scopes and expires_at. It counts at once, where the user is logged in too."""
    row, login = find_user(session, actor, user, lock=True)
    changes = dict(changes)
    if "display_name" in changes:
        changes["display_name"] = check_display_name(changes["display_name"])
    if "expires_at" in changes:
        changes["expires_at"] = _until(session, changes["expires_at"])
    if changes.get("scopes") is not None:
        changes["scopes"] = sorted(changes["scopes"])
    for field, value in changes.items():
        setattr(row, field, value)
    if changes.keys() & set(_GIFTS):
        _check_gift(actor, row)
    said = {name: _plain(changes[name]) for name in _GIFTS if name in changes}
    _tell(session, actor, EventType.USER_EDITED, (row, login), fields=sorted(changes), **said)
    return row.id


def set_password(session: Session, actor: Actor, user: str, password_hash: str) -> UUID:
    """By somebody else, for whom it opens what it opens for the user: raises BeyondOwn, or UserIsOneself.

    All the user's logins end, and the password is to be changed by whoever logs in with it.
    """
    row, login = find_user(session, actor, user, lock=True)
    _check_not_oneself(actor, row, "set the password of")
    _check_gift(actor, row)
    replace_password(row, password_hash, must_change=True)
    ended = end_sessions(session, row.id)
    _tell(session, actor, EventType.USER_PASSWORD_SET, (row, login), sessions_ended=ended)
    return row.id


def replace_password(row: User, password_hash: str, *, must_change: bool) -> None:
    """The next password of a user; logins under way with the one before come to nothing."""
    row.password_hash, row.must_change = password_hash, must_change
    row.password_number += 1
    row.password_set_at = func.now()


def disable_user(session: Session, actor: Actor, user: str) -> UUID:
    """It does not log in any more, and all its logins end. Twice is as once."""
    row, login = find_user(session, actor, user, lock=True)
    _check_not_oneself(actor, row, "disable")
    if row.disabled_at is None:
        row.disabled_at = func.now()
        ended = end_sessions(session, row.id)
        _tell(session, actor, EventType.USER_DISABLED, (row, login), sessions_ended=ended)
    return row.id


def enable_user(session: Session, actor: Actor, user: str) -> UUID:
    """It may log in again, by the password it had; raises BeyondOwn."""
    row, login = find_user(session, actor, user, lock=True)
    _check_gift(actor, row)
    if row.disabled_at is not None:
        row.disabled_at = None
        _tell(session, actor, EventType.USER_ENABLED, (row, login))
    return row.id


def delete_user(session: Session, actor: Actor, user: str) -> None:
    """Its row goes, with its logins; what it did stays under its name."""
    row, login = find_user(session, actor, user, lock=True)
    _check_not_oneself(actor, row, "delete")
    _remove(session, actor, row, login)


def end_session(session: Session, actor: Actor, id_: UUID | None) -> None:
    """Ends one login of the user who asks; raises SessionNotFound."""
    row = session.get(User, actor.user_id) if actor.user_id else None
    if row is None or not end_sessions(session, row.id, only=id_):
        raise SessionNotFound(session=id_)
    _tell(session, actor, EventType.SESSION_ENDED, (row, actor.name), session_id=str(id_))


def find_user(session: Session, actor: Actor, text: str, *, lock: bool = False) -> tuple[User, str]:
    """One with its login, by id, or by a name that no other has that the actor sees.

    Raises UserNotFound or UserNameAmbiguous.
    """
    id_ = as_id(text)
    named = func.lower(User.name) == text.lower() if id_ is None else User.id == id_
    of = _users().where(named, my_users(actor)).order_by(User.id).limit(10)
    rows = session.execute(of.with_for_update(of=User) if lock else of).all() if "\0" not in text else []
    if not rows:
        raise UserNotFound(user=text)
    if len(rows) > 1:
        logins = ", ".join(f"{login_of(path, row.name)} ({row.id})" for row, path in rows)
        raise UserNameAmbiguous(user=text, candidates=logins)
    ((row, path),) = rows
    return row, login_of(path, row.name)


def my_users(actor: Actor) -> ColumnElement[bool]:
    """Users that the actor sees: administrators those of their accounts that see no further than they do, others themselves."""
    if not is_within(Role.DOMAIN, actor.role):
        return User.id == actor.user_id
    within = [role for role in Role if is_within(role, actor.role)]
    return mine(actor, User.account_id) & User.role.in_(within)


def _users() -> Select[User, str]:
    return select(User, Domain.path).join(Domain, Domain.id == User.domain_id)


def _remove(session: Session, actor: Actor, row: User, login: str) -> None:
    ended = end_sessions(session, row.id)
    session.delete(row)
    _tell(session, actor, EventType.USER_DELETED, (row, login), sessions_ended=ended)


def _check_gift(actor: Actor, row: User) -> None:
    scopes = None if row.scopes is None else [Right(right) for right in row.scopes]
    check_gift(actor, _WHAT, row.role, scopes, row.expires_at)


def _check_not_oneself(actor: Actor, row: User, what: str) -> None:
    if actor.user_id == row.id:
        raise UserIsOneself(what=what)


def _until(session: Session, when: datetime | timedelta | None) -> datetime | None:
    if isinstance(when, timedelta):
        return session.scalars(select(func.now())).one() + when
    return when


def _tell(session: Session, actor: Actor, type_: EventType, whom: tuple[User, str], **data: Any) -> None:
    row, login = whom
    told = Told(type_, actor.name, message=login, data={"user_id": str(row.id), **data})
    tell(session, told, account=row.account_id)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
