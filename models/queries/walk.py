"""Long lists: a page looks at FAR rows at most, so it costs the same whatever is asked for and however little there is of it.

A page that has found too little by then is short, or empty, and its cursor goes on where it stopped: who follows the
cursors sees all. So that this is rare, a list says by which ways its rows can be found, those that leave the fewest first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Text,
    any_,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import InstrumentedAttribute

from models.base import AnyRow, AnySelect, Json
from models.queries.paging import MOST_COUNTED, Order, Shape, Wanted

#: Rows that one page looks at.
FAR = 5_000
#: Milliseconds that the indexes of words have for an answer: what is common in many rows takes them long.
MOMENT_MS = 200
_CANCELLED = "57014"


@dataclass(frozen=True)
class Way:
    """Some rows of a list that an index finds without looking at others: `ids` selects them by it, all that fit at least.

    `ahead` is their condition, if that index has them in the list's order too. `words`: it is an index of words.
    """

    ids: AnySelect
    ahead: ColumnElement[bool] | None = None
    words: bool = False


def any_of(parts: Iterable[AnySelect]) -> AnySelect:
    """The ids that any of these finds, each by an index of its own."""
    each = union_all(*(part.limit(literal_column(str(FAR + 1))) for part in parts)).subquery()
    return select(each.c.id).distinct()


#: Tables, and on what each is joined.
Joins = Sequence[tuple[type[Any], ColumnElement[bool]]]


def no_joins(_: Any) -> Joins:
    """For a list whose conditions are about its own table alone."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A list of rows of one table: those for which `conditions` hold, given some of its columns.

    They may be about others, with which `joined` joins it on its columns. `within` is about the order's column alone.
    `shown` has all that is shown of a row.
    """

    entity: type[Any]
    columns: Sequence[InstrumentedAttribute[Any]]
    order: Order
    conditions: Callable[[Any], Iterable[ColumnElement[bool]]]
    shown: AnySelect
    joined: Callable[[Any], Joins] = no_joins
    ways: Sequence[Way] = ()
    within: Sequence[ColumnElement[bool]] = ()


def walk(connection: Connection, listing: Listing, wanted: Wanted, shape: Shape) -> Json:
    """`{items, next_cursor, total}`. The connection is AUTOCOMMIT, as of all that only read."""
    order = listing.order
    rows = _rows(connection, listing)
    total = _total(connection, listing, rows) if wanted.count else None
    if wanted.cursor is not None:
        rows = rows.where(order.after(wanted.cursor))
    found = connection.execute(_page(listing, rows, wanted.limit)).all()
    edge = found[0].edge
    if len(found) > wanted.limit:
        edge = (found[wanted.limit - 1].sort_value, found[wanted.limit - 1].id)
    ids = [row.id for row in found[: wanted.limit] if row.id is not None]
    shown = _shown(connection, listing, ids) if ids else []
    return {
        "items": shape(connection, shown) if shown else [],
        "next_cursor": order.cursor(*edge) if edge else None,
        "total": total,
    }


def newest(connection: Connection, listing: Listing, most: int) -> list[Any]:
    """The ids of the first so many, as far as they are among the first FAR rows."""
    found = _near(listing, _rows(connection, listing)).limit(most)
    return [row.id for row in connection.execute(found)]


def _shown(connection: Connection, listing: Listing, ids: Sequence[Any]) -> list[AnyRow]:
    key = listing.entity.id
    of = listing.shown.where(key == any_(literal(ids, ARRAY(key.type))))
    rows = {row.id: row for row in connection.execute(of)}
    return [rows[id_] for id_ in ids if id_ in rows]


def _page(listing: Listing, rows: AnySelect, limit: int) -> AnySelect:
    """The rows wanted, one more than the limit, and with each the edge: the last row looked at, if that was too few.

    One statement, so that edge and rows are of one moment. Postgres stops looking as soon as it has enough.
    """
    order = listing.order
    found = _near(listing, rows).limit(limit + 1).cte("found")
    short = select(func.count()).select_from(found).scalar_subquery() <= limit
    keys = rows.with_only_columns(
        order.id.label("id"), order.column.label("sort_value"), maintain_column_froms=True
    )
    last = keys.order_by(*order.by()).offset(literal_column(str(FAR - 1))).limit(1).subquery("last")
    edge = select(func.json_build_array(last.c.sort_value, last.c.id)).scalar_subquery()
    in_any_case = select(literal(1).label("row")).subquery("in_any_case")
    return (
        select(found.c.id, found.c.sort_value, case((short, edge)).label("edge"))
        .select_from(in_any_case.outerjoin(found, true()))
        .order_by(*order.over(found.c.sort_value, found.c.id))
    )


def _near(listing: Listing, rows: AnySelect) -> AnySelect:
    """What is wanted of the first FAR rows, in order."""
    order = listing.order
    near = rows.order_by(*order.by()).limit(literal_column(str(FAR))).subquery("near")
    wanted = select(near.c.id, near.c.sort_value)
    for table, on in listing.joined(near.c):
        wanted = wanted.join(table, on)
    return wanted.where(*listing.conditions(near.c)).order_by(*order.over(near.c.sort_value, near.c.id))


def _total(connection: Connection, listing: Listing, rows: AnySelect) -> Json:
    """How many the whole list has: of its first FAR rows, and no more than MOST_COUNTED."""
    few = _near(listing, rows).limit(MOST_COUNTED + 1).cte("few")
    count = select(func.count()).select_from(few).scalar_subquery()
    others = (
        rows.with_only_columns(listing.order.id, maintain_column_froms=True)
        .order_by(*listing.order.by())
        .offset(literal_column(str(FAR)))
        .limit(1)
    )
    more = case((count <= MOST_COUNTED, others.exists()), else_=true())
    number, is_more = connection.execute(select(count, more)).one()
    return {"count": min(number, MOST_COUNTED), "more": is_more}


def _rows(connection: Connection, listing: Listing) -> AnySelect:
    """All rows there are on the shortest way."""
    order = listing.order
    rows = select(order.id.label("id"), *listing.columns, order.column.label("sort_value"))
    if order.joined is not None:
        rows = rows.select_from(listing.entity).join(*order.joined)
    found = _found(connection, listing)
    return rows.where(*listing.within) if found is None else rows.where(*listing.within, found)


def _found(connection: Connection, listing: Listing) -> ColumnElement[bool] | None:
    """A way with few rows is taken first, then one in the list's order; None means all rows in their order."""
    ahead = next((way.ahead for way in listing.ways if way.ahead is not None), None)
    if ahead is not None and len(listing.ways) == 1:
        return ahead
    for way in listing.ways:
        few = _few(connection, listing.order.id, way)
        if few is not None:
            return few
    return ahead


def _few(connection: Connection, key: ColumnElement[Any], way: Way) -> ColumnElement[bool] | None:
    """The rows of a way by their ids, if they are no more than FAR.

    By their ids, because Postgres would often guess that there are many, and look for them among all rows.
    """
    some = way.ids.limit(literal_column(str(FAR + 1))).subquery("some")
    (id_,) = some.c
    statement = select(func.count(), cast(func.array_agg(id_), Text)).select_from(some)
    try:
        if way.words:
            with _a_moment(connection):
                count, ids = connection.execute(statement).one()
        else:
            count, ids = connection.execute(statement).one()
    except OperationalError as error:
        if not way.words or getattr(error.orig, "sqlstate", None) != _CANCELLED:
            raise
        return None
    if count > FAR:
        return None
    return key == any_(cast(literal(ids or "{}", Text), ARRAY(key.type)))


@contextmanager
def _a_moment(connection: Connection) -> Iterator[None]:
    connection.exec_driver_sql(f"SET statement_timeout = {MOMENT_MS}")
    try:
        yield
    finally:
        connection.exec_driver_sql("RESET statement_timeout")
