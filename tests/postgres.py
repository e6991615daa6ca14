"""Databases for tests: one private lab a process, one migrated template, copies of it."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from lab.lab import Lab
from models.session import make_engine, transaction
from models.upgrade import upgrade

_numbers = itertools.count(1)
TEMPLATE = "template_stillframe"


@contextmanager
def private_lab(folder: Path) -> Iterator[Lab]:
    """A lab with Postgres and Redis whose database `TEMPLATE` has all tables; removed at the end."""
    lab = Lab(folder)
    lab.start({"postgres", "redis"})
    try:
        # A copy of the template is some 30 MB to be synced, for each test; here nobody's power is cut.
        for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
            lab.postgres.sql(statement)
        engine = make_engine(lab.create_database(TEMPLATE))
        upgrade(engine)
        engine.dispose()
        yield lab
    finally:
        lab.remove()


def new_copy(lab: Lab) -> tuple[str, str]:
    """Name and address of a new copy of the template."""
    name = f"test_{next(_numbers)}"
    return name, lab.create_database(name, TEMPLATE)


@contextmanager
def fresh_database(lab: Lab) -> Iterator[str]:
    """The address of a database with all tables and nothing in them but the first account."""
    name, url = new_copy(lab)
    try:
        yield url
    finally:
        lab.drop_database(name)


def until_somebody_waits(engine: Engine, timeout_s: float = 20) -> None:
    """Until another transaction of the database waits for a lock."""
    here = "wait_event_type = 'Lock' AND datname = current_database()"
    of = text(f"SELECT count(*) FROM pg_stat_activity WHERE {here}")
    end = time.monotonic() + timeout_s
    while True:
        with transaction(engine) as session:
            if session.scalar(of):
                return
        assert time.monotonic() < end, "nobody waits"
        time.sleep(0.02)
