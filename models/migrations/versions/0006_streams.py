"""Streams: the order of events, webhooks and their deliveries, and the trace of a job. What idempotency keys made.

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
"""

DOWN = """
DROP TABLE made_once;
DROP TRIGGER note_fresh_events ON event;
DROP FUNCTION note_fresh_events;
DROP FUNCTION place_events;
DROP TABLE event_place;
DROP TABLE event_fresh;
"""


def upgrade() -> None:
    """Add the tables, and give the events that are there their places, by id."""
    op.get_bind().exec_driver_sql(UP)


def downgrade() -> None:
    """Take them away, with all webhooks; events stay."""
    op.get_bind().exec_driver_sql(DOWN)
