"""The engine and the transaction. An engine is made after the fork of a worker, never before."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

# A table's foreign keys need the other tables known, whoever asks first.
import models.tables  # noqa: F401

#: Ours take milliseconds; what waits for a lock for a minute waits for somebody who is not coming.
STATEMENT_TIMEOUT_S = 60

#: What a call raises when Postgres is away or takes no writes, or went away in the middle: whether it was committed is then
#: not known.
DatabaseAway = OperationalError


def make_engine(
    database_url: str,
    *,
    pool_size: int = 5,
    name: str = "stillframe",
    statement_timeout_s: int = STATEMENT_TIMEOUT_S,
) -> Engine:
    """A lazy pool of connections; nothing is opened before the first use. `name` is what Postgres shows of it.

    No statement takes longer than `statement_timeout_s` (0: as long as it likes, as a migration may), and a connection
    whose other end is gone without a word is given up after about half a minute.
    """
    engine = create_engine(
        database_url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={
            "application_name": name,
            "connect_timeout": 5,
            # To compile a statement takes Postgres longer than any of ours takes to run.
            "options": f"-c timezone=UTC -c jit=off -c statement_timeout={statement_timeout_s}s",
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            # Keepalives are not sent while something that was sent waits for its receipt. Milliseconds.
            "tcp_user_timeout": 30_000,
        },
    )
    event.listen(engine, "handle_error", _read_only_is_away)
    return engine


def _read_only_is_away(what: ExceptionContext) -> Exception | None:
    """What does not take our writes is no primary any more, or has no room: it may be another that answers the next time."""
    if not isinstance(what.original_exception, ReadOnlySqlTransaction):
        return None
    what.is_disconnect = True
    return DatabaseAway(what.statement, what.parameters, what.original_exception, connection_invalidated=True)


def forget_inherited(engine: Engine) -> None:
    """Call in a forked child that inherited an engine: the parent's connections stay open, and are not used here."""
    engine.dispose(close=False)


@contextmanager
def transaction(engine: Engine | Connection) -> Iterator[Session]:
    """A session that commits when the block ends well and rolls back when it raises."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


def violated(error: IntegrityError) -> str | None:
    """The name of the constraint or unique index that a write ran into."""
    diagnosis = getattr(error.orig, "diag", None)
    return getattr(diagnosis, "constraint_name", None)
