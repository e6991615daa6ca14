"""What is to be sent to whom, one sender at a time an endpoint, and how it went."""

from dataclasses import dataclass
from datetime import datetime
from random import random
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from models.base import Json
from models.events.tables import Event
from models.moves import now_plus
from models.queries.events import items, shown
from models.webhooks.keep import suspend
from models.webhooks.spread import ACTIVE
from models.webhooks.tables import DeliveryState, Webhook, WebhookDelivery
from stillframe.webhooks import BOTH_SIGN_S, rest_s, wait_s

#: An endpoint that has taken nothing for so long, and refused so often, is suspended.
PATIENCE_S, PATIENCE_TRIES = 86_400.0, 10
#: Days for which what was delivered, and what is dead, is kept to be looked at.
KEPT_DAYS, DEAD_DAYS = 3, 30
_REMOVED_AT_ONCE = 2000
_GONE = 410


@dataclass(frozen=True)
class Endpoint:
    """Where to send, and the numbers of the secrets that sign."""

    id: UUID
    url: str
    generations: tuple[int, ...]


@dataclass(frozen=True)
class Delivery:
    """One event to be sent."""

    id: UUID
    place: int
    event: Json


@dataclass(frozen=True)
class Went:
    """How a try went."""

    good: bool
    status: int | None
    error: str | None
    took_ms: int


def take(session: Session, most: int, busy_s: float) -> list[Endpoint]:
    """Endpoints that have something due, for this sender alone for `busy_s` seconds or until `give_back`.

    Those come first that were longest in nobody's hands: slow ones with much to get keep no others waiting.
    """
    of = select(WebhookDelivery.id).where(WebhookDelivery.webhook_id == Webhook.id, *_DUE)
    rows = session.scalars(
        select(Webhook)
        .where(ACTIVE, _past(Webhook.busy_until))
        .where(or_(and_(_past(Webhook.resting_until), of.exists()), of.where(_PING).exists()))
        .order_by(Webhook.busy_until.nulls_first())
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()
    both = [row.id for row in rows if row.generation > 1 and _lately(session, row.rotated_at)]
    for row in rows:
        row.busy_until = now_plus(busy_s)
    return [
        Endpoint(
            row.id,
            row.url,
            (row.generation, row.generation - 1) if row.id in both else (row.generation,),
        )
        for row in rows
    ]


def give_back(session: Session, webhook: UUID) -> None:
    """Others may send to it, and it goes to the end of the line."""
    session.execute(update(Webhook).where(Webhook.id == webhook).values(busy_until=func.clock_timestamp()))


def due(session: Session, webhook: UUID, most: int) -> list[Delivery]:
    """The next deliveries of an endpoint, in the order of their events; none if it was paused meanwhile or has to rest.

    A ping goes before all others, and when it is tried first also while the endpoint rests: somebody waits for it.
    """
    of = (
        select(WebhookDelivery.id, WebhookDelivery.place, WebhookDelivery.event_id)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(WebhookDelivery.webhook_id == webhook, ACTIVE, *_DUE)
    )
    found = session.execute(of.where(_PING)).all() or (
        session.execute(
            of.where(_past(Webhook.resting_until)).order_by(WebhookDelivery.place).limit(most)
        ).all()
    )
    rows = session.execute(shown().where(Event.id.in_([row.event_id for row in found]))).all()
    events = {event["id"]: event for event in items(session.connection(), rows)}
    return [Delivery(row.id, row.place, events[row.event_id]) for row in found]


def record(session: Session, to: Endpoint, delivery: UUID, went: Went) -> bool:
    """Writes down how a try went, and what comes of it: again later, dead, or the endpoint suspended.

    Returns whether to go on with the next: not after one that was not taken, nor if nothing is to be sent to this endpoint
    as it was taken any more.
    """
    # The webhook before its deliveries, as whoever changes it has them.
    hook = session.get_one(Webhook, to.id, with_for_update=True)
    row = session.get(WebhookDelivery, delivery, with_for_update=True)
    if row is None:  # deleted meanwhile, with its webhook
        return False
    row.attempts += 1
    for one in (row, hook):
        one.tried_at, one.status, one.error, one.took_ms = func.now(), went.status, went.error, went.took_ms
    if went.good:
        row.state, row.finished_at = DeliveryState.DELIVERED, func.now()
        if hook.failures:
            hook.failures, hook.failing_since, hook.resting_until = 0, None, None
        return _is_still(hook, to)
    again_s = wait_s(row.attempts, random())  # noqa: S311
    if again_s is None:
        row.state, row.finished_at = DeliveryState.DEAD, func.now()
    else:
        row.due_at = now_plus(again_s)
    _failed(session, hook, went)
    return False


def _is_still(hook: Webhook, to: Endpoint) -> bool:
    goes = hook.enabled and hook.suspended_at is None
    return goes and (hook.url, hook.generation) == (to.url, to.generations[0])


def _failed(session: Session, hook: Webhook, went: Went) -> None:
    hook.failures += 1
    hook.resting_until = now_plus(rest_s(hook.failures))
    if hook.failing_since is None:
        hook.failing_since = func.now()
    session.flush()
    said = went.error or f"it answered {went.status}"
    if went.status == _GONE:
        suspend(session, hook, "it answered 410: it is gone for good")
    elif hook.failures >= PATIENCE_TRIES and _lately(session, hook.failing_since, PATIENCE_S) is False:
        suspend(session, hook, f"it has taken nothing for a day, in {hook.failures} tries; the last: {said}")


def remove_old(session: Session) -> int:
    """Forgets some of what was delivered, or has been dead, for long; returns how many."""
    over = or_(
        WebhookDelivery.finished_at < func.now() - func.make_interval(0, 0, 0, DEAD_DAYS),
        (WebhookDelivery.state == DeliveryState.DELIVERED)
        & (WebhookDelivery.finished_at < func.now() - func.make_interval(0, 0, 0, KEPT_DAYS)),
    )
    old = (
        select(WebhookDelivery.id)
        .where(WebhookDelivery.state != DeliveryState.WAITING, over)
        .order_by(WebhookDelivery.finished_at)
        .limit(_REMOVED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return int(session.execute(delete(WebhookDelivery).where(WebhookDelivery.id.in_(old))).rowcount)  # type: ignore[attr-defined]


def _past(column: Any) -> Any:
    return or_(column.is_(None), column <= func.now())


_DUE = (WebhookDelivery.state == DeliveryState.WAITING, WebhookDelivery.due_at <= func.now())
_PING = and_(WebhookDelivery.event_id == Webhook.pinged_event, WebhookDelivery.attempts == 0)


def _lately(session: Session, when: datetime | None, within_s: float = BOTH_SIGN_S) -> bool | None:
    """Whether a time is that near, by the database's clock; None if there is none."""
    return None if when is None else session.scalar(select(now_plus(-within_s) < when))
