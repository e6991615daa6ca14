"""Idempotency keys: what was made by a request that came with one, so that the same request again makes nothing new.

One table for all that is made, jobs too, and how requests with one key take turns. No answer is kept, only what was
made: secrets are not in it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, delete, func, insert, select, text, tuple_
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, Sql
from models.tenants.actor import Actor
from stillframe.errors import IdempotencyInFlight, IdempotencyMismatch
from stillframe.names import check_key

#: Seconds for which a key is known at least.
KEPT_S = 86_400.0
#: For so long a second request waits for the end of the first, which is a matter of milliseconds.
TURN_S = 5
_LOCK_NOT_AVAILABLE = "55P03"


class MadeOnce(Base):
    """What a key of one account made: `made` is the id of it, or whatever finds it again."""

    __tablename__ = "made_once"
    __table_args__ = (Index("ix_made_once_at", "at"),)

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
        """What tells it from another request with the same key: its meaning, for which 60 and 60.0 are one."""
        words = json.dumps(_plain(self.request), sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Made:
    """What a request has made. `replayed`: the same request with the same key had made it before."""

    what: str
    replayed: bool = False


def once(actor: Actor, key: str | None, *request: Any) -> Once | None:
    """A request of somebody's, if it has a key; raises Invalid for a key that is none."""
    check_key(key)
    return None if key is None else Once(actor.account_id, key, request)


def make_once(rows: Sql, asked: Once | None, make: Callable[[], object]) -> Made:
    """What this key made before, or what `make` returns as text, remembered in the transaction that makes it.

    Raises IdempotencyMismatch if the key came with another request, IdempotencyInFlight, and what `make` raises: then
    the key is as if it had not been used.
    """
    if asked is None:
        return Made(str(make()))
    take_turn(rows, asked.asker, asked.key)
    of = select(MadeOnce.request_sha256, MadeOnce.made).where(
        MadeOnce.asker_id == asked.asker, MadeOnce.idempotency_key == asked.key
    )
    first = rows.execute(of).one_or_none()
    if first is not None and first.request_sha256 != asked.sha256:
        raise IdempotencyMismatch(key=asked.key)
    if first is not None:
        return Made(first.made, replayed=True)
    made = Made(str(make()))
    values = {"asker_id": asked.asker, "idempotency_key": asked.key, "request_sha256": asked.sha256}
    rows.execute(insert(MadeOnce).values(**values, made=made.what))
    return made


def take_turn(rows: Sql, asker: UUID, key: str) -> None:
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


def forget(session: Session, limit: int = 5000) -> int:
    """Removes keys that were first used longer than KEPT_S ago, the oldest first; returns how many."""
    old = MadeOnce.at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, KEPT_S)
    one = tuple_(MadeOnce.asker_id, MadeOnce.idempotency_key)
    some = select(MadeOnce.asker_id, MadeOnce.idempotency_key).where(old).order_by(MadeOnce.at).limit(limit)
    gone = session.execute(delete(MadeOnce).where(one.in_(some.with_for_update(skip_locked=True))))
    return int(gone.rowcount)  # type: ignore[attr-defined]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return float(value) if type(value) is int else value
