"""The tables of webhooks: where events are to be sent, and what became of each."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, words
from models.ids import new_id
from stillframe.events import Level
from stillframe.rights import Role


class DeliveryState(StrEnum):
    """`dead` is what was tried for a day and not taken; it can be sent again by hand."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


class Webhook(Base):
    """A URL to which an account's events are posted. Its secret is no column: it is made of the id and `generation`.

    Of events up to the place `after_place` there are deliveries, of later ones not yet; while it is paused or suspended the
    place stays where it is, so that nothing is lost. `role` is how far it sees: as far as who made it.
    """

    __tablename__ = "webhook"
    __table_args__ = (
        Index(
            "ix_webhook_behind",
            "after_place",
            postgresql_where=text("deleted_at IS NULL AND enabled AND suspended_at IS NULL"),
        ),
        Index(
            "ix_webhook_account",
            "account_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    role: Mapped[Role] = mapped_column(words(Role, "role"))
    url: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    types: Mapped[list[str]] = mapped_column(server_default="{}")
    level: Mapped[Level] = mapped_column(words(Level, "level"), server_default=Level.INFO.value)
    vm_id: Mapped[UUID | None] = mapped_column(ForeignKey("vm.id"))
    enabled: Mapped[bool] = mapped_column(server_default="true")
    generation: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    rotated_at: Mapped[datetime | None]
    after_place: Mapped[int]
    #: Tries in a row that were not taken, and since when.
    failures: Mapped[int] = mapped_column(server_default="0")
    failing_since: Mapped[datetime | None]
    #: An endpoint that fails is left in peace until then.
    resting_until: Mapped[datetime | None]
    #: The event of the last ping, whose first try waits for no rest.
    pinged_event: Mapped[int | None]
    #: How the last try of all went.
    tried_at: Mapped[datetime | None]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    error: Mapped[str | None]
    took_ms: Mapped[int | None]
    #: Somebody sends to it until then at the latest, or has done so.
    busy_until: Mapped[datetime | None]
    suspended_at: Mapped[datetime | None]
    suspended_reason: Mapped[str | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]


class WebhookDelivery(Base):
    """One event for one webhook, and how the last try went."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("uq_webhook_delivery_event", "webhook_id", "event_id", unique=True),
        Index(
            "ix_webhook_delivery_waiting", "webhook_id", "place", postgresql_where=text("state = 'waiting'")
        ),
        Index("ix_webhook_delivery_place", "webhook_id", text("place DESC"), text("id DESC")),
        Index("ix_webhook_delivery_dead", "webhook_id", "place", postgresql_where=text("state = 'dead'")),
        Index("ix_webhook_delivery_finished", "finished_at", postgresql_where=text("state <> 'waiting'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhook.id"))
    event_id: Mapped[int]
    place: Mapped[int]
    state: Mapped[DeliveryState] = mapped_column(
        words(DeliveryState, "state"), server_default=DeliveryState.WAITING.value
    )
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    tried_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    error: Mapped[str | None]
    took_ms: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
