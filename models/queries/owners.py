"""Whose rows: those of an account, or of a domain with all below it, as a filter, a way to find them, and as shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, literal_column, select, true
from sqlalchemy.orm import Session

from models.base import AnySelect
from models.queries.walk import FAR, Way
from models.tenants.actor import Actor
from models.tenants.named import find_account, find_domain
from models.tenants.scope import accounts, subtree
from models.tenants.tables import Account, Domain
from stillframe.rights import Role


@dataclass(frozen=True)
class Owned:
    """The owners that a list is narrowed to, by its filters or by how far the actor sees."""

    actor: Actor
    account: UUID | None
    domain: str | None

    def conditions(self, column: Any) -> Iterator[ColumnElement[bool]]:
        """Of the filters; how far the actor sees is for `scope.mine`."""
        if self.account is not None:
            yield column == self.account
        if self.domain is not None:
            yield column.in_(accounts(self.domain))

    def includes(self, account: UUID) -> bool:
        """Whether the narrowest of them may have this account's."""
        only, top = self._narrowest()
        return only == account if only is not None else top in {None, "/"}

    def ways(self, id_: Any, column: Any, *, in_order: bool) -> Iterator[Way]:
        """By the index that begins with the owner; `in_order` says that it goes on in the list's order."""
        account, top = self._narrowest()
        if account is not None:
            yield Way(select(id_).where(column == account), column == account if in_order else None)
        elif top is not None:
            yield Way(_below(top, id_, column))

    def _narrowest(self) -> tuple[UUID | None, str | None]:
        if self.account is not None or self.actor.role in {Role.USER, Role.READ_ONLY}:
            return self.account or self.actor.account_id, None
        if self.domain is not None and self.domain != "/":
            return None, self.domain
        whole = self.actor.role is Role.ROOT or self.actor.domain == "/"
        return None, None if whole else self.actor.domain


def owned(connection: Connection, actor: Actor, account: str | None, domain: str | None) -> Owned:
    """What the filters name; raises AccountNotFound or DomainNotFound."""
    with Session(connection) as session:
        return Owned(
            actor,
            None if account is None else find_account(session, actor, account, gone=True)[0].id,
            None if domain is None else find_domain(session, actor, domain).path,
        )


def with_owner(rows: AnySelect, account: Any) -> AnySelect:
    """With the columns `account` and `domain`: the name of this account, and the path of the domain it lives in."""
    return (
        rows.add_columns(Account.name.label("account"), Domain.path.label("domain"))
        .join(Account, Account.id == account)
        .join(Domain, Domain.id == Account.domain_id)
    )


def _below(top: str, id_: Any, column: Any) -> AnySelect:
    """Account by account, so that each is looked up in the index."""
    each = select(id_).where(column == Account.id).limit(literal_column(str(FAR + 1))).lateral()
    of = select(each.c.id).select_from(Account).join(Domain, Domain.id == Account.domain_id)
    return of.join(each, true()).where(subtree(top))
