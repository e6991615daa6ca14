"""What any test may ask for: a Postgres and a Redis of this run's own, and in Postgres a database of the test's own."""

from collections.abc import Iterator

import hypothesis
import pytest
from sqlalchemy import Engine

from lab.lab import Lab
from models.session import make_engine
from tests import order
from tests.databases import Databases
from tests.postgres import private_lab
from tests.world import World

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("stillframe", deadline=None)
hypothesis.settings.load_profile("stillframe")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """After all others have marked and shuffled them."""
    order.sort(items, getattr(config, "workerinput", {}).get("workercount", 1))


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with Postgres and Redis only, started by the first test that needs it."""
    with private_lab(tmp_path_factory.mktemp("stores")) as lab:
        yield lab


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with libvirtd only, in which tests have guests; who harms the daemon mends it."""
    lab = Lab(tmp_path_factory.mktemp("machine"))
    try:
        lab.start(("libvirt",))
        yield lab
    finally:
        lab.remove()


@pytest.fixture(scope="session")
def databases(stores: Lab) -> Databases:
    """Databases with all tables, for whoever needs one."""
    return Databases(stores)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A database with all tables, and nothing in them but the first account."""
    with databases.one() as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on the test's database."""
    engine = make_engine(database_url, pool_size=12)
    yield engine
    engine.dispose()


@pytest.fixture
def world(engine: Engine) -> World:
    """Ways to put things into the test's database, and to ask what is in it."""
    return World(engine)
