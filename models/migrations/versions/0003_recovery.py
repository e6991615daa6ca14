"""Recovery: points of no return, expiry, deaths, decisions about stuck jobs; drained hosts, looks at hosts, foreign snapshots.

May be applied while the version before runs.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE job
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN no_return_at timestamptz,
    ADD COLUMN deaths smallint NOT NULL DEFAULT 0,
    ADD COLUMN recovery jsonb;
UPDATE job SET no_return_at = now() FROM step
WHERE step.job_id = job.id AND job.state IN ('running', 'stuck') AND step.name IN ('stop_vm', 'keep_snapshot');
CREATE INDEX ix_job_expiry ON job (expires_at) WHERE state = 'queued';
ALTER TABLE host
    ADD COLUMN drained_at timestamptz,
    ADD COLUMN drained_by text,
    ADD COLUMN drain_reason text;
CREATE TABLE rescan (
    id uuid NOT NULL CONSTRAINT pk_rescan PRIMARY KEY,
    host_id uuid NOT NULL CONSTRAINT fk_rescan_host_id REFERENCES host (id),
    vm_id uuid CONSTRAINT fk_rescan_vm_id REFERENCES vm (id),
    state varchar(16) NOT NULL CONSTRAINT ck_rescan_state CHECK (state IN ('asked', 'running', 'done', 'failed')),
    adopt boolean NOT NULL DEFAULT false,
    repair boolean NOT NULL DEFAULT false,
    requested_by text NOT NULL,
    findings jsonb,
    error jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz
);
CREATE INDEX ix_rescan_open ON rescan (host_id) WHERE state IN ('asked', 'running');
CREATE INDEX ix_rescan_host ON rescan (host_id, created_at DESC, id DESC);
ALTER TABLE vm ADD COLUMN traits jsonb NOT NULL DEFAULT '{}';
ALTER TABLE volume
    ADD COLUMN depth bigint NOT NULL DEFAULT 0,
    ADD COLUMN home text,
    ADD COLUMN free_bytes bigint;
ALTER TABLE snapshot
    ADD COLUMN origin varchar(16) NOT NULL DEFAULT 'stillframe'
        CONSTRAINT ck_snapshot_origin CHECK (origin IN ('stillframe', 'foreign')),
    ADD COLUMN "foreign" jsonb;
DROP INDEX uq_snapshot_live_name;
CREATE UNIQUE INDEX uq_snapshot_live_name ON snapshot (vm_id, name)
    WHERE state NOT IN ('deleted', 'error') AND origin = 'stillframe';
"""

DOWN = """
DELETE FROM snapshot_layer USING snapshot WHERE snapshot.id = snapshot_id AND snapshot.origin = 'foreign';
DELETE FROM snapshot WHERE origin = 'foreign';
DROP INDEX uq_snapshot_live_name;
CREATE UNIQUE INDEX uq_snapshot_live_name ON snapshot (vm_id, name) WHERE state NOT IN ('deleted', 'error');
ALTER TABLE snapshot DROP COLUMN origin, DROP COLUMN "foreign";
ALTER TABLE volume DROP COLUMN depth, DROP COLUMN home, DROP COLUMN free_bytes;
ALTER TABLE vm DROP COLUMN traits;
DROP TABLE rescan;
ALTER TABLE host DROP COLUMN drained_at, DROP COLUMN drained_by, DROP COLUMN drain_reason;
DROP INDEX ix_job_expiry;
ALTER TABLE job DROP COLUMN expires_at, DROP COLUMN no_return_at, DROP COLUMN deaths, DROP COLUMN recovery;
"""


def upgrade() -> None:
    """Add the columns and the table: nothing is rewritten, it takes no time."""
    op.get_bind().exec_driver_sql(UP)


def downgrade() -> None:
    """Take them away, with the rows of foreign snapshots."""
    op.get_bind().exec_driver_sql(DOWN)
