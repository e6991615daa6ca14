"""Which snapshots a job is about: the one in its row, or those it deletes together, less what was spared."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, any_, exists, func, or_, select, union_all

from models.base import AnyRow, Sql
from models.jobs.tables import UNFINISHED, Job, JobSnapshot
from models.snapshots.tables import Snapshot
from stillframe.operations import DELETIONS


def snapshots_of(sql: Sql, job: UUID) -> list[UUID]:
    """Their ids, the oldest first."""
    one = select(Job.snapshot_id).where(Job.id == job, Job.snapshot_id.is_not(None))
    several = select(JobSnapshot.snapshot_id).where(JobSnapshot.job_id == job, JobSnapshot.spared.is_(None))
    ids = union_all(one, several).subquery()
    of = select(Snapshot.id).join(ids, ids.c.snapshot_id == Snapshot.id)
    return list(sql.scalars(of.order_by(Snapshot.created_at, Snapshot.id)))


def is_about(snapshot: UUID, one: Any = Job) -> ColumnElement[bool]:
    """Of a job: whether it is, or was to be, about this snapshot. Each side finds it by its own index."""
    together = select(JobSnapshot.job_id).where(JobSnapshot.snapshot_id == snapshot).scalar_subquery()
    return or_(one.snapshot_id == snapshot, one.id == any_(func.array(together)))


def is_wanted() -> ColumnElement[bool]:
    """Of the row `snapshot`: whether any job that has not ended is about it."""
    under_way = Job.state.in_(sorted(UNFINISHED))
    together = exists().where(
        JobSnapshot.snapshot_id == Snapshot.id, JobSnapshot.spared.is_(None), JobSnapshot.job_id == Job.id
    )
    return or_(exists().where(Job.snapshot_id == Snapshot.id, under_way), together.where(under_way))


def deletions_of(sql: Sql, snapshots: Collection[UUID]) -> dict[UUID, UUID]:
    """By snapshot, the unfinished job that is to delete it; those that nobody wants deleted are not in it."""
    under_way = (Job.kind.in_(sorted(DELETIONS)), Job.state.in_(sorted(UNFINISHED)))
    one = select(Job.snapshot_id, Job.id).where(Job.snapshot_id.in_(snapshots), *under_way)
    several = (
        select(JobSnapshot.snapshot_id, Job.id)
        .join(Job, Job.id == JobSnapshot.job_id)
        .where(JobSnapshot.snapshot_id.in_(snapshots), JobSnapshot.spared.is_(None), *under_way)
    )
    found: Sequence[AnyRow] = sql.execute(union_all(one, several)).all()
    return {row[0]: row[1] for row in found}
