"""Volume snapshots, when something is to be done with one."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from models.base import Sql
from models.jobs.tables import UNFINISHED, Job, Step
from models.snapshots.tables import VolumeSnapshot
from models.tenants.actor import Actor
from models.tenants.scope import mine
from stillframe.errors import VolumeSnapshotNotFound
from stillframe.operations import DeleteVolume
from stillframe.rules import VolumeSnapshotFacts


def lock_volume(session: Session, actor: Actor, wanted: str) -> VolumeSnapshot:
    """One by its id, locked so that requests about it take turns; raises VolumeSnapshotNotFound."""
    return _one(session, _of_id(actor, wanted).with_for_update(key_share=True), wanted)


def find_volume(session: Session, actor: Actor, wanted: str) -> VolumeSnapshot:
    """One to be looked at; raises VolumeSnapshotNotFound."""
    return _one(session, _of_id(actor, wanted), wanted)


def _of_id(actor: Actor, wanted: str) -> Select[VolumeSnapshot]:
    of = select(VolumeSnapshot).where(VolumeSnapshot.id == _id(wanted))
    return of.where(mine(actor, VolumeSnapshot.account_id))


def _one(session: Session, of: Select[VolumeSnapshot], wanted: str) -> VolumeSnapshot:
    found = session.scalars(of.execution_options(populate_existing=True)).one_or_none()
    if found is None:
        raise VolumeSnapshotNotFound(volume=wanted)
    return found


def volume_facts(session: Session, row: VolumeSnapshot) -> VolumeSnapshotFacts:
    """What the rules want to know of it."""
    return VolumeSnapshotFacts(row.name, row.state, volume_deletions(session, [row.id]).get(row.id))


def volume_deletions(sql: Sql, volumes: Collection[UUID]) -> dict[UUID, UUID]:
    """By volume snapshot, the unfinished job that is to delete it."""
    asked = select(Job.volume_snapshot_id, Job.id).where(
        Job.volume_snapshot_id.in_(volumes),
        Job.kind == DeleteVolume.kind,
        Job.state.in_(sorted(UNFINISHED)),
    )
    return {row[0]: row[1] for row in sql.execute(asked) if row[0]}


def path_of(session: Session, volume: UUID) -> str | None:
    """Where its image lies, or would lie had its extraction not failed; None if that had not begun."""
    path = session.scalars(select(VolumeSnapshot.path).where(VolumeSnapshot.id == volume)).one()
    if path is not None:
        return path
    planned = (
        select(Step.output["path"].astext)
        .join(Job, Job.id == Step.job_id)
        .where(Job.volume_snapshot_id == volume, Step.name == "check_snapshot")
    )
    return session.scalars(planned).first()


def _id(wanted: str) -> UUID:
    try:
        return UUID(wanted)
    except ValueError:
        raise VolumeSnapshotNotFound(volume=wanted) from None
