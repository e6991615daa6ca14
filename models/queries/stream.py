"""Reading events as they come, in their order, from a place on."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, select

from models.base import Json
from models.events.places import newest_place, place_of
from models.events.tables import Event, EventPlace
from models.queries.events import items, shown

Conditions = Sequence[ColumnElement[bool]]

#: Places that one look goes on: who wants little of much reads it in parts, between which others have their turn.
FAR = 20_000


@dataclass(frozen=True)
class Mark:
    """How far somebody has read: a place, and the id of the event there, by which the place is found again."""

    place: int
    event_id: int


@dataclass(frozen=True)
class Batch:
    """The next events, oldest first, and the mark behind them. `more` says that others are there already."""

    events: list[Json]
    mark: Mark
    more: bool


def mark_after(connection: Connection, event_id: int) -> Mark:
    """Where to go on after an event that was seen. The connection is AUTOCOMMIT."""
    newest_place(connection)
    return _mark(connection, place_of(connection, event_id))


def mark_of_now(connection: Connection) -> Mark:
    """Where to go on with what happens from now on. The connection is AUTOCOMMIT."""
    return _mark(connection, newest_place(connection))


def mark_before(connection: Connection, events: Sequence[int]) -> Mark | None:
    """Where to go on so that all of these come; None if there is none of them."""
    first = select(func.min(EventPlace.place)).where(EventPlace.event_id.in_(events))
    place = connection.scalar(first)
    return None if place is None else _mark(connection, place - 1)


def following(connection: Connection, mark: Mark, conditions: Conditions, most: int) -> Batch:
    """What has come after the mark and is wanted. Only events that have places are seen: call `newest_place` first.

    Places become visible in their order, so nothing can appear later before the mark that this returns.
    """
    newest = connection.scalar(select(EventPlace.place).order_by(EventPlace.place.desc()).limit(1)) or 0
    if newest <= mark.place:
        return Batch([], mark, more=False)
    upto = min(newest, mark.place + FAR)
    found = connection.execute(
        shown()
        .add_columns(EventPlace.place)
        .join(EventPlace, EventPlace.event_id == Event.id)
        .where(EventPlace.place > mark.place, EventPlace.place <= upto, *conditions)
        .order_by(EventPlace.place)
        .limit(most)
    ).all()
    if len(found) == most:
        return Batch(items(connection, found), Mark(found[-1].place, found[-1].id), more=True)
    return Batch(items(connection, found), _mark(connection, upto), more=upto < newest)


def _mark(connection: Connection, place: int) -> Mark:
    there = connection.scalar(select(EventPlace.event_id).where(EventPlace.place == place))
    return Mark(place, there or 0)
