"""Indexes for what people look for: a part of a display name, a list by name, the end of an id, what went wrong.

May be applied while the version before runs. The trigrams need the extension pg_trgm, as in 0001; without it the
search works and reads every row.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INDEXES = """
CREATE INDEX ix_snapshot_name ON snapshot (name, id);
CREATE INDEX ix_snapshot_id_end ON snapshot (reverse(id::text) text_pattern_ops);
CREATE INDEX ix_job_id_end ON job (reverse(id::text) text_pattern_ops);
CREATE INDEX ix_event_level ON event (id) WHERE level IN ('warning', 'error');
"""

TRIGRAMS = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') THEN
        CREATE INDEX ix_snapshot_display_name_trgm ON snapshot USING gin (display_name gin_trgm_ops);
    END IF;
END $$
"""

MADE = (
    "ix_snapshot_name",
    "ix_snapshot_id_end",
    "ix_job_id_end",
    "ix_event_level",
    "ix_snapshot_display_name_trgm",
)


def upgrade() -> None:
    """Make the indexes: some seconds for a hundred thousand snapshots, in which none can be written."""
    connection = op.get_bind()
    connection.exec_driver_sql(INDEXES)
    connection.exec_driver_sql(TRIGRAMS)


def downgrade() -> None:
    """Drop the indexes."""
    for index in MADE:
        op.execute(f"DROP INDEX IF EXISTS {index}")
