"""Events get their places after their commit: nothing appears later before what was read."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from sqlalchemy import Engine, select

from models.events.places import newest_place, place_of
from models.events.tables import Event, EventFresh, EventPlace
from models.moves import Told, tell
from models.queries import stream
from models.queries.stream import following, mark_after
from models.session import transaction
from stillframe.events import EventType
from tests.world import World

pytestmark = pytest.mark.postgres

TOLD = Told(EventType.HOST_DRAINED, "tests")


def place(engine: Engine) -> int:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return newest_place(connection)


def places(engine: Engine) -> list[tuple[int, int]]:
    """Place and id of all events that have one."""
    order = select(EventPlace.place, EventPlace.event_id).order_by(EventPlace.place)
    with engine.connect() as connection:
        return [(row.place, row.event_id) for row in connection.execute(order)]


def test_a_transaction_that_stays_open_holds_up_nobody_else(engine: Engine) -> None:
    """What is committed has its place at once; what commits later comes after it, though its id is lower."""
    with transaction(engine) as slow:
        tell(slow, TOLD)
        with transaction(engine) as quick:
            tell(quick, TOLD)
        assert place(engine) == 1
        assert [id_ for _, id_ in places(engine)] == [2]

    assert place(engine) == 2
    assert places(engine) == [(1, 2), (2, 1)]


def test_what_was_rolled_back_has_no_place(engine: Engine, world: World) -> None:
    """Places have no gaps where ids have."""
    with engine.connect() as connection:
        tell(connection, TOLD)
        connection.rollback()
    with transaction(engine) as session:
        tell(session, TOLD)

    assert place(engine) == 1
    assert places(engine) == [(1, 2)]
    assert world.count(EventFresh) == 0


def test_who_goes_on_after_an_event_that_is_gone_misses_none(engine: Engine) -> None:
    """After an id that is no event's one goes on before the first event with a higher id."""
    with engine.connect() as connection:
        tell(connection, TOLD)
        connection.rollback()
    with transaction(engine) as session:
        tell(session, TOLD)
        tell(session, TOLD)
    place(engine)

    with engine.connect() as connection:
        assert [place_of(connection, id_) for id_ in (0, 1, 2, 3, 99)] == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("placing", [1, 3])
def test_readers_get_every_event_once_and_in_one_order(engine: Engine, placing: int) -> None:
    """Writers commit in any order, some late; readers break off and go on by id. All see the same sequence, and all of it."""
    seen: list[list[int]] = [[] for _ in range(3)]
    with ThreadPoolExecutor(4 + placing + len(seen)) as pool:
        done = threading.Event()
        writers = [pool.submit(_write, engine, seed) for seed in range(4)]
        others = [pool.submit(_give_places, engine, done) for _ in range(placing)]
        others += [pool.submit(_read, engine, one, done) for one in seen]
        wait(writers)
        done.set()
        for one in (*writers, *others):
            one.result()

    with engine.connect() as connection:
        every = set(connection.scalars(select(Event.id)))
    assert set(seen[0]) == every
    assert len(seen[0]) == len(every)
    assert seen[0] == seen[1] == seen[2] == [id_ for _, id_ in places(engine)]


def test_who_wants_little_of_much_reads_it_in_parts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look goes over so many events at most, wanted or not; parts that hold nothing wanted are gone on behind."""
    monkeypatch.setattr(stream, "FAR", 10)
    with transaction(engine) as session:
        for number in range(35):
            tell(session, Told(EventType.HOST_DRAINED, "wanted" if number in {3, 34} else "tests"))
    place(engine)

    batches = []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        mark, more = mark_after(connection, 0), True
        while more:
            batches.append(following(connection, mark, [Event.actor == "wanted"], 200))
            mark, more = batches[-1].mark, batches[-1].more
    assert [len(batch.events) for batch in batches] == [1, 0, 0, 1]
    assert [(batch.mark.place, batch.mark.event_id) for batch in batches] == [
        (n, n) for n in (10, 20, 30, 35)
    ]


def _write(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(40):
        with transaction(engine) as session:
            for _ in range(chance.choice((1, 1, 2, 5))):
                tell(session, Told(EventType.HOST_DRAINED, f"w{seed}", data={"n": number}))
            time.sleep(chance.choice((0, 0, 0.002, 0.05)))
            if chance.random() < 0.1:
                session.rollback()


def _give_places(engine: Engine, done: threading.Event) -> None:
    while not done.is_set():
        place(engine)


def _read(engine: Engine, seen: list[int], done: threading.Event) -> None:
    chance, last = random.Random(id(seen)), False
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not last:
            last = done.is_set()
            newest_place(connection)
            mark, more = mark_after(connection, seen[-1] if seen else 0), True
            while more:
                batch = following(connection, mark, (), chance.choice((1, 3, 50)))
                seen += [event["id"] for event in batch.events]
                mark, more = batch.mark, batch.more
