"""The order of events. Each gets its place after its commit, so that who has read up to a place has missed none before it.

Whoever reads gives out the places: there is no process whose absence would stop all. Those who write events wait for
nobody, and a transaction that stays open holds up its own events only (docs/adr/0019).
"""

from sqlalchemy import Connection, func, select, text

from models.events.tables import EventPlace

_AT_ONCE = 5000
#: The function takes turns with itself; its text is in the migration.
_PLACE = text("SELECT placed, newest FROM place_events(:most)")


def newest_place(reads: Connection) -> int:
    """Gives every event that is committed by now its place; returns the newest, 0 before the first event.

    The connection commits by itself (AUTOCOMMIT): places wait for no other work.
    """
    while True:
        placed, newest = reads.execute(_PLACE, {"most": _AT_ONCE}).one()
        if placed < _AT_ONCE:
            return int(newest)


def place_of(connection: Connection, event_id: int) -> int:
    """The place of an event that somebody has seen, after `newest_place` was called.

    Of an id that is no event's the place before the first event of a higher id: who goes on there may get some twice, and
    misses none.
    """
    found = connection.scalar(select(EventPlace.place).where(EventPlace.event_id == event_id))
    if found is not None:
        return int(found)
    after = select(func.min(EventPlace.place) - 1).where(EventPlace.event_id > event_id)
    newest = select(func.coalesce(func.max(EventPlace.place), 0))
    return int(
        connection.scalar(select(func.coalesce(after.scalar_subquery(), newest.scalar_subquery()))) or 0
    )
