"""The migrations make the tables that the code knows."""

import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Engine, inspect

from lab.lab import Lab
from models.session import make_engine, transaction
from models.tables import Base
from models.tenants.tables import ADMIN_ACCOUNT, ROOT_DOMAIN, Account, Domain
from models.upgrade import is_current, upgrade

pytestmark = [pytest.mark.postgres, pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'")]


def test_migrations_and_tables_say_the_same(engine: Engine) -> None:
    """Nothing is left for a next revision to do."""
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_the_database_checks_the_words_that_the_code_knows(engine: Engine) -> None:
    """Each CHECK of the database lists the members of its enum, no more and no fewer."""
    look = inspect(engine)
    for table in Base.metadata.sorted_tables:
        known = {
            str(check.name): set(
                re.findall(r"'(\w+)'", str(check.sqltext.compile(compile_kwargs={"literal_binds": True})))
            )
            for check in table.constraints
            if isinstance(check, CheckConstraint)
        }
        found = {
            str(check["name"]): set(re.findall(r"'(\w+)'", check["sqltext"]))
            for check in look.get_check_constraints(table.name)
        }
        assert found == known


def test_a_new_database_has_the_first_account(engine: Engine) -> None:
    """The root domain and `admin` are there under their known ids, and upgrading again changes nothing."""
    upgrade(engine)
    assert is_current(engine)
    with transaction(engine) as session:
        assert session.get_one(Account, ADMIN_ACCOUNT).name == "admin"
        assert session.get_one(Domain, ROOT_DOMAIN).path == "/"


def test_an_empty_database_is_not_current(stores: Lab) -> None:
    """Missing migrations are noticed before anything is asked of the tables."""
    engine = make_engine(stores.create_database("empty"))
    try:
        assert not is_current(engine)
    finally:
        engine.dispose()
        stores.drop_database("empty")
