"""Jobs: what may be done with one, and how one ended."""

from stillframe.errors.families import NotFound, Refused, StillframeError


class Cancelled(StillframeError):
    """The job was cancelled on request."""

    code = "job.cancelled"
    remedy = "Ask again if it is still wanted."


class LostLease(StillframeError):
    """Another worker has taken over job {job}; this one must not write any more."""

    code = "job.lease_lost"


class OutOfTouch(StillframeError):
    """The worker of job {job} could not renew its lease in time, and left the job as it stands."""

    code = "job.out_of_touch"
    remedy = (
        "Nothing is lost: it is taken up again. See whether the database was away, or the host overloaded."
    )


class LostRace(StillframeError):
    """{what} was expected to be {expected} but is {found}."""

    code = "state.lost_race"
    remedy = "It has changed meanwhile: look again and ask again."


class JobNotFound(NotFound):
    """There is no job "{job}"."""

    code = "job.not_found"
    remedy = "`stillframe job list` shows the jobs."


class JobNotCancellable(Refused):
    """Job {job} {ended}; there is nothing to cancel."""

    code = "job.not_cancellable"
    remedy = "`stillframe job show` tells how it ended."


class PastNoReturn(Refused):
    """Job {job} has passed its point of no return (it is at {phase}): it can only go forward."""

    code = "job.past_no_return"
    remedy = "Wait for its end (`stillframe job watch {job}`); what it did can be undone by asking for something else."


class JobNotStuck(Refused):
    """Job {job} is {state}, not stuck: there is nothing for a person to decide."""

    code = "job.not_stuck"
    remedy = "`stillframe job show` tells how it goes; one that runs can be cancelled."


class RollbackTooLate(Refused):
    """Job {job} has passed its point of no return (it is at {phase}): it cannot be walked back."""

    code = "job.rollback_too_late"
    remedy = (
        "Remove what is in the way and let it go on (`stillframe job recover {job} --resume`), or put the VM right by "
        "hand and close the job (`--mark-done`)."
    )


class ClosedByHand(StillframeError):
    """Job {job} was closed by {by}, and what it was for is not there: {found}."""

    code = "job.closed"
    remedy = "Nothing more is done by it. Look at the VM, and ask again for what is still wanted."


class ClosedUnseen(StillframeError):
    """Job {job} was closed by {by} while {why}: nobody has looked at the VM."""

    code = "job.closed_unseen"
    remedy = "Once it can be looked at, do so before anything else is asked of the VM (`stillframe vm show`)."


class JobNotRetryable(Refused):
    """Job {job} is {state}: there is nothing to ask for again."""

    code = "job.not_retryable"
    remedy = "A job that failed, was cancelled or skipped, or has expired can be asked for again."


class JobExpired(StillframeError):
    """The job was not begun within {start_within_s} s: {why}."""

    code = "job.expired"
    remedy = "Nothing was done. Ask again when what held it up is over, or with a longer `start_within_s`."


class JobTimedOut(StillframeError):
    """The job did not end within {timeout_s} s, and was stopped at {phase}."""

    code = "job.timed_out"
    remedy = "What it had done was taken back. Ask again with a longer `timeout_s`."


class WorkersDied(StillframeError):
    """{deaths} workers died holding this job, the last at {phase}."""

    code = "job.workers_died"
    remedy = (
        "Look into the worker's log for why it dies (memory? a crash of libvirt's library?), then "
        "`stillframe job recover {job} --inspect`."
    )
