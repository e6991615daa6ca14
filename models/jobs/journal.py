"""The journal of jobs: who may take up a job, who has lost it, and who asked for its end.

With `attempt.py` and `outcome.py` it is the sole writer of the states of jobs, snapshots and volume snapshots.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import Boolean, DateTime, Engine, case, cast, func, literal_column, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.base import AnyRow, Json, quoted
from models.events.tables import Event
from models.hosts.follow import follow
from models.hosts.tables import Host
from models.jobs import cancelling, outcome
from models.jobs.attempt import Attempt, StepRecord
from models.jobs.fit import fitting, rows_of
from models.jobs.line import ABSENT, HOST_SILENT_S, KEPT_BACK, ON_TWO
from models.jobs.tables import Job, Step
from models.moves import Told, move_job, move_snapshot, now_plus
from models.session import transaction, violated
from models.snapshots.tables import Snapshot
from models.snapshots.volumes import path_of
from models.tenants.actor import of_worker
from stillframe.errors import StillframeError, WorkersDied
from stillframe.events import EventType, Level
from stillframe.operations import OPERATIONS, DeleteVolume
from stillframe.recovering import Way
from stillframe.states import HELD, JobState, SnapshotState
from stillframe.trace import Trace, tracing

_IN_WORK = {
    "revert_snapshot": SnapshotState.REVERTING,
    "delete_snapshot": SnapshotState.DELETING,
    "prune_snapshots": SnapshotState.DELETING,
}


class Journal:
    """What a worker, a tick and the API ask of jobs."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def claim(
        self,
        job_id: UUID,
        *,
        worker: str,
        lease_s: float,
        host: str | None = None,
        max_deaths: int | None = None,
    ) -> Attempt | None:
        """Take up a job that is next in its VM's line, or one whose worker let its lease lapse.

        None: there is nothing to take up, and the message that led here can be dropped. With `host`, only a job of
        that host is taken: its VM may have moved since the message was sent. A job that more than `max_deaths` workers
        have died of is stuck here and now, instead of being the death of this one too.
        """
        try:
            with transaction(self.engine) as session:
                if host is not None and not _is_of(session, job_id, host):
                    return None
                return self._claim(session, job_id, worker, lease_s, max_deaths)
        except IntegrityError as error:
            if violated(error) != "uq_job_held_vm":
                raise
            self._owe_again(job_id)
            return None

    def disown(self, job_id: UUID, worker: str) -> None:
        """Leave a job that this worker may have claimed without hearing so: it can be claimed at once, and nobody has died."""
        with transaction(self.engine) as session:
            session.execute(
                update(Job)
                .where(Job.id == job_id, Job.worker == worker, Job.state.in_(sorted(HELD)))
                .values(worker=None, lease_until=func.now())
            )

    def release_lost(self, host: str, alive: Callable[[str], bool]) -> list[UUID]:
        """End the leases of a host's held jobs whose workers are not alive; each is owed a message again."""
        with transaction(self.engine) as session:
            held = session.execute(
                select(Job.id, Job.worker)
                .join(Host, Host.id == Job.host_id)
                .where(Host.name == host, Job.state.in_(HELD), Job.worker.is_not(None))
                .order_by(Job.id)
                .with_for_update(of=Job)
            ).all()
            lost = [job for job, worker in held if worker is None or not alive(worker)]
            session.execute(
                update(Job).where(Job.id.in_(lost)).values(lease_until=func.now(), published_at=None)
            )
        return lost

    def lapse(self) -> list[UUID]:
        """Owe a message to held jobs whose lease has lapsed, once a lapse; later again if their host is alive.

        Those whose VM is on another host by now go there.
        """
        with transaction(self.engine) as session:
            return [*follow(session), *session.scalars(text(_LAPSE))]

    def request_cancel(self, job_id: UUID, actor: str) -> JobState:
        """End a job that has not begun; ask the worker of one that has. Returns the state it is in now.

        Raises JobNotFound, JobNotCancellable, or PastNoReturn for one that can only go forward.
        """
        with transaction(self.engine) as session:
            return cancelling.request(session, job_id, actor)

    def _claim(
        self, session: Session, job_id: UUID, worker: str, lease_s: float, max_deaths: int | None
    ) -> Attempt | None:
        job = session.execute(_FOR_CLAIM.where(Job.id == job_id)).one_or_none()
        if job is None or not (job.due if job.state is JobState.QUEUED else job.lapsed):
            return None
        first = job.state is JobState.QUEUED
        if not first and (job.absent or job.on_two):
            return None
        if first and job.kept_back:
            session.execute(update(Job).where(Job.id == job_id).values(published_at=None))
            return None
        try:
            about = fitting(session, job) if first else rows_of(session, job_id)
        except StillframeError as refusal:
            self._refuse(session, job, refusal)
            return None
        deaths = job.deaths + (job.worker is not None and not first)
        if max_deaths is not None and deaths > max_deaths:
            _give_up(session, job, worker, deaths)
            return None
        number = job.attempt + 1
        with tracing(Trace.from_json(job.trace)):
            move_job(
                session,
                job_id,
                JobState.RUNNING if first else job.state,
                _started(job, worker, number),
                _hold(worker, lease_s, number) | {"deaths": deaths},
                attempt=job.attempt,
            )
        if first and job.kind in _IN_WORK:
            for snapshot in about:
                move_snapshot(session, snapshot.id, _IN_WORK[job.kind])
        return self._attempt(session, job, about, worker, number)

    def _attempt(
        self, session: Session, job: AnyRow, about: Sequence[Snapshot], worker: str, number: int
    ) -> Attempt:
        one = about[0] if job.snapshot_id else None
        steps = session.scalars(select(Step).where(Step.job_id == job.id).order_by(Step.seq))
        return Attempt(
            engine=self.engine,
            job_id=job.id,
            number=number,
            kind=job.kind,
            state=JobState.RUNNING if job.state is JobState.QUEUED else job.state,
            worker=worker,
            operation=OPERATIONS[job.kind].from_json(job.request),
            vm_id=job.vm_id,
            vm_name=job.vm_name,
            snapshot_id=job.snapshot_id,
            volume_snapshot_id=job.volume_snapshot_id,
            words=_words(one) if one else {},
            about={snapshot.id: snapshot.folder for snapshot in about},
            whole=frozenset(one.id for one in about if one.folder and one.error is None),
            volume_path=path_of(session, job.volume_snapshot_id) if job.kind == DeleteVolume.kind else None,
            steps={step.name: StepRecord(step.state, step.output) for step in steps},
            error=job.error if job.state is JobState.UNDOING else None,
            known=_known(session, job.vm_id, [snapshot.id for snapshot in about]),
            foreign=one.foreign if one else None,
            no_return=job.no_return_at is not None,
            closed_by=job.recovery if (job.recovery or {}).get("action") == Way.MARK_DONE else None,
            spent_s=float(job.spent_s),
            trace=Trace.from_json(job.trace),
        )

    def _refuse(self, session: Session, job: AnyRow, refusal: StillframeError) -> None:
        """What it is about has changed since it was asked for: there is nothing to begin."""
        error = refusal.to_json()
        told = Told(EventType.JOB_FAILED, "stillframe", Level.ERROR, error["detail"], {"error": error})
        move_job(session, job.id, JobState.FAILED, told, {"error": error, "finished_at": func.now()})
        if job.kind == "extract_volume":
            outcome.abandon(session, job.id, job.kind, error, "stillframe")

    def _owe_again(self, job_id: UUID) -> None:
        with transaction(self.engine) as session:
            session.execute(
                update(Job).where(Job.id == job_id, Job.state == JobState.QUEUED).values(published_at=None)
            )


