"""Firings that nobody asks for any more: what came to nothing long ago, and what became of snapshots that are gone."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Interval, Uuid, bindparam, text
from sqlalchemy.orm import Session

#: By their ids, which begin with when they were written: no index is needed for what is old.
_FORGET = """
    WITH old AS (
        SELECT firing.id, firing.decided_at < now() - :age AND firing.extract_due_at IS NULL
            AND firing.state IN ('missed', 'skipped', 'refused', 'succeeded', 'failed')
            AND NOT EXISTS (
                SELECT FROM job JOIN snapshot ON snapshot.id = job.snapshot_id
                WHERE job.id = firing.job_id AND snapshot.state <> 'deleted'
            ) AS is_over
        FROM firing WHERE firing.id > :behind AND firing.id < (
            lpad(to_hex(greatest(extract(epoch FROM now() - :age) * 1000, 0)::bigint), 12, '0') || repeat('0', 20)
        )::uuid
        ORDER BY firing.id LIMIT :limit
    ), gone AS (
        DELETE FROM firing USING old WHERE firing.id = old.id AND old.is_over RETURNING firing.id
    )
    SELECT (SELECT count(*) FROM old) AS looked, (SELECT count(*) FROM gone) AS forgotten,
        (SELECT id FROM old ORDER BY id DESC LIMIT 1) AS last
"""


@dataclass(frozen=True)
class Forgotten:
    """How many rows are gone, and behind which one to go on; `last` is None if nothing old stands behind it."""

    firings: int
    last: UUID | None


BEGIN = UUID(int=0)


def forget(session: Session, age: timedelta, behind: UUID = BEGIN, limit: int = 2000) -> Forgotten:
    """The oldest firings behind one, of those decided longer ago than `age`: what waits or has a snapshot stays."""
    typed = text(_FORGET).bindparams(
        bindparam("age", type_=Interval()),
        bindparam("behind", type_=Uuid()),
    )
    row = session.execute(typed, {"age": age, "behind": behind, "limit": limit}).one()
    return Forgotten(row.forgotten, row.last if row.looked == limit else None)
