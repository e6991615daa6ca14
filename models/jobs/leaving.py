"""A worker that lives leaves a job to whoever takes it up next; nobody has died of it."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models.base import Json
from models.events.tables import Event
from models.jobs.outcome import End
from models.jobs.tables import Job
from models.moves import Told, move_job, tell
from stillframe.events import EventType, Level
from stillframe.states import HELD


def let_go(session: Session, end: End, worker: str, error: Json) -> None:
    """A worker that lives has to leave the job: it stands as it is. Done again, it changes nothing more."""
    held = select(Job.state, Job.attempt, Job.worker, Job.host_id).where(Job.id == end.job_id)
    job = session.execute(held.with_for_update(key_share=True)).one()
    if job.state not in HELD:
        return
    told = Told(
        EventType.JOB_LET_GO,
        end.actor,
        Level.WARNING,
        str(error.get("detail", "")),
        {"error": error, "attempt": end.number},
    )
    if (job.attempt, job.worker) == (end.number, worker):
        move_job(session, end.job_id, job.state, told, {"worker": None}, attempt=end.number)
    elif _said(session, end, EventType.JOB_TAKEN_OVER, end.number + 1, worker) and not _said(
        session, end, EventType.JOB_LET_GO, end.number
    ):
        session.execute(update(Job).where(Job.id == end.job_id, Job.deaths > 0).values(deaths=Job.deaths - 1))
        tell(session, told, vm=end.vm_id, snapshot=end.snapshot_id, job=end.job_id, host=job.host_id)


def _said(session: Session, end: End, what: EventType, attempt: int, of: str | None = None) -> bool:
    """Whether an attempt of this job has told this; of a takeover, whether it counted this worker among the dead."""
    told = select(Event.id).where(
        Event.job_id == end.job_id, Event.type == what.value, Event.data["attempt"].astext == str(attempt)
    )
    if of is not None:
        told = told.where(Event.data["from"].astext == of)
    return session.scalar(told.limit(1)) is not None