_LAPSE = f"""
    UPDATE job SET published_at = NULL FROM host
    WHERE host.id = job.host_id AND job.state IN ({quoted(HELD)}) AND job.lease_until < now()
    AND NOT {ABSENT} AND NOT {ON_TWO}
    AND (job.published_at < job.lease_until
         OR (job.published_at < now() - interval '60 s'
             AND host.last_seen_at > now() - interval '{HOST_SILENT_S} s'))
    RETURNING job.id
"""  # noqa: S608

#: A person's decision begins a job's time anew: what it was stuck for was not its own. (`greatest` passes over nulls.)
_SPENT_S = case(
    (Job.started_at.is_(None), 0.0),
    else_=func.extract(
        "epoch",
        func.now() - func.greatest(Job.started_at, cast(Job.recovery["at"].astext, DateTime(timezone=True))),
    ),
)

_FOR_CLAIM = select(
    Job.id,
    Job.state,
    Job.kind,
    Job.attempt,
    Job.worker,
    Job.request,
    Job.vm_id,
    Job.vm_name,
    Job.snapshot_id,
    Job.volume_snapshot_id,
    Job.host_id,
    Job.error,
    Job.no_return_at,
    Job.deaths,
    Job.phase,
    Job.recovery,
    Job.trace,
    _SPENT_S.label("spent_s"),
    func.coalesce(Job.next_attempt_at <= func.now(), True).label("due"),
    (Job.state.in_(sorted(HELD)) & (Job.lease_until <= func.now())).label("lapsed"),
    literal_column(KEPT_BACK, Boolean).label("kept_back"),
    literal_column(ABSENT, Boolean).label("absent"),
    literal_column(ON_TWO, Boolean).label("on_two"),
).with_for_update(of=Job, key_share=True)


