"""One worker's hold of a job: what its steps intend and reach, its lease, and how it ends."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Engine, Text, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from models.base import Json, quoted
from models.hosts.machine import lock_vm
from models.jobs import leaving, outcome
from models.jobs.tables import Job
from models.moves import why_not_moved
from models.session import transaction
from models.tenants.actor import of_worker
from stillframe.errors import Cancelled, LostLease
from stillframe.events import EventType
from stillframe.operations import Operation
from stillframe.seen import VmSeen
from stillframe.states import HELD, JobState, StepState
from stillframe.trace import Trace

#: Whether a cancel was accepted, and is to be heard.
_CANCELLED = "cancel_requested_at IS NOT NULL AND no_return_at IS NULL AS cancelled"

#: The row is locked before it is judged, so that a takeover and a write of the old attempt cannot both pass.
_MINE = f"""
    SELECT id, vm_id, snapshot_id, host_id, account_id, trace, {_CANCELLED} FROM job
    WHERE id = :job AND attempt = :attempt AND state IN ({quoted(HELD)})
    FOR NO KEY UPDATE
"""  # noqa: S608

_TOLD = """
    INSERT INTO event (type, level, actor, vm_id, snapshot_id, job_id, host_id, account_id, message, data)
    SELECT :type, 'info', :actor, vm_id, snapshot_id, id, host_id, account_id, '',
        jsonb_strip_nulls(jsonb_build_object('step', :step, 'attempt', :attempt, 'trace', trace))
    FROM mine
"""

#: A cancel that was asked for before is not too late: the point of no return is not passed then. One commit decides.
_PASSED = """
    no_return_at = CASE WHEN :no_return AND cancel_requested_at IS NULL
        THEN coalesce(no_return_at, now()) ELSE no_return_at END
