"""Webhooks written down, changed, paused and let go."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from models.ids import new_id
from models.moves import Told, tell
from models.tenants.actor import Actor
from models.tenants.named import keep_own
from models.webhooks.tables import DeliveryState, Webhook, WebhookDelivery
from stillframe.errors import DeliveryNotFound, WebhookNotActive, WebhookNotFound
from stillframe.events import EventType, Level


def add_webhook(session: Session, actor: Actor, place: int, wish: Mapping[str, Any]) -> UUID:
    """A webhook for what happens after a place. `wish` are columns: url, description, types, level, vm_id."""
    keep_own(session, actor)
    row = Webhook(
        id=new_id(),
        account_id=actor.account_id,
        role=actor.role,
        after_place=place,
        created_by=actor.name,
        **wish,
    )
    session.add(row)
    session.flush()
    _tell(session, EventType.WEBHOOK_CREATED, row, actor.name)
    return row.id


def edit_webhook(session: Session, webhook: UUID, actor: str, wish: Mapping[str, Any]) -> None:
    """Other values for some of the same columns; what already waits to be sent goes to the new URL."""
    row = lock_webhook(session, webhook)
    for name, value in wish.items():
        setattr(row, name, value)
    if "url" in wish:
        row.failures, row.failing_since, row.resting_until = 0, None, None
    row.updated_at = func.now()
    session.flush()
    _tell(session, EventType.WEBHOOK_EDITED, row, actor)


def pause_webhook(session: Session, webhook: UUID, actor: str) -> None:
    """Nothing is sent until it is resumed; what happens meanwhile is kept for then."""
    row = lock_webhook(session, webhook)
    if row.enabled:
        row.enabled = False
        _tell(session, EventType.WEBHOOK_PAUSED, row, actor)


def resume_webhook(session: Session, webhook: UUID, actor: str, skip_to: int | None = None) -> None:
    """It goes on where it was, also one that was suspended; with a place what happened up to there is left out."""
    row = lock_webhook(session, webhook)
    if row.enabled and row.suspended_at is None:
        return
    row.enabled, row.suspended_at, row.suspended_reason = True, None, None
    row.failures, row.failing_since, row.resting_until = 0, None, None
    if skip_to is not None:
        row.after_place = max(row.after_place, skip_to)
    _tell(session, EventType.WEBHOOK_RESUMED, row, actor)


def suspend(session: Session, row: Webhook, reason: str) -> None:
    """It has taken nothing for long: nothing is sent until a person resumes it, and that is told."""
    row.suspended_at, row.suspended_reason = func.now(), reason
    _tell(session, EventType.WEBHOOK_SUSPENDED, row, "stillframe", reason)


def delete_webhook(session: Session, webhook: UUID, actor: str) -> None:
    """Nothing is sent any more, and what waited is forgotten."""
    row = lock_webhook(session, webhook)
    row.deleted_at = func.now()
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook))
    _tell(session, EventType.WEBHOOK_DELETED, row, actor)


def rotate_secret(session: Session, webhook: UUID, actor: str) -> int:
    """From now on another secret signs, for a day both; returns its number."""
    row = lock_webhook(session, webhook)
    row.generation, row.rotated_at = row.generation + 1, func.now()
    session.flush()
    _tell(session, EventType.WEBHOOK_EDITED, row, actor, "its secret")
    return row.generation


def ping(session: Session, webhook: UUID, actor: str) -> int:
    """An event that goes to this webhook at once, whatever it asks for, also while it rests; returns its id.

    Raises WebhookNotActive.
    """
    row = lock_webhook(session, webhook)
    if not row.enabled or row.suspended_at is not None:
        raise WebhookNotActive(webhook=webhook, state="suspended" if row.suspended_at else "paused")
    row.pinged_event = _tell(session, EventType.WEBHOOK_PINGED, row, actor)
    return row.pinged_event


def replay(session: Session, webhook: UUID, delivery: UUID) -> None:
    """Sends one again, whatever became of it. Raises DeliveryNotFound."""
    lock_webhook(session, webhook)
    of = WebhookDelivery.webhook_id == webhook, WebhookDelivery.id == delivery
    if session.execute(_again().where(*of)).rowcount == 0:  # type: ignore[attr-defined]
        raise DeliveryNotFound(webhook=webhook, delivery=delivery)


def replay_dead(session: Session, webhook: UUID) -> int:
    """Sends all that are dead again; returns how many."""
    lock_webhook(session, webhook)
    of = WebhookDelivery.webhook_id == webhook, WebhookDelivery.state == DeliveryState.DEAD
    return int(session.execute(_again().where(*of)).rowcount)  # type: ignore[attr-defined]


def lock_webhook(session: Session, webhook: UUID) -> Webhook:
    """Its row, so that changes take turns; raises WebhookNotFound."""
    row = session.scalars(
        select(Webhook).where(Webhook.id == webhook, Webhook.deleted_at.is_(None)).with_for_update()
    ).one_or_none()
    if row is None:
        raise WebhookNotFound(webhook=webhook)
    return row


def _again() -> Any:
    return update(WebhookDelivery).values(
        state=DeliveryState.WAITING, attempts=0, due_at=func.now(), finished_at=None
    )


def _tell(session: Session, type_: EventType, row: Webhook, actor: str, message: str = "") -> int:
    level = Level.WARNING if type_ is EventType.WEBHOOK_SUSPENDED else Level.INFO
    data = {"webhook": str(row.id), "url": row.url}
    return tell(session, Told(type_, actor, level=level, message=message, data=data), account=row.account_id)
