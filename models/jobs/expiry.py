"""Jobs that are not waited for any longer: those not begun in time, and those whose VM stays away."""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Engine, func, text
from sqlalchemy.orm import Session

from models.base import AnyRow, Json, quoted
from models.jobs import outcome
from models.jobs.line import ABSENT
from models.jobs.waiting import waiting
from models.moves import Told, move_job
from models.session import transaction
from stillframe.errors import JobExpired, VmGone
from stillframe.events import EventType, Level
from stillframe.states import HELD, JobState

_ACTOR = "stillframe"

_LATE = "job.state = 'queued' AND job.expires_at <= now()"

#: A job in the hands of a worker is that worker's to let go; one that a person has just sent on is waited for anew.
_ABANDONED = f"""
    (job.state = 'queued' OR job.state IN ({quoted(HELD)}) AND job.lease_until <= now()) AND {ABSENT}
    AND coalesce(
        (SELECT event.at FROM event WHERE event.vm_id = job.vm_id AND event.type = 'vm.gone' ORDER BY event.id DESC LIMIT 1),
        '-infinity'
    ) < now() - make_interval(secs => :after_s)
    AND coalesce((job.recovery ->> 'at')::timestamptz, '-infinity') < now() - make_interval(secs => :after_s)
"""  # noqa: S608


def expire(engine: Engine) -> list[UUID]:
    """End the queued jobs that nobody began in time; the error says what held each up. Returns their ids."""
    return _end(engine, _LATE, _expire)


def give_up(engine: Engine, gone_s: float) -> list[UUID]:
    """End the jobs whose VM has been on no host for so long: what had not begun fails, what had is stuck."""
    return _end(engine, _ABANDONED, _give_up, after_s=gone_s)


def _end(engine: Engine, where: str, end: Callable[[Session, AnyRow], None], **values: float) -> list[UUID]:
    found = text(f"SELECT job.id FROM job WHERE {where} ORDER BY job.id")  # noqa: S608
    with transaction(engine) as session:
        jobs = list(session.scalars(found, values))
    return [job for job in jobs if _end_one(engine, job, where, end, values)]


def _end_one(
    engine: Engine, job: UUID, where: str, end: Callable[[Session, AnyRow], None], values: Json
) -> bool:
    """In a transaction of its own: one that somebody takes up or ends at this moment is left to them."""
    statement = text(f"""
        SELECT job.id, job.kind, job.state, job.attempt, job.vm_name, host.name AS host,
            extract(epoch FROM job.expires_at - job.created_at) AS within_s
        FROM job JOIN host ON host.id = job.host_id WHERE job.id = :job AND {where}
        FOR NO KEY UPDATE OF job SKIP LOCKED
    """)  # noqa: S608
    with transaction(engine) as session:
        row = session.execute(statement, {"job": job, **values}).one_or_none()
        if row is not None:
            end(session, row)
    return row is not None


def _expire(session: Session, job: AnyRow) -> None:
    why = waiting(session, [job.id])[job.id]
    error = JobExpired(
        start_within_s=round(job.within_s), why=why["detail"].rstrip("."), waiting=why["code"]
    ).to_json()
    told = Told(EventType.JOB_EXPIRED, _ACTOR, Level.WARNING, error["detail"], {"error": error})
    _never_begun(session, job, JobState.EXPIRED, told, error)


def _give_up(session: Session, job: AnyRow) -> None:
    error = VmGone(vm=job.vm_name, host=job.host).to_json()
    if job.state in HELD:
        # The number moves on: should its last worker only have been slow, it writes nothing any more.
        fenced = {"attempt": job.attempt + 1, "worker": None}
        outcome.give_up(session, job.id, _ACTOR, error, attempt=job.attempt, values=fenced)
        return
    told = Told(EventType.JOB_FAILED, _ACTOR, Level.ERROR, error["detail"], {"error": error})
    _never_begun(session, job, JobState.FAILED, told, error)


def _never_begun(session: Session, job: AnyRow, to: JobState, told: Told, error: Json) -> None:
    move_job(session, job.id, to, told, {"error": error, "finished_at": func.now()})
    outcome.abandon(session, job.id, job.kind, error, _ACTOR)