"""

_START = f"""
WITH mine AS (
    UPDATE job SET phase = :step, {_PASSED}
    WHERE id = :job AND attempt = :attempt AND state IN ({quoted(HELD)})
    RETURNING id, vm_id, snapshot_id, host_id, account_id, trace, {_CANCELLED}
), written AS (
    INSERT INTO step (job_id, seq, name, state, attempt)
    SELECT id, :seq, :step, 'started', :attempt FROM mine
    ON CONFLICT (job_id, name) DO UPDATE
        SET state = 'started', attempt = :attempt, started_at = now(), finished_at = NULL
), told AS ({_TOLD})
SELECT cancelled FROM mine
"""  # noqa: S608

_FINISH = f"""
WITH mine AS ({_MINE}), written AS (
    UPDATE step SET state = 'done', output = :output, finished_at = now(), attempt = :attempt
    FROM mine WHERE step.job_id = mine.id AND step.name = :step
), told AS ({_TOLD})
SELECT cancelled FROM mine
"""  # noqa: S608

#: Outcome of one step and intent of the next in one commit: half the waits for the disk.
_NEXT = f"""
WITH mine AS (
    UPDATE job SET phase = :next, {_PASSED}
    WHERE id = :job AND attempt = :attempt AND state IN ({quoted(HELD)})
    RETURNING id, vm_id, snapshot_id, host_id, account_id, trace, {_CANCELLED}
), written AS (
    UPDATE step SET state = 'done', output = :output, finished_at = now(), attempt = :attempt
    FROM mine WHERE step.job_id = mine.id AND step.name = :step
), begun AS (
    INSERT INTO step (job_id, seq, name, state, attempt)
    SELECT id, :seq, :next, 'started', :attempt FROM mine
    ON CONFLICT (job_id, name) DO UPDATE
        SET state = 'started', attempt = :attempt, started_at = now(), finished_at = NULL
), told AS (
    INSERT INTO event (type, level, actor, vm_id, snapshot_id, job_id, host_id, account_id, message, data)
    SELECT one.type, 'info', :actor, vm_id, snapshot_id, id, host_id, account_id, '',
        jsonb_strip_nulls(jsonb_build_object('step', one.step, 'attempt', :attempt, 'trace', trace))
    FROM mine, (VALUES (1, :type, :step), (2, :next_type, :next)) AS one (place, type, step)
    ORDER BY one.place
)
SELECT cancelled FROM mine
"""  # noqa: S608

_UNDONE = f"""
WITH mine AS ({_MINE}), written AS (
    UPDATE step SET state = 'undone', finished_at = now(), attempt = :attempt
    FROM mine WHERE step.job_id = mine.id AND step.name = :step
), told AS ({_TOLD})
SELECT id FROM mine
"""  # noqa: S608

_RENEW = f"""
UPDATE job
SET lease_until = now() + make_interval(secs => :lease_s), progress = coalesce(:progress, progress)
WHERE id = :job AND attempt = :attempt AND state IN ({quoted(HELD)})
RETURNING cancel_requested_at IS NOT NULL
"""  # noqa: S608

_TYPES: dict[str, Any] = {
    "job": Uuid(),
    "attempt": BigInteger(),
    "step": Text(),
    "next": Text(),
    "next_type": Text(),
    "actor": Text(),
    "type": Text(),
    "output": JSONB(none_as_null=True),
    "progress": JSONB(none_as_null=True),
}


@dataclass(frozen=True)
class StepRecord:
    """What is known of one step."""

    state: StepState
    output: Json


@dataclass(kw_only=True)
class Attempt:
    """A claimed job. Every call is committed when it returns, and raises LostLease once another worker has the job.

    Calls of two threads (the steps and the heartbeat) do not disturb each other.
    """

    engine: Engine
    job_id: UUID
    number: int
    kind: str
    state: JobState
    worker: str
    operation: Operation
    vm_id: UUID
    vm_name: str
    snapshot_id: UUID | None
    volume_snapshot_id: UUID | None
    #: The snapshot's words for people, for its manifest.
    words: Json
    #: The snapshots it is about, each with its folder once it is made.
    about: dict[UUID, str | None]
    #: Where the image lies of the volume snapshot that is to be deleted.
    volume_path: str | None
    #: By name, in the order in which they began.
    steps: dict[str, StepRecord]
    #: Why the job turned back, while it is undoing, or while nobody knows whether the rows say so yet.
    error: Json | None
    #: The folders of the VM's other snapshots that are or were whole, by their ids.
    known: dict[UUID, str] = field(default_factory=dict)
    #: Of `about`, those that were ready when the job began with them.
    whole: frozenset[UUID] = frozenset()
    #: Of a snapshot that another tool made: what its row says of it.
    foreign: Json | None = None
    #: Whether the point of no return was passed, by this attempt or one before it.
    no_return: bool = False
    #: What a person decided who has closed the job as it stands (action, actor, at, note): its plan is over.
    closed_by: Json | None = None
    #: Seconds since the first attempt began, or since a person sent it on.
    spent_s: float = 0.0
    #: The request that asked for it.
    trace: Trace | None = None
    #: The outcome of the plan's last step, not yet written.
    _last: Json | None = None

    def start(self, step: str, no_return: bool = False) -> bool:
        """Write the intent of a step, before the machine is touched.

        With `no_return` no cancel is accepted from here on, unless one was: then returns True, and nothing is passed.
        """
        seq = list(self.steps).index(step) if step in self.steps else len(self.steps)
        cancelled = self._once(
            _START, step=step, seq=seq, type=EventType.STEP_STARTED.value, no_return=no_return
        )
        self.no_return = self.no_return or (no_return and not cancelled)
        before = self.steps.get(step)
        self.steps[step] = StepRecord(StepState.STARTED, before.output if before else {})
        return bool(cancelled)

    def finish(self, step: str, output: Json, then: str | None, no_return: bool = False) -> bool:
        """Write what a step has reached, after the machine was touched, and the intent of the one after it.

        With none after it, it is written together with the job's end: a worker that dies in between does the last
        step once more, and that looks before it acts. Returns what `start` does.
        """
        if then is None:
            self.steps[step] = StepRecord(StepState.DONE, output)
            self._last = {"step": step, "output": output, "type": EventType.STEP_FINISHED.value}
            return False
        seq = list(self.steps).index(then) if then in self.steps else len(self.steps)
        cancelled = self._once(
            _NEXT,
            step=step,
            output=output,
            next=then,
            seq=seq,
            type=EventType.STEP_FINISHED.value,
            next_type=EventType.STEP_STARTED.value,
            no_return=no_return,
        )
        self.no_return = self.no_return or (no_return and not cancelled)
        self.steps[step] = StepRecord(StepState.DONE, output)
        before = self.steps.get(then)
        self.steps[then] = StepRecord(StepState.STARTED, before.output if before else {})
        return bool(cancelled)

    def undone(self, step: str) -> None:
        """Write that a step's undo has run to its end."""
        self._once(_UNDONE, step=step, type=EventType.STEP_UNDONE.value)
        self.steps[step] = StepRecord(StepState.UNDONE, self.steps[step].output)

    def turn_back(self, error: Json) -> None:
        """From here on the plan is walked back, because of this error. Known before it is written: it is not gone back on."""
        self.error = error
        with transaction(self.engine) as session:
            self._write_last(session)
            outcome.turn_back(session, self._end, error)
        self.state, self._last = JobState.UNDOING, None

    def renew(self, lease_s: float, progress: Json | None = None) -> bool:
        """Hold the job for some seconds more, say how far it is, and learn whether a cancel was asked for."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            asked = connection.execute(
                _typed(_RENEW, "job", "attempt", "progress"),
                {"job": self.job_id, "attempt": self.number, "lease_s": lease_s, "progress": progress},
            ).scalar_one_or_none()
        if asked is None:
            raise LostLease(job=self.job_id)
        return bool(asked)

    def catch_up(self) -> None:
        """Read what the rows say, after a commit whose answer was lost. A step that they have done may be done again."""
        of = select(Job.state, Job.error, Job.no_return_at)
        with self.engine.connect() as connection:
            row = connection.execute(
                of.where(Job.id == self.job_id, Job.attempt == self.number)
            ).one_or_none()
        if row is None:
            raise LostLease(job=self.job_id)
        self.state, self.error = row.state, row.error or self.error
        self.no_return = row.no_return_at is not None

    def succeed(self, facts: Json, seen: VmSeen | None) -> None:
        """The job, what it made or changed, and the rows of the VM as seen: in one transaction.

        Raises Cancelled, and then nothing is written, if a cancel was accepted while the last step heard one: the
        row's lock decides which came first.
        """
        with transaction(self.engine) as session:
            if self._write_last(session):
                raise Cancelled
            outcome.succeed(session, self._end, facts, seen)
        self.state = JobState.SUCCEEDED

    def fail(self, error: Json, seen: VmSeen | None, cancelled: bool = False) -> None:
        """All is walked back, or nothing was done: the job ends, and what it was about is as before."""
        with transaction(self.engine) as session:
            if self.state is JobState.RUNNING:
                outcome.turn_back(session, self._end, error)
            outcome.fail(session, self._end, error, seen, cancelled=cancelled)
        self.error = error
        self.state = JobState.CANCELLED if cancelled else JobState.FAILED

    def stuck(self, error: Json, seen: VmSeen | None, found: Json | None = None) -> None:
        """Neither forward nor back: a person is needed, and later jobs of this VM wait. `found` is how it looks now."""
        with transaction(self.engine) as session:
            outcome.stuck(session, self._end, error, seen, found or {})
        self.error = error
        self.state = JobState.STUCK

    def requeue(self, error: Json) -> None:
        """Nothing was done and something is in the way: back into the line, to be tried again after a while.

        One that somebody wants to stop ends cancelled instead.
        """
        with transaction(self.engine) as session:
            cancelled = outcome.back_into_line(session, self._end, error)
        self._is_in_line(cancelled)

    def let_go(self, error: Json) -> None:
        """Leave the job as it stands, for whoever takes it up when the lease has lapsed: nobody has died of it.

        If somebody has taken it over and counted a death, that one is taken back.
        """
        with transaction(self.engine) as session:
            leaving.let_go(session, self._end, self.worker, error)

    def missing(self, *, begun: bool) -> None:
        """The VM is not on this host (any more): the job is let go, for the host that has it or will have it.

        One that has not begun, and that somebody wants to stop, ends cancelled instead.
        """
        with transaction(self.engine) as session:
            cancelled = outcome.missing(session, self._end, begun=begun)
        if not begun:
            self._is_in_line(cancelled)

    def _is_in_line(self, cancelled: Json | None) -> None:
        self.error = cancelled or self.error
        self.state = JobState.CANCELLED if cancelled else JobState.QUEUED

    @property
    def has_not_begun(self) -> bool:
        """Whether it can go back into the line as if it had never been taken up."""
        return self.state is JobState.RUNNING and not self.steps and self.closed_by is None

    @property
    def _end(self) -> outcome.End:
        return outcome.End(
            job_id=self.job_id,
            number=self.number,
            kind=self.kind,
            actor=of_worker(self.worker),
            vm_id=self.vm_id,
            snapshot_id=self.snapshot_id,
            about=tuple(self.about),
            volume_snapshot_id=self.volume_snapshot_id,
        )

    def _write_last(self, session: Session) -> bool:
        """Writes what the last step has reached, if there is such; returns whether a cancel was accepted before."""
        if self._last is None:
            return False
        lock_vm(session, self.vm_id)
        values = self._last | {"job": self.job_id, "attempt": self.number, "actor": of_worker(self.worker)}
        statement = _typed(_FINISH, *(name for name in values if name in _TYPES))
        return bool(session.execute(statement, values).scalar_one_or_none())

    def _once(self, statement: str, **values: Any) -> Any:
        values |= {"job": self.job_id, "attempt": self.number, "actor": of_worker(self.worker)}
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            known = [name for name in values if name in _TYPES]
            row = connection.execute(_typed(statement, *known), values).one_or_none()
            if row is None:
                raise why_not_moved(connection, self.job_id, self.number, HELD)
            return row[0]


def _typed(statement: str, *names: str) -> Any:
    return text(statement).bindparams(*(bindparam(name, type_=_TYPES[name]) for name in names))
