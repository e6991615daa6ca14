"""The journal on the test's database."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from models.jobs.journal import Journal
from tests.clock import Clock


@pytest.fixture
def journal(engine: Engine) -> Journal:
    return Journal(engine)


@pytest.fixture
def clock(engine: Engine) -> Iterator[Clock]:
    """The database's clock, which stands still until the test moves it."""
    clock = Clock(engine)
    yield clock
    clock.remove()
