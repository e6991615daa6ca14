"""The database's clock, in the hands of a test: a schema that stands before Postgres' own has another `now()`.

Columns whose default is `now()` were made before, and keep to the real one.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from models.session import transaction

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)

_CLOCK = """
    CREATE SCHEMA simulated;
    CREATE TABLE simulated.clock (at timestamptz NOT NULL);
    INSERT INTO simulated.clock VALUES ('2026-03-01T00:00:00Z');
    CREATE FUNCTION simulated.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM simulated.clock';
"""


class Clock:
    """Stands still at BEGIN until it is put forward, or back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._change(_CLOCK, "SET search_path = simulated, pg_catalog, public")

    def remove(self) -> None:
        """Postgres' own is the clock again."""
        self._change("DROP SCHEMA simulated CASCADE", "RESET search_path")

    def _change(self, statements: str, setting: str) -> None:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statements)
            name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" {setting}')
        self._engine.dispose()  # connections made from now on see it

    def set(self, at: datetime) -> None:
        """It is that time now."""
        with transaction(self._engine) as session:
            session.execute(text("UPDATE simulated.clock SET at = :at"), {"at": at})

    def forward(self, by: timedelta) -> None:
        """So much time passes."""
        with transaction(self._engine) as session:
            session.execute(text("UPDATE simulated.clock SET at = at + :by"), {"by": by})
