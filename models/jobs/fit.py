"""Whether what a job is about still fits it when it begins: much may have happened while it stood in the line.

A job about one snapshot is refused then. Of several that are to be deleted, those that may not are spared, with the
reason, and the others go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models.base import AnyRow
from models.jobs.about import snapshots_of
from models.jobs.asking import facts_of
from models.jobs.tables import UNFINISHED, Job, JobSnapshot
from models.moves import Told, tell
from models.policies.kept import judge
from models.policies.tables import Policy
from models.snapshots.tables import Snapshot
from models.vms.tables import Vm
from stillframe.errors import KeptByPolicy, NothingToDelete, SnapshotInUse, SnapshotNotReady, StillframeError
from stillframe.events import EventType, Level
from stillframe.operations import DELETIONS, PruneSnapshots
from stillframe.rules import check_delete
from stillframe.states import SnapshotState

_FIT = {
    "create_snapshot": {SnapshotState.CREATING},
    "revert_snapshot": {SnapshotState.READY},
    "delete_snapshot": {SnapshotState.READY, SnapshotState.ERROR},
    "prune_snapshots": {SnapshotState.READY, SnapshotState.ERROR},
    "extract_volume": {SnapshotState.READY},
}
_ACTOR = "stillframe"

Refusals = Mapping[UUID, StillframeError]


def rows_of(session: Session, job: UUID) -> list[Snapshot]:
    """The snapshots that a job is about, locked: who holds one, and who begins to delete it, take turns."""
    of = select(Snapshot).where(Snapshot.id.in_(snapshots_of(session, job))).order_by(Snapshot.id)
    return list(session.scalars(of.with_for_update(key_share=True)))


def fitting(session: Session, job: AnyRow) -> list[Snapshot]:
    """What the job begins with; raises the refusal if that is nothing."""
    rows = rows_of(session, job.id)
    refusals = {row.id: error for row in rows if (error := _unfit(session, job, row))}
    if job.kind == PruneSnapshots.kind:
        return _spared(session, job, rows, _claimed_by_others(session, job, rows) | refusals)
    for error in refusals.values():
        raise error
    return rows


def _unfit(session: Session, job: AnyRow, row: Snapshot) -> StillframeError | None:
    if row.state not in _FIT[job.kind]:
        return SnapshotNotReady(snapshot=row.name, state=row.state)
    if job.kind in DELETIONS:
        facts = facts_of(session, row, session.get_one(Vm, row.vm_id))
        try:
            check_delete(replace(facts, deletion=None))  # which is this job
        except StillframeError as refusal:
            return refusal
    return None


def _claimed_by_others(
    session: Session, job: AnyRow, rows: Sequence[Snapshot]
) -> dict[UUID, StillframeError]:
    """Those that other jobs are to use, and those that the policy keeps as things stand by now."""
    names = {row.id: row.name for row in rows}
    using = select(Job.snapshot_id, Job.id).where(
        Job.snapshot_id.in_(names), Job.state.in_(sorted(UNFINISHED))
    )
    found: dict[UUID, StillframeError] = {
        row.snapshot_id: SnapshotInUse(snapshot=names[row.snapshot_id], job=row.id)
        for row in session.execute(using)
    }
    if policy := job.request.get("policy_id"):
        found |= _kept(session, UUID(policy), job, names)
    return found


def _kept(session: Session, policy: UUID, job: AnyRow, names: Mapping[UUID, str]) -> Refusals:
    row = session.get_one(Policy, policy, populate_existing=True)
    if why := _stands_still(session, row):
        return {id_: KeptByPolicy(snapshot=name, policy=row.name, why=why) for id_, name in names.items()}
    return {
        verdict.id: KeptByPolicy(snapshot=names[verdict.id], policy=row.name, why="; ".join(verdict.reasons))
        for judged in judge(session, policy, [job.vm_id], but=job.id)
        for verdict in judged.verdicts
        if verdict.keep and verdict.id in names
    }


def _stands_still(session: Session, policy: Policy) -> str | None:
    """Why it prunes nothing at this moment, if it does not."""
    if policy.deleted_at is not None:
        return "it was deleted, and prunes nothing any more"
    if policy.suspended_at is not None:
        return "it has suspended itself, and prunes nothing until it is resumed"
    now = session.scalars(select(func.now())).one()
    if not policy.enabled or (policy.paused_until is not None and policy.paused_until > now):
        return "it is paused, and prunes nothing"
    return None


def _spared(session: Session, job: AnyRow, rows: Sequence[Snapshot], refusals: Refusals) -> list[Snapshot]:
    left = [row for row in rows if row.id not in refusals]
    for id_, error in refusals.items():
        said = error.to_json()
        session.execute(
            update(JobSnapshot)
            .where(JobSnapshot.job_id == job.id, JobSnapshot.snapshot_id == id_)
            .values(spared=said)
        )
        told = Told(EventType.SNAPSHOT_SPARED, _ACTOR, Level.WARNING, error.detail, {"error": said})
        tell(session, told, vm=job.vm_id, snapshot=id_, job=job.id, host=job.host_id)
    if not left:
        why = " ".join(error.detail for error in refusals.values())
        raise NothingToDelete(count=len(rows), why=why or "they are deleted already.")
    return left
