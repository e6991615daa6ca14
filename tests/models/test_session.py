"""The engine: what counts as a database that is away."""

import pytest
from sqlalchemy import Engine, text

from models.queries.trouble import meaning
from models.session import DatabaseAway, transaction
from tests.read_only import write_here

pytestmark = pytest.mark.postgres


def test_a_database_that_takes_no_writes_is_away(engine: Engine) -> None:
    """It can be read all the time, and written to as soon as it, or another in its place, takes that again."""
    with transaction(engine) as session:
        session.execute(text("CREATE TABLE kept (word text)"))
    write_here(engine, allowed=False)
    with pytest.raises(DatabaseAway) as refused, transaction(engine) as session:
        session.execute(text("INSERT INTO kept VALUES ('lost')"))
    assert meaning(refused.value) == "unavailable"
    with transaction(engine) as session:
        assert session.scalar(text("SELECT count(*) FROM kept")) == 0
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        held = other.connection.dbapi_connection
        with pytest.raises(DatabaseAway):
            other.execute(text("INSERT INTO kept VALUES ('lost')"))
        assert held is not None
        assert held.closed
        write_here(engine, allowed=True)
    with transaction(engine) as session:
        session.execute(text("INSERT INTO kept VALUES ('there')"))
        assert session.scalars(text("SELECT word FROM kept")).all() == ["there"]
