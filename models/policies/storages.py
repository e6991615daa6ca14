"""How many scheduled jobs are under way on each storage: those of all VMs that have a volume there."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.base import quoted
from models.jobs.tables import SCHEDULED, UNFINISHED

#: As a table of `storage_id` and `jobs`.
BUSY = f"""
    SELECT volume.storage_id, count(DISTINCT job.id) AS jobs
    FROM job JOIN volume ON volume.vm_id = job.vm_id
    WHERE job.state IN ({quoted(UNFINISHED)}) AND job.priority >= {SCHEDULED}
    AND volume.why_not IS NULL AND volume.storage_id IS NOT NULL
    GROUP BY volume.storage_id
"""  # noqa: S608

_BUSIEST = f"""
    SELECT coalesce(max(busy.jobs), 0) FROM volume JOIN ({BUSY}) AS busy ON busy.storage_id = volume.storage_id
    WHERE volume.vm_id = :vm AND volume.why_not IS NULL
"""  # noqa: S608


def busiest(session: Session, vm: UUID) -> int:
    """Of the storages that a VM's volumes are on, how many jobs are under way on the busiest."""
    return int(session.scalars(text(_BUSIEST), {"vm": vm}).one())
