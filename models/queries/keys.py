"""Lists and details of keys."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, or_, select

from models.base import AnyRow, AnySelect, Json
from models.find import containing
from models.queries.accounts import account_id
from models.queries.owners import with_owner
from models.queries.paging import Order, Wanted, instant, page
from models.tenants.actor import Actor
from models.tenants.keys import OPENS, my_keys
from models.tenants.tables import ApiKey
from stillframe.errors import KeyNotFound
from stillframe.rights import RIGHTS

NEWEST = Order("-created_at", ApiKey.created_at.expression, ApiKey.id.expression, True, instant)


def keys(
    connection: Connection,
    actor: Actor,
    wanted: Wanted,
    account: str | None = None,
    q: str | None = None,
    *,
    opens: bool | None = None,
) -> Json:
    """Keys, newest first; `q` is a part of the name or the beginning of the key, `opens` whether it still does."""
    statement = _keys(actor)
    if account is not None:
        statement = statement.where(ApiKey.account_id == account_id(connection, actor, account))
    if q:
        statement = statement.where(
            or_(ApiKey.name.ilike(containing(q)), ApiKey.prefix.startswith(q, autoescape=True))
        )
    if opens is not None:
        statement = statement.where(OPENS if opens else ~OPENS)
    return page(connection, statement, NEWEST, wanted, _items)


def key(connection: Connection, actor: Actor, id_: UUID) -> Json:
    """One; raises KeyNotFound."""
    rows = connection.execute(_keys(actor).where(ApiKey.id == id_)).all()
    if not rows:
        raise KeyNotFound(key=id_)
    return _items(connection, rows)[0]


def _keys(actor: Actor) -> AnySelect:
    rows = select(
        *(ApiKey.id, ApiKey.name, ApiKey.role, ApiKey.scopes, ApiKey.prefix, ApiKey.created_at),
        *(ApiKey.expires_at, ApiKey.revoked_at, ApiKey.last_used_at, OPENS.label("opens")),
    )
    return with_owner(rows, ApiKey.account_id).where(my_keys(actor))


def _items(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    return [
        {**row._mapping, "rights": sorted(right for right in RIGHTS[row.role] if _may(row, right))}
        for row in rows
    ]


def _may(row: AnyRow, right: str) -> bool:
    return row.scopes is None or right in row.scopes
