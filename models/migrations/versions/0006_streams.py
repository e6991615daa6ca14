"""Streams: the order of events, webhooks and their deliveries, and the trace of a job. What idempotency keys made.
What other hosts have of a VM. Indexes for lists that are narrowed or sorted otherwise than by time and name.

May be applied while the version before runs; whoever writes an event waits while the events there are get their
places, some seconds a million.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE made_once (
    asker_id uuid NOT NULL,
    idempotency_key text NOT NULL,
    request_sha256 text NOT NULL,
    made text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_made_once PRIMARY KEY (asker_id, idempotency_key)
);
CREATE INDEX ix_made_once_at ON made_once (at);
INSERT INTO made_once (asker_id, idempotency_key, request_sha256, made, at)
SELECT asker_id, idempotency_key, request_sha256, id::text, created_at FROM job
WHERE idempotency_key IS NOT NULL AND request_sha256 IS NOT NULL AND created_at > now() - interval '1 day'
ON CONFLICT DO NOTHING;
CREATE TABLE vm_twin (
    vm_id uuid NOT NULL CONSTRAINT fk_vm_twin_vm_id REFERENCES vm ON DELETE CASCADE,
    host_id uuid NOT NULL CONSTRAINT fk_vm_twin_host_id REFERENCES host,
    state varchar(16) NOT NULL CONSTRAINT ck_vm_twin_state CHECK (state IN ('running', 'paused', 'off', 'crashed', 'gone')),
    reason text NOT NULL,
    since timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    on_two_at timestamptz,
    CONSTRAINT pk_vm_twin PRIMARY KEY (vm_id, host_id)
);
CREATE INDEX ix_vm_twin_host ON vm_twin (host_id);
CREATE TABLE event_fresh (event_id bigint NOT NULL CONSTRAINT pk_event_fresh PRIMARY KEY)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE TABLE event_place (
    event_id bigint NOT NULL CONSTRAINT pk_event_place PRIMARY KEY,
    place bigint NOT NULL CONSTRAINT uq_event_place_place UNIQUE
);
CREATE FUNCTION note_fresh_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO event_fresh (event_id) SELECT id FROM written;
    RETURN NULL;
END $$;
CREATE TRIGGER note_fresh_events AFTER INSERT ON event
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_fresh_events();
-- Volatile, so that each statement sees what is committed when it begins: behind the lock, what its last holder wrote.
CREATE FUNCTION place_events(most integer, OUT placed bigint, OUT newest bigint) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    placed := 0;
    IF EXISTS (SELECT FROM event_fresh) THEN
        PERFORM pg_advisory_xact_lock(7236018319);
        WITH taken AS (
            DELETE FROM event_fresh
            WHERE event_id IN (SELECT event_id FROM event_fresh ORDER BY event_id LIMIT most)
            RETURNING event_id
        )
        INSERT INTO event_place (event_id, place)
        SELECT event_id,
            (SELECT coalesce(max(place), 0) FROM event_place) + row_number() OVER (ORDER BY event_id)
        FROM taken;
        GET DIAGNOSTICS placed = ROW_COUNT;
    END IF;
    newest := (SELECT coalesce(max(place), 0) FROM event_place);
END $$;
INSERT INTO event_place (event_id, place) SELECT id, row_number() OVER (ORDER BY id) FROM event;
ALTER TABLE job ADD COLUMN trace jsonb;
CREATE INDEX ix_event_type ON event (type text_pattern_ops, id);
CREATE INDEX ix_job_host ON job (host_id, created_at DESC, id DESC);
CREATE INDEX ix_snapshot_in_state ON snapshot (state, id);
CREATE INDEX ix_snapshot_size ON snapshot (size_bytes, id);
CREATE INDEX ix_snapshot_ready ON snapshot (coalesce(ready_at, to_timestamp(0)), id);
CREATE INDEX ix_snapshot_stood_on ON snapshot (created_at DESC, id DESC) WHERE current;
CREATE INDEX ix_snapshot_held ON snapshot (created_at DESC, id DESC) WHERE held;
CREATE INDEX ix_volume_snapshot_created ON volume_snapshot (created_at DESC, id DESC);
CREATE INDEX ix_volume_snapshot_id_end ON volume_snapshot (reverse(id::text) text_pattern_ops);
CREATE TABLE webhook (
    id uuid NOT NULL CONSTRAINT pk_webhook PRIMARY KEY,
    account_id uuid NOT NULL CONSTRAINT fk_webhook_account_id REFERENCES account (id),
    role varchar(16) NOT NULL
        CONSTRAINT ck_webhook_role CHECK (role IN ('root', 'domain', 'user', 'read_only')),
    url text NOT NULL,
    description text NOT NULL DEFAULT '',
    types text[] NOT NULL DEFAULT '{}',
    level varchar(16) NOT NULL DEFAULT 'info'
        CONSTRAINT ck_webhook_level CHECK (level IN ('info', 'warning', 'error')),
    vm_id uuid CONSTRAINT fk_webhook_vm_id REFERENCES vm (id),
    enabled boolean NOT NULL DEFAULT true,
    generation smallint NOT NULL DEFAULT 1,
    rotated_at timestamptz,
    after_place bigint NOT NULL,
    failures bigint NOT NULL DEFAULT 0,
    failing_since timestamptz,
    resting_until timestamptz,
    pinged_event bigint,
    tried_at timestamptz,
    status smallint,
    error text,
    took_ms bigint,
    busy_until timestamptz,
    suspended_at timestamptz,
    suspended_reason text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX ix_webhook_behind ON webhook (after_place)
    WHERE deleted_at IS NULL AND enabled AND suspended_at IS NULL;
CREATE INDEX ix_webhook_account ON webhook (account_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE TABLE webhook_delivery (
    id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT pk_webhook_delivery PRIMARY KEY,
    webhook_id uuid NOT NULL CONSTRAINT fk_webhook_delivery_webhook_id REFERENCES webhook (id),
    event_id bigint NOT NULL,
    place bigint NOT NULL,
    state varchar(16) NOT NULL DEFAULT 'waiting'
        CONSTRAINT ck_webhook_delivery_state CHECK (state IN ('waiting', 'delivered', 'dead')),
    attempts smallint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    tried_at timestamptz,
    finished_at timestamptz,
    status smallint,
    error text,
    took_ms bigint,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX uq_webhook_delivery_event ON webhook_delivery (webhook_id, event_id);
CREATE INDEX ix_webhook_delivery_waiting ON webhook_delivery (webhook_id, place) WHERE state = 'waiting';
CREATE INDEX ix_webhook_delivery_place ON webhook_delivery (webhook_id, place DESC, id DESC);
CREATE INDEX ix_webhook_delivery_dead ON webhook_delivery (webhook_id, place) WHERE state = 'dead';
CREATE INDEX ix_webhook_delivery_finished ON webhook_delivery (finished_at) WHERE state <> 'waiting';
"""

