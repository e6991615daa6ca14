"""Idempotency keys: what was made by a request that came with one, so that the same request again makes nothing new.

A job keeps its key in its own row; this is the table of all else, and how requests with one key take turns.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base
from stillframe.errors import IdempotencyInFlight, IdempotencyMismatch

#: For so long a second request waits for the end of the first, which is a matter of milliseconds.
TURN_S = 5
_LOCK_NOT_AVAILABLE = "55P03"


class MadeOnce(Base):
    """What a key of one account made. `made` is the id of it."""

    __tablename__ = "made_once"

    asker_id: Mapped[UUID] = mapped_column(primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str]
    made: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


@dataclass(frozen=True)
class Once:
    """A request that came with a key. `request` is what it asks for, with the route it came by."""

    asker: UUID
    key: str
    request: tuple[Any, ...]

    @property
    def sha256(self) -> str:
        """What tells it from another request with the same key."""
        words = json.dumps(self.request, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()


def take_turn(rows: Session | Connection, asker: UUID, key: str) -> None:
    """Requests with one key go on one after the other, to the end of their transactions; raises IdempotencyInFlight."""
    lock = func.hashtextextended(f"{asker}\n{key}", 0)
    if rows.scalar(select(func.pg_try_advisory_xact_lock(lock))):
        return
    rows.execute(text(f"SET LOCAL lock_timeout = '{TURN_S}s'"))
    try:
        rows.execute(select(func.pg_advisory_xact_lock(lock)))
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise IdempotencyInFlight(key=key) from error
    rows.execute(text("SET LOCAL lock_timeout = DEFAULT"))


def made_before(rows: Session | Connection, once: Once | None) -> str | None:
    """The id of what this key made; raises IdempotencyMismatch if it was another request, IdempotencyInFlight."""
    if once is None:
        return None
    take_turn(rows, once.asker, once.key)
    of = select(MadeOnce.request_sha256, MadeOnce.made).where(
        MadeOnce.asker_id == once.asker, MadeOnce.idempotency_key == once.key
    )
    first = rows.execute(of).one_or_none()
    if first is None:
        return None
    if first.request_sha256 != once.sha256:
        raise IdempotencyMismatch(key=once.key)
    return str(first.made)


def remember(rows: Session | Connection, once: Once | None, made: object) -> None:
    """What it made, in the transaction that makes it."""
    if once is not None:
        values = {"asker_id": once.asker, "idempotency_key": once.key, "request_sha256": once.sha256}
        rows.execute(insert(MadeOnce).values(**values, made=str(made)))
