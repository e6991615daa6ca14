"""Who may do what: rights of keys and policies, users and their logins, quotas, whose an event is, idempotency keys.

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
DROP INDEX uq_job_idempotency;
ALTER TABLE account ADD CONSTRAINT uq_account_id UNIQUE (id, domain_id);
CREATE TABLE app_user (
    id uuid NOT NULL CONSTRAINT pk_app_user PRIMARY KEY,
    account_id uuid NOT NULL,
    domain_id uuid NOT NULL CONSTRAINT fk_app_user_domain_id REFERENCES domain,
    name text NOT NULL,
    display_name text NOT NULL,
    email text,
    role varchar(16) NOT NULL CONSTRAINT ck_app_user_role CHECK (role IN ('root', 'domain', 'user', 'read_only')),
    scopes text[],
    password_hash text NOT NULL,
    password_number bigint NOT NULL DEFAULT 1,
    password_set_at timestamptz NOT NULL DEFAULT now(),
    must_change boolean NOT NULL,
    disabled_at timestamptz,
    expires_at timestamptz,
    last_login_at timestamptz,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT fk_app_user_account_id FOREIGN KEY (account_id, domain_id) REFERENCES account (id, domain_id)
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX uq_app_user_name ON app_user (domain_id, lower(name));
CREATE INDEX ix_app_user_account ON app_user (account_id);
CREATE INDEX ix_app_user_sorted ON app_user (name, id);
CREATE TABLE login_session (
    id uuid NOT NULL CONSTRAINT pk_login_session PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT fk_login_session_user_id REFERENCES app_user ON DELETE CASCADE,
    sha256 text NOT NULL CONSTRAINT uq_login_session_sha256 UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    address text NOT NULL,
    agent text NOT NULL
);
CREATE INDEX ix_login_session_user ON login_session (user_id, created_at);
CREATE INDEX ix_login_session_expires ON login_session (expires_at);
CREATE TABLE login_known (
    user_id uuid NOT NULL CONSTRAINT fk_login_known_user_id REFERENCES app_user ON DELETE CASCADE,
    address text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_login_known PRIMARY KEY (user_id, address)
);
CREATE TABLE login_bucket (
    subject text NOT NULL CONSTRAINT pk_login_bucket PRIMARY KEY,
    empty_at timestamptz NOT NULL,
    told boolean NOT NULL DEFAULT false
);
CREATE INDEX ix_login_bucket_empty ON login_bucket (empty_at);
ALTER TABLE account ADD COLUMN deleted_at timestamptz;
ALTER TABLE domain ADD COLUMN deleted_at timestamptz;
ALTER TABLE account DROP CONSTRAINT uq_account_name;
CREATE UNIQUE INDEX uq_account_live_name ON account (domain_id, name) WHERE deleted_at IS NULL;
ALTER TABLE domain DROP CONSTRAINT uq_domain_name;
CREATE UNIQUE INDEX uq_domain_live_name ON domain (parent_id, name) WHERE deleted_at IS NULL;
"""

DOWN = """
DROP TABLE login_bucket, login_known, login_session, app_user;
ALTER TABLE account DROP CONSTRAINT uq_account_id;
UPDATE domain SET name = name || '~' || right(id::text, 12) WHERE deleted_at IS NOT NULL;
UPDATE account AS one SET name = name || '~' || right(id::text, 12) WHERE EXISTS (
    SELECT FROM account AS other WHERE other.name = one.name
    AND (one.deleted_at IS NOT NULL, one.id) > (other.deleted_at IS NOT NULL, other.id)
);
ALTER TABLE domain ADD CONSTRAINT uq_domain_name UNIQUE (parent_id, name);
ALTER TABLE account ADD CONSTRAINT uq_account_name UNIQUE (name);
DROP INDEX uq_domain_live_name;
DROP INDEX uq_account_live_name;
ALTER TABLE domain DROP COLUMN deleted_at;
ALTER TABLE account DROP COLUMN deleted_at;
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
