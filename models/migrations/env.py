"""Alembic's environment: applies the revisions to the connection it is given, or to the settings' database."""

from alembic import context
from sqlalchemy import Connection

from models.session import make_engine
from models.tables import Base
from stillframe.settings import Settings


def _apply(connection: Connection) -> None:
    connection.exec_driver_sql("SET statement_timeout = 0")  # an index on a large table takes what it takes
    context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _apply(given)
else:
    engine = make_engine(Settings.from_env().database_url)
    with engine.connect() as connection:
        _apply(connection)
    engine.dispose()
