"""From events to deliveries: each webhook goes along the order of events, and writes down what it is to be sent."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Text, and_, cast, insert, literal, not_, or_, select
from sqlalchemy.orm import Session

from models.events.tables import Event, EventPlace
from models.tenants.actor import Actor
from models.tenants.scope import mine
from models.tenants.tables import Account, Domain
from models.webhooks.tables import Webhook, WebhookDelivery
from stillframe.events import OR_WORSE, EventType

#: Webhooks of one transaction, and places that one of them goes on in it.
AT_ONCE = 100
FAR = 5000

#: What nobody gets who did not ask for it by name: it would be most of the traffic, or its own echo.
_UNASKED = ("step.", "webhook.")


def spread(session: Session, newest: int) -> int:
    """Writes the deliveries of some webhooks that are behind; returns how many there were. Safe beside others that do it."""
    behind = session.execute(
        select(Webhook, Domain.path)
        .join(Account, Account.id == Webhook.account_id)
        .join(Domain, Domain.id == Account.domain_id)
        .where(ACTIVE, Webhook.after_place < newest)
        .order_by(Webhook.after_place)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True, of=Webhook)
    ).all()
    for row, domain in behind:
        upto = min(newest, row.after_place + FAR)
        wanted = (
            select(literal(row.id), Event.id, EventPlace.place)
            .join(EventPlace, EventPlace.event_id == Event.id)
            .where(EventPlace.place > row.after_place, EventPlace.place <= upto, _wanted(row, domain))
        )
        session.execute(insert(WebhookDelivery).from_select(["webhook_id", "event_id", "place"], wanted))
        row.after_place = upto
        session.flush()
    return len(behind)


ACTIVE = and_(Webhook.deleted_at.is_(None), Webhook.enabled, Webhook.suspended_at.is_(None))


def _wanted(row: Webhook, domain: str) -> ColumnElement[bool]:
    own_ping = and_(
        Event.type == EventType.WEBHOOK_PINGED.value,
        Event.data["webhook"].astext == cast(literal(str(row.id)), Text),
    )
    return or_(own_ping, and_(*_filters(row, domain)))


def _filters(row: Webhook, domain: str) -> Iterator[ColumnElement[bool]]:
    # As far as who made it saw: its account, or a subtree, or all.
    yield mine(Actor(row.created_by, row.account_id, row.role, domain), Event.account_id)
    if row.vm_id is not None:
        yield Event.vm_id == row.vm_id
    if row.level in OR_WORSE:
        yield Event.level.in_(OR_WORSE[row.level])
    if row.types:
        yield or_(*(_is(type_) for type_ in row.types))
    else:
        yield not_(or_(*(_is(type_) for type_ in _UNASKED)))


def _is(type_: str) -> ColumnElement[bool]:
    if type_.endswith("."):
        return Event.type.startswith(type_, autoescape=True)
    return Event.type == type_
