"""A Postgres for the tests of memory."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from lab.lab import Lab
from models.journal import Journal
from models.session import make_engine
from tests.postgres import fresh_database, private_lab
from tests.world import World


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with private_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def database_url(lab: Lab) -> Iterator[str]:
    with fresh_database(lab) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url, pool_size=12)
    yield engine
    engine.dispose()


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


@pytest.fixture
def journal(engine: Engine) -> Journal:
    return Journal(engine)
