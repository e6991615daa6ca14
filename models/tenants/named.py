"""From what people write to an account or a domain: a name, a path or an id, of those that the asker sees.

Account names are their domain's own. `domain/account` says which one is meant, and so does a name alone as long as the
asker sees only one of that name.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from models.find import as_id
from models.tenants.actor import Actor
from models.tenants.scope import mine, my_domains
from models.tenants.tables import Account, Domain
from stillframe.errors import AccountNameAmbiguous, AccountNotFound, DomainNotFound, KeyRefused

_SHOWN = 10


def find_domain(
    session: Session, actor: Actor, text: str, *, gone: bool = False, keep: bool = False
) -> Domain:
    """By its path or id; raises DomainNotFound.

    With `gone` one that was deleted is found too, by its id or the path it has now. With `keep` nobody deletes it to the
    end of the transaction.
    """
    id_ = as_id(text)
    named = Domain.path == path_of(text) if id_ is None else Domain.id == id_
    of = select(Domain).where(named, my_domains(actor))
    if not gone:
        of = of.where(Domain.deleted_at.is_(None))
    if keep:
        of = of.with_for_update(read=True, key_share=True)
    found = session.scalars(of).one_or_none() if _can_be(text) else None
    if found is None:
        raise DomainNotFound(domain=text)
    return found


def find_account(
    session: Session, actor: Actor, text: str, *, gone: bool = False, keep: bool = False
) -> tuple[Account, Domain]:
    """By its name, domain/name or id; raises AccountNotFound, or AccountNameAmbiguous for a name of several.

    With `gone` one that was deleted is found too when no other has the name. With `keep` nobody deletes it to the end of
    the transaction.
    """
    id_ = as_id(text)
    of = select(Account, Domain).join(Domain, Domain.id == Account.domain_id)
    of = of.where(_is(text, id_), mine(actor, Account.id))
    if not gone:
        of = of.where(Account.deleted_at.is_(None))
    if keep:
        of = of.with_for_update(read=True, key_share=True, of=Account)
    of = of.order_by(Account.id == id_, Domain.path, Account.id).limit(1000)
    found = session.execute(of).all() if _can_be(text) else []
    rows = [(row[0], row[1]) for row in found]
    # An id means the account that has it, also if somebody gave another account that id as its name.
    fits = [row for row in rows if row[0].id == id_] or [row for row in rows if row[0].deleted_at is None]
    fits = fits or rows
    if not fits:
        raise AccountNotFound(account=text)
    if len(fits) > 1:
        raise AccountNameAmbiguous(account=text, candidates=_worded(fits))
    return fits[0]


def keep_own(session: Session, actor: Actor) -> None:
    """To the end of the transaction nobody deletes the account that acts; raises KeyRefused if somebody did meanwhile."""
    of = select(Account.id).where(Account.id == actor.account_id, Account.deleted_at.is_(None))
    if session.scalar(of.with_for_update(read=True, key_share=True)) is None:
        raise KeyRefused


def path_of(text: str) -> str:
    """The path of a domain as it is kept: from the root, without a slash at its end."""
    return "/" + text.strip("/")


def full_name(account: str, domain: str) -> str:
    """What names an account without doubt."""
    return f"{domain.rstrip('/')}/{account}"


def _is(text: str, id_: UUID | None) -> ColumnElement[bool]:
    if id_ is not None:
        return or_(Account.id == id_, Account.name == text)
    domain, slash, name = text.rpartition("/")
    return and_(Account.name == name, Domain.path == path_of(domain)) if slash else Account.name == text


def _worded(fits: list[tuple[Account, Domain]]) -> str:
    """Those that were deleted have names that others may have had: they are told by their ids."""
    words = [
        full_name(account.name, domain.path) if account.deleted_at is None else str(account.id)
        for account, domain in fits[:_SHOWN]
    ]
    return ", ".join(words) + (", ..." if len(fits) > _SHOWN else "")


def _can_be(text: str) -> bool:
    return "\0" not in text
