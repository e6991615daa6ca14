"""Messages owed to the broker. A job's own row says that it is owed one: `published_at IS NULL`.

Publishing happens inside the transaction that marks it: a crash in between sends a message twice, never not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import TextClause, bindparam, func, text, update
from sqlalchemy.orm import Session
from sqlalchemy.types import BigInteger, Text, Uuid

from models.base import quoted
from models.jobs.line import ABSENT, HOST_SILENT_S, KEPT_BACK, ON_TWO
from models.jobs.tables import Job
from stillframe.states import HELD

#: A job is owed a message once nothing keeps it back, or when its worker let its lease lapse.
_OWED = f"""
    SELECT job.id AS job_id, job.kind, host.name AS host, job.vm_name, CASE job.kind
            WHEN 'prune_snapshots'
            THEN (SELECT count(*) || ' snapshots' FROM job_snapshot WHERE job_id = job.id AND spared IS NULL)
            ELSE coalesce(snapshot.name, '') END AS snapshot_name,
        job.priority, job.publish_count
    FROM job JOIN host ON host.id = job.host_id LEFT JOIN snapshot ON snapshot.id = job.snapshot_id
    WHERE job.published_at IS NULL AND (job.vm_id = :vm OR :vm IS NULL)
    AND (host.name = :host OR :host IS NULL)
    AND (job.state = 'queued' AND coalesce(job.next_attempt_at <= now(), true) AND NOT {KEPT_BACK}
         OR job.state IN ({quoted(HELD)}) AND job.lease_until <= now() AND NOT {ABSENT} AND NOT {ON_TWO})
    ORDER BY job.priority, job.created_at, job.id
    LIMIT :limit
    FOR NO KEY UPDATE OF job SKIP LOCKED
"""  # noqa: S608

_FORGOTTEN = f"""
    UPDATE job SET published_at = NULL FROM host
    WHERE host.id = job.host_id AND job.state = 'queued'
    AND job.published_at < now() - make_interval(secs => :after_s * least(greatest(job.publish_count, 1), 60))
    AND host.last_seen_at > now() - interval '{HOST_SILENT_S} s'
    AND NOT {KEPT_BACK}
    RETURNING job.id
"""  # noqa: S608


@dataclass(frozen=True)
class Owed:
    """A message to be sent: where to, how soon, and words for people."""

    job_id: UUID
    kind: str
    host: str
    vm_name: str
    snapshot_name: str
    priority: int
    publish_count: int


def owed(session: Session, limit: int, vm: UUID | None = None, host: str | None = None) -> list[Owed]:
    """Messages owed, the soonest first, of all or of one VM or host; their rows stay locked until the transaction ends."""
    rows = session.execute(_typed(_OWED), {"limit": limit, "vm": vm, "host": host})
    return [Owed(**row._mapping) for row in rows]


def mark_published(session: Session, jobs: Sequence[UUID]) -> None:
    """These have been sent; call in the transaction of `owed`, after sending.

    Its commit does not wait for the disk: a mark that is lost in a power cut sends a message twice.
    """
    marked = update(Job).where(Job.id.in_(jobs))
    marked = marked.values(published_at=func.now(), publish_count=Job.publish_count + 1)
    session.execute(marked.returning(func.set_config("synchronous_commit", "off", True)))


def forgotten(session: Session, after_s: float = 60.0) -> list[UUID]:
    """Owe again a message to queued jobs that nobody took up, as when the broker was flushed.

    Each time it waits longer: a host that is only busy gets few messages too many.
    """
    return list(session.scalars(text(_FORGOTTEN), {"after_s": after_s}))


def _typed(statement: str) -> TextClause:
    return text(statement).bindparams(
        bindparam("vm", type_=Uuid()), bindparam("host", type_=Text()), bindparam("limit", type_=BigInteger())
    )
