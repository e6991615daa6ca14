"""Lists and details of domains and accounts, and what is used of their limits."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session, aliased

from models.base import AnyRow, AnySelect, Json
from models.find import containing
from models.queries.paging import Order, Wanted, page
from models.tenants import quota
from models.tenants.actor import Actor
from models.tenants.named import find_account, find_domain
from models.tenants.scope import accounts as accounts_below
from models.tenants.scope import mine, my_domains, subtree
from models.tenants.tables import Account, Domain

BY_PATH = Order("path", Domain.path.expression, Domain.id.expression, descending=False)
BY_NAME = Order("name", Account.name.expression, Account.id.expression, descending=False)


def domains(
    connection: Connection, actor: Actor, wanted: Wanted, below: str | None = None, *, deleted: bool = False
) -> Json:
    """Domains by path, so that each stands before those below it; `below` is one whose subtree is meant."""
    statement = _domains(actor)
    if not deleted:
        statement = statement.where(Domain.deleted_at.is_(None))
    if below is not None:
        statement = statement.where(subtree(domain_path(connection, actor, below)))
    return page(connection, statement, BY_PATH, wanted, _items)


def domain(connection: Connection, actor: Actor, text: str) -> Json:
    """One by path or id, with what its subtree uses; raises DomainNotFound."""
    path = domain_path(connection, actor, text)
    (item,) = _items(connection, connection.execute(_domains(actor).where(Domain.path == path)).all())
    return {**item, "used": quota.used(connection, accounts_below(path))}


def domain_path(connection: Connection, actor: Actor, text: str) -> str:
    """Also of one that was deleted; raises DomainNotFound."""
    with Session(connection) as session:
        return find_domain(session, actor, text, gone=True).path


def account_id(connection: Connection, actor: Actor, text: str) -> UUID:
    """Also of one that was deleted, if no other has the name; raises AccountNotFound or AccountNameAmbiguous."""
    with Session(connection) as session:
        return find_account(session, actor, text, gone=True)[0].id


def accounts(
    connection: Connection,
    actor: Actor,
    wanted: Wanted,
    domain: str | None = None,
    q: str | None = None,
    *,
    deleted: bool = False,
) -> Json:
    """Accounts by name; those of a domain's subtree; `q` is a part of the name."""
    statement = _accounts(actor)
    if not deleted:
        statement = statement.where(Account.deleted_at.is_(None))
    if domain is not None:
        statement = statement.where(subtree(domain_path(connection, actor, domain)))
    if q:
        statement = statement.where(Account.name.ilike(containing(q)))
    return page(connection, statement, BY_NAME, wanted, _items)


def account(connection: Connection, actor: Actor, text: str) -> Json:
    """One by name, domain/name or id, with what it uses; raises AccountNotFound or AccountNameAmbiguous."""
    id_ = account_id(connection, actor, text)
    (item,) = _items(connection, connection.execute(_accounts(actor).where(Account.id == id_)).all())
    return {**item, "used": quota.used(connection, [id_])}


def _domains(actor: Actor) -> AnySelect:
    above = aliased(Domain)
    return (
        select(
            *(Domain.id, Domain.name, Domain.path, Domain.created_at, Domain.deleted_at),
            *(Domain.max_snapshots, Domain.max_bytes, above.path.label("parent")),
        )
        .outerjoin(above, above.id == Domain.parent_id)
        .where(my_domains(actor))
    )


def _accounts(actor: Actor) -> AnySelect:
    return (
        select(
            *(Account.id, Account.name, Account.created_at, Account.deleted_at),
            Domain.path.label("domain"),
            *(Account.max_snapshots_a_vm, Account.max_snapshots, Account.max_bytes, Account.max_jobs),
        )
        .join(Domain, Domain.id == Account.domain_id)
        .where(mine(actor, Account.id))
    )


def _items(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    """With the limits that they have: the columns that begin so."""
    return [{**row._mapping, "limits": _limits(row), "used": None} for row in rows]


def _limits(row: AnyRow) -> Json:
    return {name: value for name, value in row._mapping.items() if name.startswith("max_")}
