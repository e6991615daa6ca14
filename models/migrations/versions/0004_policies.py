"""Policies: their schedules and firings, tags of VMs, which policy and hold a snapshot has, and jobs about several.

May be applied while the version before runs.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE vm ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
CREATE INDEX ix_vm_tags ON vm USING gin (tags);
ALTER TABLE volume ADD COLUMN storage_id text, ADD COLUMN total_bytes bigint;
CREATE TABLE policy (
    id uuid NOT NULL CONSTRAINT pk_policy PRIMARY KEY,
    account_id uuid NOT NULL CONSTRAINT fk_policy_account_id REFERENCES account (id),
    name text NOT NULL,
    spec jsonb NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    paused_until timestamptz,
    suspended_at timestamptz,
    suspended_reason text,
    of_ids uuid[],
    of_names text[],
    of_tags text[],
    of_account_id uuid CONSTRAINT fk_policy_of_account_id REFERENCES account (id),
    of_domain text,
    of_host_id uuid CONSTRAINT fk_policy_of_host_id REFERENCES host (id),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX uq_policy_live_name ON policy (account_id, name) WHERE deleted_at IS NULL;
CREATE INDEX ix_policy_name ON policy (name, id) WHERE deleted_at IS NULL;
CREATE TABLE policy_schedule (
    id uuid NOT NULL CONSTRAINT pk_policy_schedule PRIMARY KEY,
    policy_id uuid NOT NULL CONSTRAINT fk_policy_schedule_policy_id REFERENCES policy (id),
    spec jsonb NOT NULL,
    mark timestamptz NOT NULL,
    next_at timestamptz,
    half_at timestamptz,
    half_behind uuid,
    retired_at timestamptz
);
CREATE INDEX ix_policy_schedule_due ON policy_schedule (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX ix_policy_schedule_policy ON policy_schedule (policy_id);
CREATE TABLE policy_vm (
    policy_id uuid NOT NULL CONSTRAINT fk_policy_vm_policy_id REFERENCES policy (id),
    vm_id uuid NOT NULL CONSTRAINT fk_policy_vm_vm_id REFERENCES vm (id),
    last_good_at timestamptz,
    last_bad_at timestamptz,
    failures smallint NOT NULL DEFAULT 0,
    counted_from timestamptz,
    set_aside_at timestamptz,
    set_aside_reason text,
    prune_due_at timestamptz,
    prune_refusal text,
    volumes_due_at timestamptz,
    volumes_refusal text,
    volumes_refused smallint NOT NULL DEFAULT 0,
    CONSTRAINT pk_policy_vm PRIMARY KEY (policy_id, vm_id)
);
CREATE INDEX ix_policy_vm_prune ON policy_vm (prune_due_at) WHERE prune_due_at IS NOT NULL;
CREATE INDEX ix_policy_vm_volumes ON policy_vm (volumes_due_at) WHERE volumes_due_at IS NOT NULL;
CREATE INDEX ix_policy_vm_set_aside ON policy_vm (policy_id) WHERE set_aside_at IS NOT NULL;
CREATE TABLE firing (
    id uuid NOT NULL CONSTRAINT pk_firing PRIMARY KEY,
    policy_id uuid NOT NULL CONSTRAINT fk_firing_policy_id REFERENCES policy (id),
    schedule_id uuid NOT NULL CONSTRAINT fk_firing_schedule_id REFERENCES policy_schedule (id),
    vm_id uuid CONSTRAINT fk_firing_vm_id REFERENCES vm (id),
    nominal_at timestamptz NOT NULL,
    until_at timestamptz,
    moments bigint NOT NULL DEFAULT 1,
    due_at timestamptz NOT NULL,
    give_up_at timestamptz,
    state varchar(16) NOT NULL CONSTRAINT ck_firing_state
        CHECK (state IN ('waiting', 'asked', 'stuck', 'succeeded', 'failed', 'skipped', 'missed', 'refused')),
    reason text,
    asked_by text,
    job_id uuid CONSTRAINT fk_firing_job_id REFERENCES job (id),
    extract_due_at timestamptz,
    decided_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX uq_firing_moment ON firing (schedule_id, vm_id, nominal_at) NULLS NOT DISTINCT;
CREATE INDEX ix_firing_waiting ON firing (due_at) WHERE state = 'waiting';
CREATE INDEX ix_firing_asked ON firing (job_id) WHERE state IN ('asked', 'stuck');
CREATE INDEX ix_firing_policy ON firing (policy_id, nominal_at DESC, id DESC);
CREATE INDEX ix_firing_vm ON firing (vm_id, nominal_at DESC);
CREATE INDEX ix_firing_extract ON firing (extract_due_at) WHERE extract_due_at IS NOT NULL;
CREATE INDEX ix_firing_job ON firing (job_id) WHERE job_id IS NOT NULL;
CREATE TABLE job_snapshot (
    job_id uuid NOT NULL CONSTRAINT fk_job_snapshot_job_id REFERENCES job (id) ON DELETE CASCADE,
    snapshot_id uuid NOT NULL CONSTRAINT fk_job_snapshot_snapshot_id REFERENCES snapshot (id),
    spared jsonb,
    CONSTRAINT pk_job_snapshot PRIMARY KEY (job_id, snapshot_id)
);
CREATE INDEX ix_job_snapshot_snapshot ON job_snapshot (snapshot_id);
ALTER TABLE job ADD COLUMN result jsonb;
ALTER TABLE snapshot
    ADD COLUMN hold_reason text,
    ADD COLUMN held_by text,
    ADD COLUMN held_until timestamptz,
    ADD COLUMN expiry_tried_at timestamptz,
    ADD COLUMN expiry_refusal text,
    ADD CONSTRAINT fk_snapshot_policy_id FOREIGN KEY (policy_id) REFERENCES policy (id);
ALTER TABLE volume_snapshot
    ADD COLUMN policy_id uuid CONSTRAINT fk_volume_snapshot_policy_id REFERENCES policy (id);
CREATE INDEX ix_volume_snapshot_policy ON volume_snapshot (policy_id, vm_id) WHERE policy_id IS NOT NULL;
CREATE INDEX ix_snapshot_expires ON snapshot (expires_at) WHERE expires_at IS NOT NULL AND state IN ('ready', 'error');
CREATE INDEX ix_snapshot_tags ON snapshot USING gin (tags);
"""

DOWN = """
ALTER TABLE volume_snapshot DROP COLUMN policy_id;
DROP INDEX ix_snapshot_tags;
DROP INDEX ix_snapshot_expires;
ALTER TABLE snapshot DROP CONSTRAINT fk_snapshot_policy_id,
    DROP COLUMN expiry_tried_at, DROP COLUMN expiry_refusal,
    DROP COLUMN hold_reason, DROP COLUMN held_by, DROP COLUMN held_until;
ALTER TABLE job DROP COLUMN result;
DROP TABLE job_snapshot;
DROP TABLE firing;
DROP TABLE policy_vm;
DROP TABLE policy_schedule;
DROP TABLE policy;
ALTER TABLE volume DROP COLUMN storage_id, DROP COLUMN total_bytes;
ALTER TABLE vm DROP COLUMN tags;
"""


def upgrade() -> None:
    """Add the tables, columns and indexes: no table is rewritten, snapshots are read once for two indexes."""
    op.get_bind().exec_driver_sql(UP)


def downgrade() -> None:
    """Take them away, with all policies; their snapshots stay."""
    op.get_bind().exec_driver_sql("UPDATE snapshot SET policy_id = NULL")
    op.get_bind().exec_driver_sql(DOWN)
