"""Who may do what: rights of keys and policies, quotas, whose an event is, and idempotency keys of an account.

May be applied while the version before runs. Until now there was one account, the first administrator's: what is there
is its, by a default that rewrites nothing.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ADMIN = "00000000-0000-7000-8000-000000000002"

UP = f"""
ALTER TABLE api_key ADD COLUMN scopes text[];
ALTER TABLE policy ADD COLUMN role varchar(16) NOT NULL DEFAULT 'root'
    CONSTRAINT ck_policy_role CHECK (role IN ('root', 'domain', 'user', 'read_only'));
ALTER TABLE policy ALTER COLUMN role SET DEFAULT 'user';
ALTER TABLE event ADD COLUMN account_id uuid DEFAULT '{ADMIN}';
ALTER TABLE event ALTER COLUMN account_id DROP DEFAULT;
CREATE INDEX ix_event_account ON event (account_id, id);
ALTER TABLE job ADD COLUMN asker_id uuid NOT NULL DEFAULT '{ADMIN}';
ALTER TABLE account ADD COLUMN max_snapshots_a_vm bigint, ADD COLUMN max_snapshots bigint,
    ADD COLUMN max_bytes bigint, ADD COLUMN max_jobs bigint;
ALTER TABLE domain ADD COLUMN max_snapshots bigint, ADD COLUMN max_bytes bigint;
CREATE INDEX ix_account_name ON account (name, id);
CREATE INDEX ix_snapshot_counted ON snapshot (account_id, vm_id) INCLUDE (size_bytes)
    WHERE state NOT IN ('deleted', 'error') AND origin = 'stillframe';
CREATE INDEX ix_job_in_flight ON job (account_id) WHERE state IN ('queued', 'running', 'undoing');
CREATE UNIQUE INDEX uq_job_idempotency_key ON job (asker_id, idempotency_key);
DROP INDEX uq_job_idempotency;
"""

DOWN = """
CREATE UNIQUE INDEX uq_job_idempotency ON job (requested_by, idempotency_key);
ALTER TABLE job DROP COLUMN asker_id;
DROP INDEX ix_job_in_flight;
DROP INDEX ix_snapshot_counted;
DROP INDEX ix_account_name;
ALTER TABLE domain DROP COLUMN max_snapshots, DROP COLUMN max_bytes;
ALTER TABLE account DROP COLUMN max_snapshots_a_vm, DROP COLUMN max_snapshots, DROP COLUMN max_bytes,
    DROP COLUMN max_jobs;
ALTER TABLE event DROP COLUMN account_id;
ALTER TABLE policy DROP COLUMN role;
ALTER TABLE api_key DROP COLUMN scopes;
"""


def upgrade() -> None:
    """Add the columns; the index on events takes about ten seconds for ten million, in which none can be written."""
    op.get_bind().exec_driver_sql(UP)


def downgrade() -> None:
    """Take them away: whoever has a key sees everything again, so revoke those of tenants first."""
    op.get_bind().exec_driver_sql(DOWN)
