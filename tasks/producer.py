"""The one way to ask for something: checks and rows in one transaction, the message after it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from celery import Celery
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.ids import new_id
from models.jobs.asking import NOBODY, add_job, vms_about, vms_of
from models.jobs.tables import INTERACTIVE, Job
from models.moves import now_plus
from models.once import Once, make_once, once
from models.session import transaction, violated
from models.tenants import quota
from models.tenants.actor import Actor
from models.tenants.scope import owner
from stillframe.errors import NameTaken, StillframeError, VolumeNameTaken
from stillframe.operations import Operation
from stillframe.planning import Forecast, Limits
from stillframe.states import JobState
from stillframe.trace import current
from tasks.planner import forecast
from tasks.preflight import Prepared, check_expiry, prepare
from tasks.publish import Publisher
from tasks.room import room_for
from tasks.together import ask_all
from tasks.wording import check_words

#: A day.
START_WITHIN_S = 86_400.0


@dataclass(frozen=True)
class SubmittedJob:
    """What a request became. `replayed`: the same request with the same key had made this job before."""

    job_id: UUID
    vm_id: UUID
    snapshot_id: UUID | None
    volume_snapshot_id: UUID | None
    replayed: bool = False


class Producer:
    """Writes requests down as jobs and wakes the host. One a process, made after the fork; threads may share it.

    A job that does not say for itself within which time it is to begin has `start_within_s` seconds.
    """

    def __init__(
        self,
        engine: Engine,
        app: Celery,
        start_within_s: float = START_WITHIN_S,
        limits: Limits | None = None,
    ) -> None:
        self._engine = engine
        self._start_within_s = start_within_s
        self._limits = limits or Limits()
        self.publisher = Publisher(engine, app)

    def submit(
        self,
        operation: Operation,
        actor: Actor,
        idempotency_key: str | None = None,
        priority: int = INTERACTIVE,
    ) -> SubmittedJob:
        """Ask for an operation. Raises an error of `stillframe.errors`, and then nothing is left of the request.

        With an idempotency key the same request asked again, however often and by however many at once, is one job.
        A broker that is away delays the job and not this call.
        """
        asked = check_words(operation)
        first = once(actor, idempotency_key, asked.kind, asked.to_json())

        def ask(session: Session) -> list[Job]:
            return [self.write_down(session, asked, actor, priority, key=idempotency_key)]

        with self._engine.connect() as connection:
            try:
                (submitted,) = _write(connection, first, ask)
            except IntegrityError as error:
                raise _meaning(error, asked) from error
            if not submitted.replayed:
                self.publisher.next_of_vm(submitted.vm_id, connection)
        return submitted

    def delete_snapshots(
        self,
        snapshots: Collection[str],
        actor: Actor,
        idempotency_key: str | None = None,
        **limits: float | None,
    ) -> list[SubmittedJob]:
        """Ask for the deletion of many snapshots: a job a VM, with merges planned together.

        Raises DeletionsRefused with every reason if one may not be deleted, and then nothing is asked for. `limits` are
        `start_within_s` and `timeout_s`. A key counts for the whole request.
        """
        limits = {name: value for name, value in limits.items() if value is not None}
        first = once(actor, idempotency_key, "delete_snapshots", sorted(set(snapshots)), limits)

        def ask(session: Session) -> list[Job]:
            def one(wish: Operation) -> Job:
                return self.write_down(session, check_words(wish), actor, INTERACTIVE, key=idempotency_key)

            quota.take_turn(session, vms_of(session, actor, snapshots))
            return ask_all(session, actor, snapshots, limits, one)

        submitted = _write(self._engine, first, ask)
        for asked in submitted:
            if not asked.replayed:
                self.publisher.next_of_vm(asked.vm_id)
        return submitted

    def plan_deletions(
        self, snapshots: Collection[str], actor: Actor, **limits: float | None
    ) -> list[Forecast]:
        """What `delete_snapshots` would do, a VM a plan; raises DeletionsRefused for ids of nothing. Nothing is written."""
        with transaction(self._engine) as session:

            def plan(wish: Operation) -> Forecast:
                return forecast(session, check_words(wish), actor, self._limits)

            return ask_all(session, actor, snapshots, limits, plan)

    def plan(self, operation: Operation, actor: Actor) -> Forecast:
        """What the operation would do, and whether it would be refused. Nothing is written.

        Raises what says that there is no such VM or snapshot, and Invalid for words that make no sense.
        """
        asked = check_words(operation)
        check_expiry(asked)
        with transaction(self._engine) as session:
            return forecast(session, asked, actor, self._limits)

    def write_down(
        self,
        session: Session,
        operation: Operation,
        actor: Actor,
        priority: int,
        *,
        key: str | None = None,
        reasons: Mapping[UUID, str] = NOBODY,
    ) -> Job:
        """The rows of a request that was checked for its words, in the caller's transaction; raises what blocks it.

        `reasons` say why each snapshot is to go that is deleted together with others.
        """
        actor.check(operation.right)
        room_for(session, operation, vms_about(session, actor, operation))
        id_ = new_id()
        prepared = prepare(session, operation, actor, id_, self._limits)
        job = _job(id_, prepared, actor, priority)
        job.idempotency_key = key
        job.expires_at = now_plus(prepared.operation.start_within_s or self._start_within_s)
        condemned = {snapshot: reasons.get(snapshot, "") for snapshot in prepared.condemned}
        add_job(session, job, actor, _told(prepared), made=prepared.made, condemned=condemned)
        return job


def _write(
    on: Engine | Connection, first: Once | None, ask: Callable[[Session], list[Job]]
) -> list[SubmittedJob]:
    """What `ask` writes down, or what the first request with this key had."""
    with transaction(on) as session:
        jobs: list[Job] = []

        def write() -> str:
            jobs.extend(ask(session))
            return " ".join(str(job.id) for job in jobs)

        made = make_once(session, first, write)
        if made.replayed:
            jobs = [session.get_one(Job, UUID(id_)) for id_ in made.what.split()]
        return [_submitted(job, replayed=made.replayed) for job in jobs]


def _job(id_: UUID, prepared: Prepared, actor: Actor, priority: int) -> Job:
    return Job(
        id=id_,
        kind=prepared.operation.kind,
        state=JobState.QUEUED,
        host_id=prepared.host_id,
        vm_id=prepared.vm.id,
        vm_name=prepared.vm.name,
        snapshot_id=prepared.snapshot_id,
        volume_snapshot_id=prepared.volume_snapshot_id,
        account_id=owner(prepared.vm),
        request=prepared.operation.to_json(),
        priority=priority,
        requested_by=actor.name,
        asker_id=actor.account_id,
        trace=trace.to_json() if (trace := current()) else None,
    )


def _told(prepared: Prepared) -> dict[str, Any]:
    return {"kind": prepared.operation.kind, "vm": prepared.vm.name, "request": prepared.operation.to_json()}


def _submitted(job: Job, *, replayed: bool) -> SubmittedJob:
    return SubmittedJob(job.id, job.vm_id, job.snapshot_id, job.volume_snapshot_id, replayed)


def _meaning(error: IntegrityError, operation: Operation) -> Exception:
    """What a unique index says about the request that ran into it."""
    values = operation.to_json()
    known: dict[str | None, StillframeError] = {
        "uq_snapshot_live_name": NameTaken(vm=values.get("vm"), name=values.get("name")),
        "uq_volume_snapshot_live_name": VolumeNameTaken(name=values.get("name")),
    }
    return known.get(violated(error), error)
