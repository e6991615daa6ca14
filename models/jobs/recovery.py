"""What a person decided about a stuck job, written down: the next worker takes it up as it would after any death."""

from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Connection, Engine, func, literal_column, select
from sqlalchemy.orm import Session

from models.base import AnyRow, Json
from models.hosts.follow import follow
from models.hosts.machine import lock_vm
from models.hosts.tables import Host
from models.jobs import outcome
from models.jobs.about import snapshots_of
from models.jobs.line import ABSENT, HOST_SILENT_S
from models.jobs.tables import Job
from models.moves import Told, move_job, tell
from models.session import transaction
from stillframe.errors import ClosedUnseen, JobNotFound
from stillframe.events import EventType
from stillframe.recovering import Standing, Way, check
from stillframe.states import HELD, JobState

_FACTS = select(
    *(Job.id, Job.kind, Job.state, Job.attempt, Job.phase, Job.error, Job.no_return_at, Job.vm_id),
    *(Job.snapshot_id, Job.volume_snapshot_id, Job.host_id, Host.name.label("host")),
    func.now().label("now"),
    (Job.state.in_(sorted(HELD)) & (Job.lease_until <= func.now())).label("lapsed"),
    Job.worker.is_(None).label("let_go"),
    literal_column(ABSENT, Boolean).label("absent"),
    (Host.last_seen_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, HOST_SILENT_S)).label("silent"),
).join(Host, Host.id == Job.host_id)


def recover(engine: Engine, job: UUID, way: Way, actor: str, note: str = "") -> UUID:
    """Go one of the ways out of `stuck`; returns the id of the job's VM, whose next message is owed.

    Raises JobNotFound, JobNotStuck or RollbackTooLate. There is no second path for such a job: it is put where it would
    be had its worker died, with a lease that has lapsed, and is claimed like any other.
    """
    with transaction(engine) as session:
        vm = session.scalars(select(Job.vm_id).where(Job.id == job)).one_or_none()
        if vm is None:
            raise JobNotFound(job=job)
        lock_vm(session, vm)
        row = session.execute(_FACTS.where(Job.id == job).with_for_update(of=Job, key_share=True)).one()
        standing = _standing(row)
        check(way, standing)
        decided = {"action": way.value, "actor": actor, "at": row.now.isoformat(), "note": note}
        if way is Way.MARK_DONE and standing.unseen:
            _close_unseen(session, row, decided, standing.unseen)
        else:
            _send_on(session, row, way, decided, back=way is Way.ROLLBACK or standing.back)
            follow(session, vm)
    return vm


def standing_of(connection: Connection, job: UUID) -> Standing:
    """What the rules want to know of a job; raises JobNotFound."""
    row = connection.execute(_FACTS.where(Job.id == job)).one_or_none()
    if row is None:
        raise JobNotFound(job=job)
    return _standing(row)


def _standing(row: AnyRow) -> Standing:
    unseen = f"host {row.host} is silent" if row.silent else None
    unseen = "its VM is on no host that is known" if row.absent else unseen
    was = _evidence(row).get("was", JobState.RUNNING) if row.state is JobState.STUCK else row.state
    return Standing(
        job=row.id,
        kind=row.kind,
        state=row.state,
        was=JobState(was),
        phase=str(row.phase or "the beginning").replace("_", " "),
        no_return=row.no_return_at is not None,
        host=row.host,
        unseen=unseen,
        adrift=bool(row.lapsed and (row.silent or (row.let_go and row.absent))),
    )


def _send_on(session: Session, row: AnyRow, way: Way, decided: Json, *, back: bool) -> None:
    undoes = back and way is not Way.MARK_DONE
    values: dict[str, Any] = {
        "error": _evidence(row).get("turned_back", row.error) if undoes else None,
        # The number moves on: whoever held it when it became stuck writes nothing any more.
        "attempt": row.attempt + 1,
        "worker": None,
        "lease_until": func.now(),
        "published_at": None,
        "deaths": 0,
        "recovery": decided,
    }
    to = JobState.UNDOING if undoes else JobState.RUNNING
    move_job(session, row.id, to, _told(decided), values, attempt=row.attempt)


def _close_unseen(session: Session, row: AnyRow, decided: Json, why: str) -> None:
    error = ClosedUnseen(job=row.id, by=decided["actor"], why=why, note=decided["note"]).to_json()
    error["evidence"]["stuck"] = row.error
    tell(session, _told(decided), vm=row.vm_id, snapshot=row.snapshot_id, job=row.id, host=row.host_id)
    end = outcome.End(
        job_id=row.id,
        number=row.attempt,
        kind=row.kind,
        actor=decided["actor"],
        vm_id=row.vm_id,
        snapshot_id=row.snapshot_id,
        about=tuple(snapshots_of(session, row.id)),
        volume_snapshot_id=row.volume_snapshot_id,
    )
    if row.state is JobState.RUNNING:
        outcome.turn_back(session, end, error)
    outcome.close_unseen(session, end, error, decided)


def _evidence(row: AnyRow) -> Json:
    found: Json = (row.error or {}).get("evidence") or {}
    return found


def _told(decided: Json) -> Told:
    return Told(EventType.JOB_RECOVERED, decided["actor"], message=decided["note"], data=decided)
