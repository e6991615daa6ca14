"""The first tables; their SQL is in the file beside this one. Applied before a deployment.

Name search gets its trigram indexes where the extension pg_trgm can be had, and works without.
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TRIGRAMS = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') THEN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
        CREATE INDEX ix_vm_name_trgm ON vm USING gin (name gin_trgm_ops);
        CREATE INDEX ix_snapshot_name_trgm ON snapshot USING gin (name gin_trgm_ops);
    END IF;
END $$
"""

TABLES = """
    comment event step job volume_snapshot snapshot_layer snapshot layer volume vm api_key account domain host
"""


def upgrade() -> None:
    """Make the tables, and the root domain with the account `admin`."""
    connection = op.get_bind()
    connection.exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
    connection.exec_driver_sql(TRIGRAMS)


def downgrade() -> None:
    """Drop the tables with all they hold."""
    for table in TABLES.split():
        op.execute(f"DROP TABLE {table}")
