"""A cancel, as the rows decide it: at once for what has not begun, asked of the worker for what has, refused when too late."""

from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models.jobs import outcome
from models.jobs.tables import Job
from models.moves import Told, move_job, tell
from stillframe.errors import Cancelled, JobNotCancellable, JobNotFound, PastNoReturn
from stillframe.events import EventType
from stillframe.states import HELD, JobState

#: How an end is told.
_ENDED = {
    JobState.SUCCEEDED: "has already succeeded",
    JobState.FAILED: "has already failed",
    JobState.CANCELLED: "has already been cancelled",
    JobState.SKIPPED: "was skipped",
    JobState.EXPIRED: "has expired",
    JobState.STUCK: "is stuck and waits for a person",
}


def request(session: Session, job_id: UUID, actor: str) -> JobState:
    """See `Journal.request_cancel`.

    The row's lock decides which came first, this or the point of no return (see `_PASSED` in `attempt.py`): a cancel
    that was accepted is always heard.
    """
    job = session.execute(
        select(
            *(Job.state, Job.kind, Job.phase, Job.vm_id, Job.snapshot_id, Job.host_id),
            *(Job.cancel_requested_at, Job.no_return_at),
        )
        .where(Job.id == job_id)
        .with_for_update(key_share=True)
    ).one_or_none()
    if job is None:
        raise JobNotFound(job=job_id)
    if job.state is JobState.QUEUED:
        return _at_once(session, job_id, job.kind, actor)
    if job.state not in HELD:
        raise JobNotCancellable(job=job_id, state=job.state, ended=_ENDED[job.state])
    if job.no_return_at is not None:
        raise PastNoReturn(job=job_id, phase=str(job.phase).replace("_", " "))
    if job.cancel_requested_at is None:
        session.execute(update(Job).where(Job.id == job_id).values(cancel_requested_at=func.now()))
        asked = Told(EventType.CANCEL_REQUESTED, actor)
        tell(session, asked, vm=job.vm_id, snapshot=job.snapshot_id, job=job_id, host=job.host_id)
    state: JobState = job.state
    return state


def _at_once(session: Session, job: UUID, kind: str, actor: str) -> JobState:
    error = Cancelled().to_json()
    told = Told(EventType.JOB_CANCELLED, actor)
    move_job(session, job, JobState.CANCELLED, told, {"error": error, "finished_at": func.now()})
    outcome.abandon(session, job, kind, error, actor)
    return JobState.CANCELLED
