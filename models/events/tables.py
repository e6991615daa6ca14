"""The tables of what happened and what people said about it: appended, never changed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from models.base import Base, Json, words
from models.ids import new_id
from stillframe.events import Level


class TransactionId(UserDefinedType[str]):
    """Postgres' xid8."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The SQL name of the type."""
        return "xid8"


class Event(Base):
    """An immutable fact. It holds plain ids, no references: it outlives what it tells of.

    Ids are given before commit, so a lower id may become visible after a higher one, and `tx` is no order either. A
    reader that follows the events and must miss none reads them by their EventPlace.
    """

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_job", "job_id", "id", postgresql_where=text("job_id IS NOT NULL")),
        Index("ix_event_snapshot", "snapshot_id", "id", postgresql_where=text("snapshot_id IS NOT NULL")),
        Index("ix_event_vm", "vm_id", "id", postgresql_where=text("vm_id IS NOT NULL")),
        Index("ix_event_at", "at", postgresql_using="brin"),
        Index("ix_event_account", "account_id", "id"),
        Index("ix_event_type", "type", "id", postgresql_ops={"type": "text_pattern_ops"}),
        Index("ix_event_level", "id", postgresql_where=text("level IN ('warning', 'error')")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    tx: Mapped[str] = mapped_column(TransactionId(), server_default=text("pg_current_xact_id()"))
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    type: Mapped[str]
    level: Mapped[Level] = mapped_column(words(Level, "level"), server_default=Level.INFO.value)
    actor: Mapped[str]
    vm_id: Mapped[UUID | None]
    snapshot_id: Mapped[UUID | None]
    job_id: Mapped[UUID | None]
    host_id: Mapped[UUID | None]
    #: Whose it was when it happened; NULL is for those who run the hosts.
    account_id: Mapped[UUID | None]
    message: Mapped[str] = mapped_column(server_default="")
    data: Mapped[Json] = mapped_column(server_default="{}")


class EventFresh(Base):
    """An event that has no place yet. A trigger writes it with every event, whoever writes that."""

    __tablename__ = "event_fresh"

    event_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class EventPlace(Base):
    """Where an event stands among all, from 1 without gaps: given after its commit, and never again (`models.events.places`)."""

    __tablename__ = "event_place"

    event_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    place: Mapped[int] = mapped_column(unique=True)


class Comment(Base):
    """A person's words on a snapshot."""

    __tablename__ = "comment"
    __table_args__ = (Index("ix_comment_snapshot", "snapshot_id", "created_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    snapshot_id: Mapped[UUID] = mapped_column(ForeignKey("snapshot.id"))
    author: Mapped[str]
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
