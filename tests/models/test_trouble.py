"""What errors of the database mean to whoever asked."""

import threading

import pytest
from sqlalchemy import Engine, text

from models.queries.trouble import DatabaseTrouble, meaning
from models.session import transaction

pytestmark = pytest.mark.postgres


def test_who_gives_way_is_to_ask_again(engine: Engine) -> None:
    """Of two who wait for each other Postgres ends one: that is nothing nobody foresaw, and passes."""
    both = threading.Barrier(2, timeout=20)
    meant: list[str] = []

    def lock(first: int, second: int) -> None:
        try:
            with transaction(engine) as session:
                session.execute(text("SELECT pg_advisory_xact_lock(:one)"), {"one": first})
                both.wait()
                session.execute(text("SELECT pg_advisory_xact_lock(:one)"), {"one": second})
        except DatabaseTrouble as error:
            meant.append(meaning(error))

    beside = threading.Thread(target=lock, args=(2, 1))
    beside.start()
    lock(1, 2)
    beside.join(20)
    assert meant == ["unavailable"]
