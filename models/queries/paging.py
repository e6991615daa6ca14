"""Keyset pages: each costs the same however deep, and what is inserted meanwhile neither repeats nor hides a row."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, func, literal, tuple_
from sqlalchemy import select as sa_select

from models.base import AnyRow, AnySelect, Json
from stillframe.errors import CursorInvalid

Key = tuple[Any, Any]
#: A list that has more is said to have more.
MOST_COUNTED = 1000
#: Makes what leaves out of a page's rows.
Shape = Callable[[Connection, Sequence[AnyRow]], list[Json]]


@dataclass(frozen=True)
class Order:
    """A total order of rows: by one column, then by id. `parse` reads the column's value out of a cursor."""

    name: str
    column: ColumnElement[Any]
    id: ColumnElement[Any]
    descending: bool
    parse: Callable[[Any], Any] = str
    parse_id: Callable[[Any], Any] = UUID
    #: The column's table and on what it is joined, if it is another than the id's.
    joined: tuple[type[Any], ColumnElement[bool]] | None = None

    def after(self, cursor: str) -> ColumnElement[bool]:
        """What comes after the row that the cursor stands on."""
        value, id_ = self._read(cursor)
        here, there = tuple_(self.column, self.id), tuple_(value, id_)
        behind = here < there if self.descending else here > there
        if self.joined is None:
            return behind
        # No index has both: this is what the column's own understands.
        return and_(self.column <= value if self.descending else self.column >= value, behind)

    def by(self) -> tuple[ColumnElement[Any], ...]:
        """The columns to sort by, with their directions."""
        return self.over(self.column, self.id)

    def over(self, *columns: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
        """The same directions for other columns."""
        return tuple(one.desc() if self.descending else one.asc() for one in columns)

    def cursor(self, value: Any, id_: Any) -> str:
        """An opaque word for the place right after a row."""
        text = value.isoformat() if isinstance(value, datetime) else value
        return urlsafe_b64encode(json.dumps([self.name, text, str(id_)]).encode()).decode().rstrip("=")

    def _read(self, cursor: str) -> Key:
        try:
            name, value, id_ = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            if name != self.name or "\0" in str(value):
                raise CursorInvalid
            str(value).encode()  # half a character of UTF-16 is none that Postgres knows
            return self.parse(value), self.parse_id(id_)
        except (NotBase64, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise CursorInvalid from error


@dataclass(frozen=True)
class Wanted:
    """How much of a list, and from where on."""

    limit: int = 50
    cursor: str | None = None
    #: Whether to say how many there are in all.
    count: bool = False


def page(
    connection: Connection,
    select: AnySelect,
    order: Order,
    wanted: Wanted,
    shape: Shape,
) -> Json:
    """`{items, next_cursor, total}` of a list that is short for those who see it; long ones are for `walk`.

    The rows must carry their id as `id`.
    """
    total = _total(connection, select) if wanted.count else None
    if wanted.cursor is not None:
        select = select.where(order.after(wanted.cursor))
    select = (
        select.add_columns(order.column.label("sort_value")).order_by(*order.by()).limit(wanted.limit + 1)
    )
    rows = connection.execute(select).all()
    kept, last = rows[: wanted.limit], rows[wanted.limit - 1 : wanted.limit]
    more = len(rows) > wanted.limit
    return {
        "items": shape(connection, kept) if kept else [],
        "next_cursor": order.cursor(last[0].sort_value, last[0].id) if more else None,
        "total": total,
    }


def _total(connection: Connection, select: AnySelect) -> Json:
    """How many the whole list has: counted no further than MOST_COUNTED, so that it costs the same on any list."""
    few = select.with_only_columns(literal(1)).limit(MOST_COUNTED + 1).subquery()
    found = connection.execute(sa_select(func.count()).select_from(few)).scalar_one()
    return {"count": min(found, MOST_COUNTED), "more": found > MOST_COUNTED}


def instant(text: Any) -> datetime:
    """A time out of a cursor."""
    return datetime.fromisoformat(text)
