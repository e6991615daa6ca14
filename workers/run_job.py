"""The body of every message: claim the job it names, carry its plan, and write down how it ended and what the host looks like."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hypervisor.port import Host
from models.base import Json
from models.jobs.attempt import Attempt
from models.jobs.journal import Journal
from models.moves import Told, tell
from models.session import DatabaseAway, transaction
from models.tenants.actor import of_worker
from stillframe.errors import (
    Cancelled,
    HostLost,
    LostLease,
    LostRace,
    OutOfTouch,
    StillframeError,
    VmHeld,
    VmNotLocked,
)
from stillframe.events import EventType
from stillframe.seen import VmSeen
from stillframe.settings import Settings
from stillframe.states import HELD, JobState, StepState
from stillframe.trace import tracing
from workers import identity
from workers.bearer import Bearer
from workers.carry import End, Ending, Standing, carry
from workers.evidence import evidence
from workers.hold import hold
from workers.lease import heartbeat
from workers.operations import plan_for
from workers.patience import patiently
from workers.progress import Progress
from workers.reading import read_vm
from workers.reconcile.mend import mend
from workers.settle import settle
from workers.steps import Work
from workers.wards import Wards
from workers.watch_folder import WatchFolder

logger = logging.getLogger(__name__)

#: Seconds to wait for a process that still acts on the VM: one that was fenced is gone by then, unless it hangs.
HOLD_S = 10.0


@dataclass(frozen=True)
class Hands:
    """What a worker process has: its journal, its connection to the hypervisor, and a way to call the next job."""

    settings: Settings
    journal: Journal
    host: Callable[[], Host]
    #: Publishes the next queued job of a VM.
    call_next: Callable[[UUID], object]


def run_job(job_id: UUID, hands: Hands) -> Attempt | None:
    """Runs a job to its end; the attempt says how it ended. None if it was not this worker's to run to its end."""
    attempt = _claim(job_id, hands)
    if attempt is None:
        logger.info("job %s: nothing to claim", job_id)
        return None
    with tracing(attempt.trace):
        logger.info(
            "job %s: attempt %d of %s for VM %s", job_id, attempt.number, attempt.kind, attempt.vm_name
        )
        return _run(attempt, hands)


def _claim(job_id: UUID, hands: Hands) -> Attempt | None:
    settings, journal, me = hands.settings, hands.journal, identity.own(hands.settings.host)
    return patiently(
        lambda: journal.claim(
            job_id,
            worker=me,
            lease_s=settings.lease_s,
            host=settings.host,
            max_deaths=settings.max_deaths,
        ),
        lambda: journal.disown(job_id, me),
    )


def _run(attempt: Attempt, hands: Hands) -> Attempt | None:
    settings = hands.settings
    progress = Progress(attempt.operation.timeout_s, attempt.spent_s)
    try:
        with (
            heartbeat(attempt, progress, lease_s=settings.lease_s, every_s=settings.heartbeat_s),
            hold(settings.lock_folder, attempt.vm_id, attempt.vm_name, HOLD_S, _bearer(attempt)),
        ):
            host = hands.host()
            patiently(lambda: _carry_on(attempt, host, progress, settings), attempt.catch_up)
    except (VmHeld, VmNotLocked, LostLease, HostLost) as error:
        logger.warning("job %s: %s", attempt.job_id, error)
        _leave(attempt, error)
        return None
    except LostRace as error:
        logger.warning("job %s: %s", attempt.job_id, error)
        return None
    _call_next(attempt, hands)
    return attempt


def _bearer(attempt: Attempt) -> Bearer:
    return Bearer(attempt.worker, str(attempt.job_id), attempt.number)


def _leave(attempt: Attempt, error: StillframeError) -> None:
    """This worker cannot go on, and lives: a job that has not begun goes back into the line, any other stays as it is."""
    if isinstance(error, (VmHeld, VmNotLocked)) and attempt.has_not_begun:
        with suppress(LostLease):
            patiently(lambda: _put_back(attempt, error.to_json()), attempt.catch_up)
            return
    why = OutOfTouch(job=attempt.job_id) if isinstance(error, LostLease) else error
    patiently(lambda: attempt.let_go(why.to_json()), lambda: None)


def _put_back(attempt: Attempt, error: Json) -> None:
    if attempt.state in HELD:  # else it was put back, and the answer was lost
        attempt.requeue(error)


