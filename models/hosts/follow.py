"""A VM that moves to another host takes with it what waits for it, what stands half done, and its snapshots."""

from uuid import UUID

from sqlalchemy import Uuid, bindparam, text, update
from sqlalchemy.orm import Session

from models.base import quoted
from models.snapshots.tables import Snapshot
from stillframe.states import HELD, SnapshotState

#: A job in a worker's hands stays where it is: its worker lets it go, or its lease lapses, and then it follows. The
#: deletion of an extracted volume stays with its image.
_FOLLOW = f"""
WITH moved AS (
    UPDATE job SET host_id = vm.host_id, published_at = NULL, next_attempt_at = NULL
    FROM vm, job AS before
    WHERE vm.id = job.vm_id AND before.id = job.id AND NOT vm.gone AND vm.host_id <> job.host_id
    AND (job.state = 'queued' OR job.state IN ({quoted(HELD)}) AND job.lease_until <= now())
    AND (job.vm_id = :vm OR :vm IS NULL) AND job.kind <> 'delete_volume'
    RETURNING job.id, job.vm_id, job.snapshot_id, job.volume_snapshot_id, job.host_id, job.account_id,
        before.host_id AS left_id
), made AS (
    UPDATE volume_snapshot SET host_id = moved.host_id FROM moved
    WHERE volume_snapshot.id = moved.volume_snapshot_id AND volume_snapshot.state = 'creating'
), told AS (
    INSERT INTO event (type, level, actor, vm_id, snapshot_id, job_id, host_id, account_id, message, data)
    SELECT 'job.followed', 'info', 'stillframe', moved.vm_id, moved.snapshot_id, moved.id, moved.host_id,
        moved.account_id, 'from host ' || was.name || ' to host ' || now.name,
        jsonb_build_object('from', was.name, 'to', now.name)
    FROM moved JOIN host AS was ON was.id = moved.left_id JOIN host AS now ON now.id = moved.host_id
)
SELECT id FROM moved
"""  # noqa: S608


def follow(session: Session, vm: UUID | None = None) -> list[UUID]:
    """Send the jobs of a VM, or of all VMs, to the host that has the VM now; returns those that went.

    An attempt that still thinks it holds one is fenced off by the number of the next.
    """
    statement = text(_FOLLOW).bindparams(bindparam("vm", type_=Uuid()))
    return list(session.scalars(statement, {"vm": vm}))


def move_vm(session: Session, vm: UUID, host: UUID) -> None:
    """What belongs to a VM whose row says `host` now. Volume snapshots that are ready stay with the host that made them."""
    session.execute(
        update(Snapshot)
        .where(Snapshot.vm_id == vm, Snapshot.host_id != host, Snapshot.state != SnapshotState.DELETED)
        .values(host_id=host)
    )
    follow(session, vm)
