"""Lists and details of users, of the logins of one, and who somebody is."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, or_, select

from models.base import AnyRow, AnySelect, Json
from models.find import containing
from models.queries.owners import owned
from models.queries.paging import Order, Wanted, instant, page
from models.tenants.actor import Actor
from models.tenants.keys import rights_of
from models.tenants.tables import Account, ApiKey, Domain
from models.users.keep import my_users
from models.users.sessions import Lasts, goes_on, is_open, login_of
from models.users.tables import LoginSession, User
from stillframe.errors import UserNotFound
from stillframe.rights import RIGHTS, Right, Role

BY_NAME = Order("name", User.name.expression, User.id.expression, descending=False)
NEWEST = Order("-created_at", LoginSession.created_at.expression, LoginSession.id.expression, True, instant)


def users(
    connection: Connection,
    actor: Actor,
    wanted: Wanted,
    *,
    account: str | None = None,
    domain: str | None = None,
    login: str | None = None,
    q: str | None = None,
    disabled: bool | None = None,
) -> Json:
    """Users by name; `login` is exactly that one's, `q` a part of the name, the display name or the email."""
    of = owned(connection, actor, account, domain)
    statement = _users(actor).where(*of.conditions(User.account_id))
    if login is not None:
        path, _, name = login.strip("/").rpartition("/")
        statement = statement.where(Domain.path == f"/{path}", func.lower(User.name) == name.lower())
    if q:
        words = (User.name, User.display_name, User.email)
        statement = statement.where(or_(*(one.ilike(containing(q)) for one in words)))
    if disabled is not None:
        statement = statement.where(User.disabled_at.is_not(None) if disabled else User.disabled_at.is_(None))
    return page(connection, statement, BY_NAME, wanted, _user_items)


def user(connection: Connection, actor: Actor, id_: UUID) -> Json:
    """One; raises UserNotFound."""
    rows = connection.execute(_users(actor).where(User.id == id_)).all()
    if not rows:
        raise UserNotFound(user=id_)
    return _user_items(connection, rows)[0]


def sessions(connection: Connection, actor: Actor, wanted: Wanted, lasts: Lasts) -> Json:
    """The logins that go on of the user who asks, newest first."""
    of = _sessions(lasts).where(LoginSession.user_id == actor.user_id)

    def shaped(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
        return [{**row._mapping, "current": row.id == actor.session_id} for row in rows]

    return page(connection, of, NEWEST, wanted, shaped)


def oneself(connection: Connection, actor: Actor, lasts: Lasts) -> Json:
    """Who asks, by what, and for how long that opens."""
    account = select(Account.id, Account.name).where(Account.id == actor.account_id)
    return {
        "name": actor.name,
        "account": connection.execute(account).one()._mapping,
        "domain": actor.domain,
        "role": actor.role,
        "rights": sorted(actor.rights),
        "by": "key" if actor.user_id is None else "session",
        "key": _key(connection, actor),
        "user": _self(connection, actor),
        "session": _session(connection, actor, lasts),
        "must_change_password": actor.must_change,
    }


def _key(connection: Connection, actor: Actor) -> Any:
    columns = (ApiKey.id, ApiKey.name, ApiKey.prefix, ApiKey.expires_at)
    found = connection.execute(select(*columns).where(ApiKey.id == actor.key_id)).one_or_none()
    return None if found is None else found._mapping


def _self(connection: Connection, actor: Actor) -> Json | None:
    rows = connection.execute(_users_of_anybody().where(User.id == actor.user_id)).all()
    return _user_items(connection, rows)[0] if rows else None


def _session(connection: Connection, actor: Actor, lasts: Lasts) -> Json | None:
    found = connection.execute(_sessions(lasts).where(LoginSession.id == actor.session_id)).one_or_none()
    return None if found is None else {**found._mapping, "current": True}


def _users(actor: Actor) -> AnySelect:
    return _users_of_anybody().where(my_users(actor))


def _users_of_anybody() -> AnySelect:
    return (
        select(
            *(User.id, User.name, User.display_name, User.email, User.role, User.scopes, User.created_by),
            *(User.created_at, User.expires_at, User.last_login_at, User.password_set_at, User.disabled_at),
            *(User.must_change, Account.name.label("account"), Domain.path.label("domain")),
            is_open().label("opens"),
        )
        .join(Account, Account.id == User.account_id)
        .join(Domain, Domain.id == User.domain_id)
    )


def _user_items(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    return [
        {
            **row._mapping,
            "login": login_of(row.domain, row.name),
            "rights": _rights(row.role, row.scopes),
            "must_change_password": row.must_change,
        }
        for row in rows
    ]


def _rights(role: Role, scopes: list[str] | None) -> list[Right]:
    narrowed = rights_of(scopes)
    return sorted(RIGHTS[role] if narrowed is None else RIGHTS[role] & narrowed)


def _sessions(lasts: Lasts) -> AnySelect:
    idle = func.make_interval(0, 0, 0, 0, 0, 0, lasts.idle_s)
    one = LoginSession
    ends = func.least(one.last_seen_at + idle, one.expires_at).label("idle_until")
    return select(
        *(one.id, one.created_at, one.last_seen_at, one.expires_at, ends, one.address, one.agent)
    ).where(goes_on(lasts))
