"""A worker that lives leaves a job to whoever takes it up next; nobody has died of it."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models.base import Json
from models.events.tables import Event
from models.jobs.outcome import End
from models.jobs.tables import Job
from models.moves import Told, move_job
from stillframe.events import EventType, Level
from stillframe.states import HELD


def let_go(session: Session, end: End, worker: str, error: Json) -> None:
    """A worker that lives has to leave the job: it stands as it is. Done again, it changes nothing more."""
    held = select(Job.state, Job.attempt, Job.worker).where(Job.id == end.job_id)
    job = session.execute(held.with_for_update(key_share=True)).one()
    if job.state not in HELD:
        return
    if (job.attempt, job.worker) == (end.number, worker):
        detail = str(error.get("detail", ""))
        told = Told(EventType.JOB_LET_GO, end.actor, Level.WARNING, detail, {"error": error})
        move_job(session, end.job_id, job.state, told, {"worker": None}, attempt=end.number)
    elif _was_taken_from(session, end, worker):
        session.execute(update(Job).where(Job.id == end.job_id, Job.deaths > 0).values(deaths=Job.deaths - 1))


def _was_taken_from(session: Session, end: End, worker: str) -> bool:
    """Whether the attempt after this one counted this worker among the dead."""
    taken = select(Event.id).where(
        Event.job_id == end.job_id,
        Event.type == EventType.JOB_TAKEN_OVER.value,
        Event.data["from"].astext == worker,
        Event.data["attempt"].astext == str(end.number + 1),
    )
    return session.scalar(taken.limit(1)) is not None
