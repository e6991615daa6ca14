"""Take a job from where its journal stands to an end; a first run is a resume from nothing.

There is no second path for "after a crash": whoever holds the job calls `carry` with the journal as it is.
"""

import errno
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from stillframe.errors import (
    Cancelled,
    HostLost,
    LostLease,
    NotNow,
    StillframeError,
    VmGone,
)
from workers.progress import Progress
from workers.steps import Plan, Step, StepJournal, Work

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: How often a step past the point of no return, or an undo, is tried before a person is asked.
TRIES = 3
#: Seconds for which something that passes (a busy VM, a full disk) is waited for behind the point of no return.
PATIENCE_S = 600.0
LONGEST_NAP_S = 5.0
#: Seconds to wait for a libvirt daemon that went away.
RECONNECT_S = 120.0


class End(Enum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STUCK = "stuck"
    #: Nothing was done, and it may be tried again later.
    LATER = "later"
    #: The VM is not on this host, and nothing was done.
    MISSING = "missing"
    #: The VM is not on this host any more; what was begun is left as it stands, for the host that has it.
    LET_GO = "let_go"


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
    #: Whether the point of no return was passed: a cancel is not accepted any more.
    no_return: bool = False


class _NoWayBack(Exception):
    """A step past the point of no return keeps failing."""


def carry(plan: Plan, work: Work, journal: StepJournal, standing: Standing, progress: Progress) -> Ending:
    """Goes forward through the plan, or back if a step fails before the point of no return.

    Raises LostLease when another worker has the job now, and HostLost when libvirt stays away: the job is then
    left as it stands, for whoever takes it up next.
    """
    return _Carrier(plan, work, journal, standing, progress, set(standing.started)).carry()


@dataclass
class _Carrier:
    plan: Plan
    work: Work
    journal: StepJournal
    standing: Standing
    progress: Progress
    begun: set[str]

    def carry(self) -> Ending:
        try:
            return self._carry()
        except VmGone as gone:
            return Ending(End.LET_GO if self._anything_done() else End.MISSING, gone.to_json())

    def _carry(self) -> Ending:
        error = self.standing.error
        if error is None:
            failure = self._forward()
            if failure is None:
                return Ending(End.SUCCEEDED)
            if isinstance(failure, _NoWayBack):
                return Ending(End.STUCK, _as_error(failure.__cause__))
            logger.info("turning back: %s", failure, exc_info=not isinstance(failure, StillframeError))
            error = _as_error(failure)
            if isinstance(failure, NotNow) and not self._anything_to_undo():
                return Ending(End.LATER, error)
            self.journal.turn_back(error)
        return self._turned_back(error)

    def _turned_back(self, error: dict[str, Any]) -> Ending:
        self.progress.deaf = True
        try:
            self._back()
        except _NoWayBack as failure:
            logger.exception("an undo failed")
            return Ending(End.STUCK, _as_error(failure.__cause__))
        return Ending(End.CANCELLED if error["code"] == Cancelled.code else End.FAILED, error)

    def _forward(self) -> Exception | None:
        """What a step failed with, if one did. What the journal raises goes through: it says nothing of the machine."""
        ahead = (step for step in self.plan.steps(self.work.outputs) if step.name not in self.standing.done)
        step = next(ahead, None)
        if step and self.journal.start(step.name, no_return=step.final):  # before the machine is touched
            self.progress.cancel_asked = True
        while step:
            self.begun.add(step.name)
            self.progress.begin(step.name)
            try:
                self._hear_cancel_before(step)
                output = self._persistently(step.do, final=self.progress.deaf)
            except (LostLease, HostLost, VmGone):
                raise
            except Exception as failure:
                return failure
            self.work.outputs[step.name] = output
            following = next(ahead, None)
            then, no_return = (following.name, following.final) if following else (None, False)
            if self.journal.finish(step.name, output, then, no_return):
                self.progress.cancel_asked = True
            step = following
        return None

    def _hear_cancel_before(self, step: Step) -> None:
        """The last chance to cancel is before a final step is begun: the journal says which came first."""
        self.progress.deaf = self.progress.deaf or self.standing.no_return
        self.progress.check()
        self.progress.deaf = self.progress.deaf or step.final

    def _back(self) -> None:
        for step in reversed(list(self.plan.steps(self.work.outputs))):
            if step.name not in self.begun or step.name in self.standing.undone:
                continue
            if step.undo is not None:
                self._persistently(step.undo, final=True)
            self.journal.undone(step.name)

    def _anything_to_undo(self) -> bool:
        return any(step.undo and step.name in self.begun for step in self.plan.steps(self.work.outputs))

    def _anything_done(self) -> bool:
        plan = self.plan.steps(self.work.outputs)
        return any((step.undo or step.final) and step.name in self.begun for step in plan)

    def _persistently(self, act: Callable[[Work], Result], *, final: bool) -> Result:
        """Does an act; again when libvirt went away meanwhile, and, where there is no way back, when it failed."""
        tries, until = 0, time.monotonic() + PATIENCE_S
        while True:
            try:
                return act(self.work)
            except (LostLease, VmGone):
                raise
            except HostLost:
                tries += 1
                if tries > TRIES:
                    raise
                logger.warning("connection to libvirt lost; reconnecting")
                self.work.host.reconnect(RECONNECT_S)
            except Exception as failure:
                if not final:
                    raise
                tries += 1
                passing = _may_pass(failure) and time.monotonic() < until
                if tries >= TRIES and not passing:
                    raise _NoWayBack from failure
                logger.warning("past the point of no return, trying again: %s", failure)
                time.sleep(min(0.5 * tries, LONGEST_NAP_S))
                self.progress.check()


def _may_pass(failure: Exception) -> bool:
    """Whether what is in the way may go away by itself, or somebody may soon make room."""
    full = isinstance(failure, OSError) and failure.errno == errno.ENOSPC
    return full or isinstance(failure, NotNow) or "No space left" in str(failure)


def _as_error(failure: BaseException | None) -> dict[str, Any]:
    if isinstance(failure, StillframeError):
        return failure.to_json()
    words = f"{type(failure).__name__}: {failure}"
    return StillframeError(detail=words).to_json()
