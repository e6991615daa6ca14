"""Lists and details of domains, accounts and keys, and what is used of their limits."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, or_, select
from sqlalchemy.orm import Session, aliased

from models.base import Json
from models.queries.find import containing
from models.queries.paging import AnyRow, AnySelect, Order, Wanted, instant, page
from models.tenants import quota
from models.tenants.actor import Actor
from models.tenants.keep import find_account, find_domain, my_keys
from models.tenants.scope import accounts as accounts_below
from models.tenants.scope import mine, my_domains, subtree
from models.tenants.tables import Account, ApiKey, Domain
from stillframe.errors import KeyNotFound
from stillframe.rights import RIGHTS

BY_PATH = Order("path", Domain.path.expression, Domain.id.expression, descending=False)
BY_NAME = Order("name", Account.name.expression, Account.id.expression, descending=False)
NEWEST = Order("-created_at", ApiKey.created_at.expression, ApiKey.id.expression, True, instant)


def domains(connection: Connection, actor: Actor, wanted: Wanted, below: str | None = None) -> Json:
    """Domains by path, so that each stands before those below it; `below` is one whose subtree is meant."""
    statement = _domains(actor)
    if below is not None:
        statement = statement.where(subtree(domain_path(connection, actor, below)))
    return page(connection, statement, BY_PATH, wanted, _domain_items)


def domain(connection: Connection, actor: Actor, text: str) -> Json:
    """One by path or id, with what its subtree uses; raises DomainNotFound."""
    path = domain_path(connection, actor, text)
    (item,) = _domain_items(connection, connection.execute(_domains(actor).where(Domain.path == path)).all())
    return {**item, "used": quota.used(connection, accounts_below(path))}


def domain_path(connection: Connection, actor: Actor, text: str) -> str:
    """Raises DomainNotFound."""
    with Session(connection) as session:
        return find_domain(session, actor, text).path


def account_id(connection: Connection, actor: Actor, text: str) -> UUID:
    """Raises AccountNotFound."""
    with Session(connection) as session:
        return find_account(session, actor, text)[0].id


def owned(
    connection: Connection, actor: Actor, column: Any, account: str | None, domain: str | None
) -> list[ColumnElement[bool]]:
    """Rows of an account, or of a domain's subtree; raises AccountNotFound or DomainNotFound."""
    found: list[ColumnElement[bool]] = []
    if account is not None:
        found.append(column == account_id(connection, actor, account))
    if domain is not None:
        found.append(column.in_(accounts_below(domain_path(connection, actor, domain))))
    return found


def accounts(
    connection: Connection, actor: Actor, wanted: Wanted, domain: str | None = None, q: str | None = None
) -> Json:
    """Accounts by name; those of a domain's subtree; `q` is a part of the name."""
    statement = _accounts(actor)
    if domain is not None:
        statement = statement.where(subtree(domain_path(connection, actor, domain)))
    if q:
        statement = statement.where(Account.name.ilike(containing(q)))
    return page(connection, statement, BY_NAME, wanted, _account_items)


def account(connection: Connection, actor: Actor, text: str) -> Json:
    """One by name or id, with what it uses; raises AccountNotFound."""
    id_ = account_id(connection, actor, text)
    (item,) = _account_items(connection, connection.execute(_accounts(actor).where(Account.id == id_)).all())
    return {**item, "used": quota.used(connection, [id_])}


def keys(connection: Connection, actor: Actor, wanted: Wanted, account: str | None = None) -> Json:
    """Keys, newest first, revoked and expired ones too."""
    statement = _keys(actor)
    if account is not None:
        statement = statement.where(ApiKey.account_id == account_id(connection, actor, account))
    return page(connection, statement, NEWEST, wanted, _key_items)


def key(connection: Connection, actor: Actor, id_: UUID) -> Json:
    """One; raises KeyNotFound."""
    rows = connection.execute(_keys(actor).where(ApiKey.id == id_)).all()
    if not rows:
        raise KeyNotFound(key=id_)
    return _key_items(connection, rows)[0]


def _domains(actor: Actor) -> AnySelect:
    above = aliased(Domain)
    return (
        select(
            *(Domain.id, Domain.name, Domain.path, Domain.created_at),
            *(Domain.max_snapshots, Domain.max_bytes, above.path.label("parent")),
        )
        .outerjoin(above, above.id == Domain.parent_id)
        .where(my_domains(actor))
    )


def _accounts(actor: Actor) -> AnySelect:
    return (
        select(
            *(Account.id, Account.name, Account.created_at, Domain.path.label("domain")),
            *(Account.max_snapshots_a_vm, Account.max_snapshots, Account.max_bytes, Account.max_jobs),
        )
        .join(Domain, Domain.id == Account.domain_id)
        .where(mine(actor, Account.id))
    )


def _keys(actor: Actor) -> AnySelect:
    over = or_(ApiKey.revoked_at.is_not(None), func.coalesce(ApiKey.expires_at <= func.now(), False))
    return (
        select(
            *(ApiKey.id, ApiKey.name, ApiKey.role, ApiKey.scopes, ApiKey.prefix, ApiKey.created_at),
            *(ApiKey.expires_at, ApiKey.revoked_at, ApiKey.last_used_at, Account.name.label("account")),
            (~over).label("opens"),
        )
        .join(Account, Account.id == ApiKey.account_id)
        .where(my_keys(actor))
    )


def _domain_items(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    names = ("max_snapshots", "max_bytes")
    return [{**row._mapping, "limits": _limits(row, names), "used": None} for row in rows]


def _account_items(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    names = ("max_snapshots_a_vm", "max_snapshots", "max_bytes", "max_jobs")
    return [{**row._mapping, "limits": _limits(row, names), "used": None} for row in rows]


def _limits(row: AnyRow, names: Sequence[str]) -> dict[str, Any]:
    return {name: row._mapping[name] for name in names}


def _key_items(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    return [
        {
            **row._mapping,
            "rights": sorted(
                RIGHTS[row.role]
                if row.scopes is None
                else {right for right in RIGHTS[row.role] if right in row.scopes}
            ),
        }
        for row in rows
    ]