def _is_of(session: Session, job: UUID, host: str) -> bool:
    found = session.scalars(select(Host.name).join(Job, Job.host_id == Host.id).where(Job.id == job))
    return found.one_or_none() == host


def _known(session: Session, vm: UUID, but: Sequence[UUID]) -> dict[UUID, str]:
    others = select(Snapshot.id, Snapshot.folder).where(
        Snapshot.vm_id == vm,
        Snapshot.id.not_in(but),
        Snapshot.state.in_([SnapshotState.READY, SnapshotState.REVERTING]),
        Snapshot.folder.is_not(None),
    )
    return {row.id: row.folder for row in session.execute(others)}


def _started(job: AnyRow, worker: str, number: int) -> Told:
    if job.state is JobState.QUEUED:
        return Told(EventType.JOB_STARTED, of_worker(worker), data={"attempt": number})
    return Told(
        EventType.JOB_TAKEN_OVER,
        of_worker(worker),
        Level.WARNING if job.worker else Level.INFO,
        data={"attempt": number, "from": job.worker},
    )


def _hold(worker: str, lease_s: float, number: int) -> Json:
    return {
        "attempt": number,
        "worker": worker,
        "lease_until": now_plus(lease_s),
        "next_attempt_at": None,
        "published_at": func.coalesce(Job.published_at, func.now()),
        "started_at": func.coalesce(Job.started_at, func.now()),
    }


def _give_up(session: Session, job: AnyRow, worker: str, deaths: int) -> None:
    """One worker after the other died of it: a person looks before the next does."""
    earlier = session.scalars(
        select(Event.data["from"].astext)
        .where(
            Event.job_id == job.id,
            Event.type == EventType.JOB_TAKEN_OVER.value,
            Event.data["from"].astext.is_not(None),
        )
        .order_by(Event.id)
    )
    error = WorkersDied(job=job.id, deaths=deaths, phase=job.phase).to_json()
    error["evidence"]["workers"] = [*earlier, job.worker]
    # The number moves on: should the last of them only have been slow, it writes nothing any more.
    outcome.give_up(
        session,
        job.id,
        of_worker(worker),
        error,
        attempt=job.attempt,
        values={"attempt": job.attempt + 1, "deaths": deaths, "worker": None},
    )


def _words(snapshot: Snapshot) -> Json:
    return {
        "name": snapshot.name,
        "display_name": snapshot.display_name,
        "description": snapshot.description,
        "type": snapshot.type.value,
        "tags": list(snapshot.tags),
        "created_at": snapshot.created_at.isoformat().replace("+00:00", "Z"),
    }