TRIGRAMS = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') THEN
        CREATE INDEX ix_volume_snapshot_name_trgm ON volume_snapshot USING gin (name gin_trgm_ops);
    END IF;
END $$
"""

DOWN = """
DROP INDEX ix_event_type, ix_job_host, ix_snapshot_in_state, ix_snapshot_size, ix_snapshot_ready,
    ix_snapshot_stood_on, ix_snapshot_held, ix_volume_snapshot_created, ix_volume_snapshot_id_end;
DROP INDEX IF EXISTS ix_volume_snapshot_name_trgm;
DROP TABLE vm_twin;
DROP TABLE made_once;
ALTER TABLE job DROP COLUMN trace;
DROP TABLE webhook_delivery;
DROP TABLE webhook;
DROP TRIGGER note_fresh_events ON event;
DROP FUNCTION note_fresh_events;
DROP FUNCTION place_events;
DROP TABLE event_place;
DROP TABLE event_fresh;
"""


def upgrade() -> None:
    """Add the tables, and give the events that are there their places, by id."""
    connection = op.get_bind()
    connection.exec_driver_sql(UP)
    connection.exec_driver_sql(TRIGRAMS)


def downgrade() -> None:
    """Take them away, with all webhooks; events stay."""
    op.get_bind().exec_driver_sql(DOWN)
