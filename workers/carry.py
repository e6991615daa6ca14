"""Take a job from where its journal stands to an end; a first run is a resume from nothing.

There is no second path for "after a crash": whoever holds the job calls `carry` with the journal as it is.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from stillframe.errors import Cancelled, HostLost, LostLease, NotNow, StillframeError
from workers.progress import Progress
from workers.steps import Plan, Step, StepJournal, Work

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: How often a step past the point of no return, or an undo, is tried before a person is asked.
TRIES = 3
#: Seconds to wait for a libvirt daemon that went away.
RECONNECT_S = 120.0


class End(Enum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STUCK = "stuck"
    #: Nothing was done, and it may be tried again later.
    LATER = "later"


@dataclass(frozen=True)
class Ending:
    """How a job ended, and the error that made it end so."""

    end: End
    error: dict[str, Any] | None = None


@dataclass(frozen=True)
class Standing:
    """Where the journal stands: the steps that were ever started, and why the job turned back if it did."""

    started: frozenset[str]
    done: frozenset[str]
    undone: frozenset[str]
    error: dict[str, Any] | None = None


class _NoWayBack(Exception):
    """A step past the point of no return keeps failing."""


def carry(plan: Plan, work: Work, journal: StepJournal, standing: Standing, progress: Progress) -> Ending:
    """Goes forward through the plan, or back if a step fails before the point of no return."""
    error = standing.error
    begun = set(standing.started)
    if error is None:
        try:
            _go_forward(plan, work, journal, standing, begun, progress)
        except LostLease:
            raise
        except _NoWayBack as no_way:
            return Ending(End.STUCK, _as_error(no_way.__cause__))
        except Exception as failure:
            logger.info("turning back: %s", failure, exc_info=not isinstance(failure, StillframeError))
            error = _as_error(failure)
            if isinstance(failure, NotNow) and _nothing_to_undo(plan, work, begun):
                return Ending(End.LATER, error)
            journal.turn_back(error)
        else:
            return Ending(End.SUCCEEDED)
    progress.deaf = True
    try:
        _go_back(plan, work, journal, standing, begun)
    except LostLease:
        raise
    except Exception as failure:
        logger.exception("an undo failed")
        return Ending(End.STUCK, error | {"undo": _as_error(failure)})
    return Ending(End.CANCELLED if error["code"] == Cancelled.code else End.FAILED, error)


def _go_forward(
    plan: Plan, work: Work, journal: StepJournal, standing: Standing, begun: set[str], progress: Progress
) -> None:
    for step in plan.steps(work.outputs):
        if step.final:
            progress.deaf = True
        if step.name in standing.done:
            continue
        progress.check()
        progress.begin(step.name)
        journal.start(step.name)  # committed before the machine is touched
        begun.add(step.name)
        output = _persistently(lambda step=step: step.do(work), work, final=progress.deaf)  # type: ignore[misc]
        work.outputs[step.name] = output
        journal.finish(step.name, output)


def _go_back(plan: Plan, work: Work, journal: StepJournal, standing: Standing, begun: set[str]) -> None:
    for step in reversed(list(plan.steps(work.outputs))):
        if step.name not in begun or step.name in standing.undone:
            continue
        if step.undo is not None:
            _persistently(lambda step=step: step.undo(work), work, final=True)  # type: ignore[misc]
        journal.undone(step.name)


def _persistently(act: Callable[[], Result], work: Work, *, final: bool) -> Result:
    """Does an act; again when libvirt went away meanwhile, and, where there is no way back, when it failed."""
    tries = 0
    while True:
        try:
            return act()
        except (LostLease, Cancelled):
            raise
        except HostLost:
            tries += 1
            if tries > TRIES:
                raise
            logger.warning("connection to libvirt lost; reconnecting")
            work.host.reconnect(RECONNECT_S)
        except Exception as failure:
            if not final:
                raise
            tries += 1
            if tries >= TRIES:
                raise _NoWayBack from failure
            logger.warning("past the point of no return, trying again: %s", failure)
            time.sleep(0.5 * tries)


def _nothing_to_undo(plan: Plan, work: Work, begun: set[str]) -> bool:
    return not any(step.undo for step in _begun(plan, work, begun))


def _begun(plan: Plan, work: Work, begun: set[str]) -> list[Step]:
    return [step for step in plan.steps(work.outputs) if step.name in begun]


def _as_error(failure: BaseException | None) -> dict[str, Any]:
    if isinstance(failure, StillframeError):
        return failure.to_json()
    words = f"{type(failure).__name__}: {failure}"
    return StillframeError(detail=words).to_json()
