"""A database that takes no writes, as a standby does, or one whose disk is full at a provider that guards it."""

from sqlalchemy import Engine, text


def write_here(engine: Engine, *, allowed: bool) -> None:
    """From now on whoever connects to the database of this engine may write or not; those of this engine connect anew."""
    act = "RESET default_transaction_read_only" if allowed else "SET default_transaction_read_only = on"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(f'ALTER DATABASE "{engine.url.database}" {act}'))
        connection.invalidate()
    engine.dispose()
