"""How a job ends: what its end means for the snapshot it was about, kind by kind. All of one end is one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from models.base import Json
from models.events.tables import Comment
from models.hosts.follow import follow
from models.hosts.machine import leave, lock_vm, record_vm
from models.hosts.tables import Host
from models.jobs.tables import Job, Step
from models.moves import Told, move_job, move_snapshot, move_volume_snapshot, now_plus, tell
from models.policies import images
from models.snapshots.foreign import is_still_there
from models.snapshots.tables import Snapshot, SnapshotLayer
from stillframe.errors import Cancelled, LostRace, VmGone
from stillframe.events import EventType, Level
from stillframe.operations import DELETIONS, CreateSnapshot, ExtractVolume
from stillframe.seen import VmSeen
from stillframe.states import JobState, SnapshotState, VolumeSnapshotState

#: Facts of a finished creation and extraction that are columns of their rows.
_CREATED = ("consistency", "pause_ms", "freeze_ms", "memory_bytes", "folder", "type")
_EXTRACTED = ("path", "format", "virtual_bytes", "size_bytes", "sha256", "name")

#: What the jobs of these kinds come to is in the row of what they make.
_MAKES = frozenset({CreateSnapshot.kind, ExtractVolume.kind})
#: The steps of deletions that give snapshots up.
_GIVES_UP = ("drop_reference", "remove_internal")
_LONGEST_WAIT_S = 300.0
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class End:
    """The ending job, and the attempt that ends it."""

    job_id: UUID
    number: int
    kind: str
    actor: str
    vm_id: UUID
    snapshot_id: UUID | None
    #: All that it is about: of one that deletes several together, those that were not spared.
    about: tuple[UUID, ...]
    volume_snapshot_id: UUID | None


def succeed(session: Session, end: End, facts: Json, seen: VmSeen | None) -> None:
    """The job has done what was asked."""
    lock_vm(session, end.vm_id)
    result = None if end.kind in _MAKES else facts
    told = Told(EventType.JOB_SUCCEEDED, end.actor, data=result or {})
    _finish_job(session, end, JobState.SUCCEEDED, told, result=result)
    _SUCCEEDED[end.kind](session, end, facts)
    _record(session, end, seen)


def fail(session: Session, end: End, error: Json, seen: VmSeen | None, *, cancelled: bool) -> None:
    """The job has come back to where it began."""
    lock_vm(session, end.vm_id)
    if cancelled:
        _finish_job(
            session,
            end,
            JobState.CANCELLED,
            _told(EventType.JOB_CANCELLED, end, error, Level.INFO),
            error=error,
        )
    else:
        _finish_job(
            session, end, JobState.FAILED, _told(EventType.JOB_FAILED, end, error, Level.ERROR), error=error
        )
    _FAILED[end.kind](session, end, error, seen)
    _record(session, end, seen)


def stuck(session: Session, end: End, error: Json, seen: VmSeen | None, found: Json) -> None:
    """The job waits for a person; `found` is how the machine was found afterwards."""
    lock_vm(session, end.vm_id)
    error = error | {"evidence": error.get("evidence", {}) | {"found": found}}
    give_up(session, end.job_id, end.actor, error, attempt=end.number)
    _record(session, end, seen)


def give_up(
    session: Session,
    job: UUID,
    actor: str,
    error: Json,
    *,
    attempt: int,
    values: Mapping[str, Any] = _NOTHING,
) -> None:
    """The job waits for a person; what it was about stays marked as in the middle of it.

    Its evidence keeps which way it was going (`was`), where, and, if that was back, why it had turned back.
    """
    before = session.execute(select(Job.state, Job.phase, Job.error).where(Job.id == job)).one()
    steps = session.execute(select(Step.name, Step.state).where(Step.job_id == job).order_by(Step.seq))
    evidence = error.get("evidence", {}) | {
        "was": before.state.value,
        "phase": before.phase,
        "steps": {step.name: step.state.value for step in steps},
    }
    if before.state is JobState.UNDOING:
        evidence["turned_back"] = before.error
    error = error | {"evidence": evidence}
    told = Told(EventType.JOB_STUCK, actor, Level.ERROR, str(error.get("detail", "")), {"error": error})
    values = {"error": error, "lease_until": None, **values}
    move_job(session, job, JobState.STUCK, told, values, attempt=attempt)


def turn_back(session: Session, end: End, error: Json) -> None:
    """The job goes back from here on."""
    told = _told(EventType.JOB_TURNED_BACK, end, error, Level.WARNING)
    move_job(session, end.job_id, JobState.UNDOING, told, {"error": error}, attempt=end.number)


def requeue(session: Session, end: End, error: Json) -> None:
    """The job goes back into the line with a clean slate; each time it waits longer."""
    wait_s = min(5.0 * 2 ** min(end.number - 1, 10), _LONGEST_WAIT_S)
    told = _told(EventType.JOB_REQUEUED, end, error, Level.WARNING, wait_s=wait_s)
    values = {
        **dict.fromkeys(("worker", "lease_until", "phase", "progress", "published_at", "started_at")),
        "next_attempt_at": now_plus(wait_s),
    }
    move_job(session, end.job_id, JobState.QUEUED, told, values, attempt=end.number)
    session.execute(delete(Step).where(Step.job_id == end.job_id))
    if end.kind not in _MAKES:
        for snapshot in end.about:
            release_snapshot(session, snapshot)


def back_into_line(session: Session, end: End, error: Json) -> Json | None:
    """It is queued again; or, if somebody wants it to stop, cancelled: then returns the error that it ends with."""
    lock_vm(session, end.vm_id)
    asked = select(Job.cancel_requested_at).where(Job.id == end.job_id).with_for_update(key_share=True)
    if session.scalars(asked).one() is None:
        requeue(session, end, error)
        return None
    cancelled = Cancelled().to_json()
    turn_back(session, end, cancelled)
    fail(session, end, cancelled, None, cancelled=True)
    return cancelled


def missing(session: Session, end: End, *, begun: bool) -> Json | None:
    """The job's VM is not on its host: it goes on where the VM is, or will be seen.

    One that has `begun` stands as it is, and no host holds it any more; one that has not goes `back_into_line`.
    """
    vm = lock_vm(session, end.vm_id)
    of = select(Job.state, Job.host_id, Job.vm_name, Host.name).join(Host).where(Job.id == end.job_id)
    job = session.execute(of).one()
    error = VmGone(vm=job.vm_name, host=job.name).to_json()
    if begun:
        told = _told(EventType.JOB_LET_GO, end, error, Level.WARNING)
        values = {"worker": None, "lease_until": func.now(), "published_at": None}
        move_job(session, end.job_id, job.state, told, values, attempt=end.number)
    cancelled = None if begun else back_into_line(session, end, error)
    if vm is not None and vm.host_id == job.host_id and not vm.gone:
        leave(session, vm)
    follow(session, end.vm_id)
    return cancelled


def release_snapshot(session: Session, snapshot: UUID) -> None:
    """A snapshot that a revert or deletion had taken is again what it was: ready, or in error with its reason."""
    before = session.execute(select(Snapshot.state, Snapshot.error).where(Snapshot.id == snapshot)).one()
    spoiled = before.state is SnapshotState.DELETING and before.error is not None
    move_snapshot(session, snapshot, SnapshotState.ERROR if spoiled else SnapshotState.READY)


def abandon(session: Session, job: UUID, kind: str, error: Json, actor: str) -> None:
    """What a job would have made, had it begun, is not made: its rows say why and block nothing."""
    made = session.execute(select(Job.snapshot_id, Job.volume_snapshot_id).where(Job.id == job)).one()
    if kind == "create_snapshot":
        told = Told(EventType.SNAPSHOT_FAILED, actor, Level.WARNING, error["detail"])
        move_snapshot(session, made.snapshot_id, SnapshotState.ERROR, told=told, job=job, error=error)
    elif kind == "extract_volume":
        move_volume_snapshot(session, made.volume_snapshot_id, VolumeSnapshotState.ERROR, error=error)


def close_unseen(session: Session, end: End, error: Json, recovery: Json) -> None:
    """A stuck job is closed without a look at its host: what it was about is marked as the worst it can be."""
    told = _told(EventType.JOB_FAILED, end, error, Level.ERROR)
    # The number moves on: should a host that was thought lost come back, its worker writes nothing any more.
    fenced = {"attempt": end.number + 1, "worker": None, "lease_until": None}
    values = {"error": error, "finished_at": func.now(), "recovery": recovery, **fenced}
    move_job(session, end.job_id, JobState.FAILED, told, values, attempt=end.number)
    if end.kind == "revert_snapshot":
        release_snapshot(session, _snapshot(end))
    elif end.kind in DELETIONS:
        told = Told(EventType.SNAPSHOT_FAILED, end.actor, Level.ERROR, error["detail"])
        for snapshot in end.about:
            move_snapshot(session, snapshot, SnapshotState.ERROR, told=told, job=end.job_id, error=error)
    else:
        abandon(session, end.job_id, end.kind, error, end.actor)


def _created(session: Session, end: End, facts: Json) -> None:
    move_snapshot(
        session,
        _snapshot(end),
        SnapshotState.READY,
        told=Told(EventType.SNAPSHOT_READY, end.actor, data=_some(facts, _CREATED)),
        job=end.job_id,
        ready_at=func.now(),
        **_some(facts, _CREATED),
    )


def _reverted(session: Session, end: End, facts: Json) -> None:
    told = Told(EventType.SNAPSHOT_REVERTED, end.actor, data=facts)
    move_snapshot(session, _snapshot(end), SnapshotState.READY, told=told, job=end.job_id)


def _deleted(session: Session, end: End, facts: Json) -> None:
    # Of several, nobody can tell whose the bytes were that went with all of them: they are on the job.
    data = facts if len(end.about) == 1 else {"together": len(end.about)}
    told = Told(EventType.SNAPSHOT_DELETED, end.actor, data=data)
    for gone in end.about:
        _forget(session, end, gone, told)


def _forget(session: Session, end: End, gone: UUID, told: Told) -> None:
    move_snapshot(
        session,
        gone,
        SnapshotState.DELETED,
        told=told,
        job=end.job_id,
        current=False,
        size_bytes=0,
        error=None,
    )
    # Behind the move, which waits for whoever is commenting: no comment comes after it.
    session.execute(delete(Comment).where(Comment.snapshot_id == gone))
    above = select(Snapshot.parent_id).where(Snapshot.id == gone).scalar_subquery()
    session.execute(update(Snapshot).where(Snapshot.parent_id == gone).values(parent_id=above))
    session.execute(delete(SnapshotLayer).where(SnapshotLayer.snapshot_id == gone))


def _extracted(session: Session, end: End, facts: Json) -> None:
    made = _some(facts, _EXTRACTED)
    move_volume_snapshot(
        session, end.volume_snapshot_id, VolumeSnapshotState.READY, ready_at=func.now(), **made
    )
    _tell(session, end, Told(EventType.VOLUME_EXTRACTED, end.actor, data=_ids(end) | made))
    images.is_new(session, end.volume_snapshot_id)


def _volume_deleted(session: Session, end: End, facts: Json) -> None:
    gone = {"size_bytes": 0, "error": None}
    move_volume_snapshot(session, end.volume_snapshot_id, VolumeSnapshotState.DELETED, **gone)
    _tell(session, end, Told(EventType.VOLUME_DELETED, end.actor, data=_ids(end) | facts))


def _not_made(session: Session, end: End, error: Json, _seen: VmSeen | None) -> None:
    abandon(session, end.job_id, end.kind, error, end.actor)


def _not_reverted(session: Session, end: End, _error: Json, _seen: VmSeen | None) -> None:
    release_snapshot(session, _snapshot(end))


def _as_it_was(_session: Session, _end: End, _error: Json, _seen: VmSeen | None) -> None:
    """What is not deleted stays what it is."""


def _not_deleted(session: Session, end: End, error: Json, seen: VmSeen | None) -> None:
    """Each is as it was if nothing was done to any, and else what the host shows of it."""
    whole = not _may_be_given_up(session, end)
    told = _told(EventType.SNAPSHOT_FAILED, end, error, Level.ERROR)
    for snapshot in end.about:
        if whole or (seen and (_is_frozen(snapshot, seen) or is_still_there(session, snapshot, seen))):
            release_snapshot(session, snapshot)
        else:
            move_snapshot(session, snapshot, SnapshotState.ERROR, told=told, job=end.job_id, error=error)


_SUCCEEDED = {
    "create_snapshot": _created,
    "revert_snapshot": _reverted,
    "delete_snapshot": _deleted,
    "prune_snapshots": _deleted,
    "extract_volume": _extracted,
    "delete_volume": _volume_deleted,
}
_FAILED = {
    "create_snapshot": _not_made,
    "revert_snapshot": _not_reverted,
    "delete_snapshot": _not_deleted,
    "prune_snapshots": _not_deleted,
    "extract_volume": _not_made,
    "delete_volume": _as_it_was,
}


def _is_frozen(snapshot: UUID, seen: VmSeen) -> bool:
    return seen.tree is not None and snapshot in seen.tree.frozen


def _may_be_given_up(session: Session, end: End) -> bool:
    """Whether a snapshot may be no reference any more. A deletion that was stopped is so without having passed no return."""
    passed = session.scalars(select(Job.no_return_at).where(Job.id == end.job_id)).one()
    dropped = select(Step.name).where(Step.job_id == end.job_id, Step.name.in_(_GIVES_UP))
    return passed is not None or session.scalar(dropped.limit(1)) is not None


def _finish_job(session: Session, end: End, to: JobState, told: Told, **values: Any) -> None:
    values = {"error": None, **values, "lease_until": None, "finished_at": func.now()}
    move_job(session, end.job_id, to, told, values, attempt=end.number)


def _record(session: Session, end: End, seen: VmSeen | None) -> None:
    if seen is not None:
        host = session.scalars(select(Job.host_id).where(Job.id == end.job_id)).one()
        record_vm(session, host, seen)


def _told(type_: EventType, end: End, error: Json, level: Level, **data: Any) -> Told:
    return Told(type_, end.actor, level, str(error.get("detail", "")), {"error": error, **data})


def _tell(session: Session, end: End, told: Told) -> None:
    host = session.scalars(select(Job.host_id).where(Job.id == end.job_id)).one()
    tell(session, told, vm=end.vm_id, snapshot=end.snapshot_id, job=end.job_id, host=host)


def _snapshot(end: End) -> UUID:
    if end.snapshot_id is None:
        raise LostRace(what=f"job {end.job_id}", expected="about a snapshot", found="about none")
    return end.snapshot_id


def _ids(end: End) -> Json:
    return {"volume_snapshot_id": str(end.volume_snapshot_id)}


def _some(facts: Json, names: tuple[str, ...]) -> Json:
    return {name: facts[name] for name in names if name in facts}
