"""The engine and the transaction. An engine is made after the fork of a worker, never before."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

# A table's foreign keys need the other tables known, whoever asks first.
import models.tables  # noqa: F401

#: What a call raises when Postgres is away, or went away in the middle: whether it was committed is then not known.
DatabaseAway = OperationalError


def make_engine(database_url: str, *, pool_size: int = 5, name: str = "stillframe") -> Engine:
    """A lazy pool of connections; nothing is opened before the first use. `name` is what Postgres shows of it."""
    return create_engine(
        database_url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={
            "application_name": name,
            "connect_timeout": 5,
            "options": "-c timezone=UTC",
            "keepalives_idle": 30,
        },
    )


def forget_inherited(engine: Engine) -> None:
    """Call in a forked child that inherited an engine: the parent's connections stay open, and are not used here."""
    engine.dispose(close=False)


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A session that commits when the block ends well and rolls back when it raises."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


def violated(error: IntegrityError) -> str | None:
    """The name of the constraint or unique index that a write ran into."""
    diagnosis = getattr(error.orig, "diag", None)
    return getattr(diagnosis, "constraint_name", None)
