"""What an error of the database means to the one who asked: SQLAlchemy's words stay on this side."""

from typing import Literal

from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

#: Every error that a call into `models` may let through.
DatabaseTrouble = SQLAlchemyError

#: SQLSTATE classes: connection, operator intervention, resources, a standby or a full read-only database, and one of two who
#: waited for each other: nothing was done, and asked again it goes through.
_AWAY = {"08", "57", "53", "25", "40"}


def meaning(error: Exception) -> Literal["unavailable", "not_storable", "unknown"]:
    """Whether the database is away for now, was given a value it cannot hold, or something nobody foresaw."""
    if isinstance(error, PoolTimeout):
        return "unavailable"
    if isinstance(error, DBAPIError):
        if error.connection_invalidated or _is_away(error.orig):
            return "unavailable"
        return "not_storable" if isinstance(error, DataError) else "unknown"
    if isinstance(error, StatementError) and isinstance(error.orig, ValueError):
        return "not_storable"
    return "unknown"


def _is_away(error: BaseException | None) -> bool:
    state: str | None = getattr(error, "sqlstate", None)
    if state is None:
        return type(error).__name__ == "OperationalError"
    return state[:2] in _AWAY