def _call_next(attempt: Attempt, hands: Hands) -> None:
    try:
        hands.call_next(attempt.vm_id)
    except DatabaseAway as error:  # its row says that it is owed a message, and the tick sends that
        logger.warning("the next job of VM %s is not called now: %s", attempt.vm_name, error.orig)


def _carry_on(attempt: Attempt, host: Host, progress: Progress, settings: Settings) -> None:
    """From where the attempt stands to the end. Called again if the database went away in between."""
    if attempt.state not in HELD:
        return
    work = _work(attempt, host, progress, settings)
    _mend(attempt, work)
    if attempt.closed_by:
        ending = settle(work, attempt.closed_by)
    else:
        if attempt.error and attempt.state is JobState.RUNNING:  # the answer to its turning back was lost
            attempt.turn_back(attempt.error)
        plan = plan_for(attempt.kind, foreign=work.foreign is not None)
        ending = carry(plan, work, attempt, _standing(attempt), progress)
    try:
        _conclude(attempt, work, ending, _look(host, work, settings))
    except Cancelled as cancelled:  # accepted after its last step
        attempt.turn_back(cancelled.to_json())
        _carry_on(attempt, host, progress, settings)


def _mend(attempt: Attempt, work: Work) -> None:
    """What jobs before this one have left of the VM; it is told."""
    own = {work.job, *work.about, *([work.volume_snapshot] if work.volume_snapshot else [])}
    done = mend(work.host, attempt.vm_id, work.wards.folder, own, work.block_layers_folder)
    if done:
        told = Told(EventType.VM_MENDED, of_worker(attempt.worker), message="; ".join(done))
        with transaction(attempt.engine) as session:
            tell(session, told, vm=attempt.vm_id, job=attempt.job_id)


def _work(attempt: Attempt, host: Host, progress: Progress, settings: Settings) -> Work:
    return Work(
        job=attempt.job_id,
        attempt=attempt.number,
        operation=attempt.operation,
        host=host,
        vm=host.vm(attempt.vm_id),
        about=attempt.about,
        whole=attempt.whole,
        volume_snapshot=attempt.volume_snapshot_id,
        volume_path=attempt.volume_path,
        words=attempt.words,
        outputs={name: step.output for name, step in attempt.steps.items() if step.state == StepState.DONE},
        pulse=progress,
        known=attempt.known,
        foreign=attempt.foreign,
        pause_for_internal_delete=settings.pause_for_internal_delete,
        block_layers_folder=settings.block_layers_folder,
        chain_limit=settings.chain_limit,
        wards=_wards(attempt, settings),
    )


def _wards(attempt: Attempt, settings: Settings) -> Wards:
    return Wards(
        folder=WatchFolder(settings.watch_folder, settings.host),
        vm=attempt.vm_id,
        name=attempt.vm_name,
        job=attempt.job_id,
        holder=identity.own(settings.host),
        freeze_budget_s=settings.freeze_budget_s,
        pause_budget_s=settings.pause_budget_s,
    )


def _standing(attempt: Attempt) -> Standing:
    def in_state(*states: StepState) -> frozenset[str]:
        return frozenset(name for name, step in attempt.steps.items() if step.state in states)

    return Standing(
        started=frozenset(attempt.steps),
        done=in_state(StepState.DONE),
        undone=in_state(StepState.UNDONE),
        error=attempt.error,
        no_return=attempt.no_return,
    )


def _look(host: Host, work: Work, settings: Settings) -> VmSeen | None:
    try:
        return read_vm(host.images, work.vm.facts(), settings.block_layers_folder)
    except (StillframeError, OSError) as error:
        logger.warning("the VM could not be looked at: %s", error)
        return None


def _conclude(attempt: Attempt, work: Work, ending: Ending, seen: VmSeen | None) -> None:
    error = ending.error or {}
    match ending.end:
        case End.SUCCEEDED:
            attempt.succeed(_facts(attempt.kind, work), seen)
        case End.STUCK:
            attempt.stuck(error, seen, evidence(work))
        case End.LATER:
            attempt.requeue(error)
        case End.MISSING | End.LET_GO:
            attempt.missing(begun=ending.end is End.LET_GO)
        case End.FAILED | End.CANCELLED:
            attempt.fail(error, seen, cancelled=ending.end is End.CANCELLED)


def _facts(kind: str, work: Work) -> dict[str, Any]:
    result = plan_for(kind, foreign=work.foreign is not None).result
    freed = sum(int(output.get("freed_bytes", 0)) for output in work.outputs.values())
    return {"freed_bytes": freed} | (work.outputs[result] if result else {})
