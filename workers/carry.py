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
    JobTimedOut,
    LostLease,
    NotNow,
    StillframeError,
    StorageFull,
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
    """Goes forward through the plan, or back if a step fails before the first final one; behind it, stops if it is told to.

    Raises LostLease when another worker has the job now, and HostLost when libvirt stays away: the job is then
    left as it stands, for whoever takes it up next.
    """
    begun, done = set(standing.started), set(standing.done)
    return _Carrier(plan, work, journal, standing, progress, begun, done, standing.no_return).carry()


@dataclass
class _Carrier:
    plan: Plan
    work: Work
    journal: StepJournal
    standing: Standing
    progress: Progress
    #: Steps whose intent is written, and those whose outcome is.
    begun: set[str]
    done: set[str]
    #: Nothing that is still to come hears a cancel.
    passed: bool

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
            if self._is_past():
                error |= {"remedy": self.plan.halted}
            self.journal.turn_back(error)
        return self._turned_back(error)

    def _turned_back(self, error: dict[str, Any]) -> Ending:
        self.progress.deaf = True
        try:
            if self._is_past():
                self._halt()
            else:
                self._back()
        except _NoWayBack as failure:
            logger.exception("an undo failed")
            return Ending(End.STUCK, _as_error(failure.__cause__))
        return Ending(End.CANCELLED if error["code"] == Cancelled.code else End.FAILED, error)

    def _forward(self) -> Exception | None:
        """What a step failed with, if one did. What the journal raises goes through: it says nothing of the machine."""
        ahead = (step for step in self.plan.steps(self.work.outputs) if step.name not in self.standing.done)
        before, step = self._last_done(), next(ahead, None)
        if step and self.journal.start(step.name, self._closes(step)):  # before the machine is touched
            self.progress.cancel_asked = True
        while step:
            self.begun.add(step.name)
            self.progress.begin(step.name)
            try:
                self._listen(step, before)
                output = self._persistently(step.do, final=step.final)
            except (LostLease, HostLost, VmGone):
                raise
            except Exception as failure:
                return failure
            self.work.outputs[step.name] = output
            before, step = step, next(ahead, None)
            then, closes = (step.name, self._closes(step)) if step else (None, False)
            if self.journal.finish(before.name, output, then, closes):
                self.progress.cancel_asked = True
            self.done.add(before.name)
        return None

    def _closes(self, step: Step) -> bool:
        """Whether the point of no return is passed with this step, and the row shall say so."""
        return not self.plan.hears_from(step, self.work.outputs) and (
            self.passed or not self.progress.is_late
        )

    def _listen(self, step: Step, before: Step | None) -> None:
        """Raises what ends the job, if that may still be heard at this step, and sees to what is heard while it runs.

        The last chance is before the first step from which on none hears: the journal says which came first. Before
        another deaf step, what came in the last moment of a step that hears is heard as well; not when the deaf step was
        begun before, by a worker that died: how far that one came is for the step itself to find out.
        """
        last_chance = not self.plan.hears_from(step, self.work.outputs)
        untouched = step.name not in self.standing.started and (before is None or before.hears)
        self.progress.deaf = self.passed or not (step.hears or last_chance or untouched)
        self.progress.check()
        self.passed = self.passed or last_chance
        self.progress.deaf = self.passed or not step.hears

    def _last_done(self) -> Step | None:
        done = [step for step in self.plan.steps(self.work.outputs) if step.name in self.done]
        return done[-1] if done else None

    def _is_past(self) -> bool:
        """Whether something was done that is never taken back: the job can be stopped, not walked back."""
        steps = self.plan.steps(self.work.outputs)
        return any(
            step.final and (step.name in self.done or (step.hears and step.name in self.begun))
            for step in steps
        )

    def _back(self) -> None:
        for step in self._to_be_undone():
            if step.undo is not None:
                self._persistently(step.undo, final=True)
            self.journal.undone(step.name)

    def _halt(self) -> None:
        """Ends what is under way. What is done stays done; also of that something may still run (a merge before its pivot)."""
        for step in self._to_be_undone():
            if step.halt is not None:
                self._persistently(step.halt, final=True)
            if step.name not in self.done:
                self.journal.undone(step.name)

    def _to_be_undone(self) -> list[Step]:
        begun = [step for step in self.plan.steps(self.work.outputs) if step.name in self.begun]
        return [step for step in reversed(begun) if step.name not in self.standing.undone]

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
            except HostLost as failure:
                tries += 1
                if tries > TRIES:
                    raise
                logger.warning("connection to libvirt lost; reconnecting")
                with self.progress.waits_for(str(failure)):
                    self.work.host.reconnect(RECONNECT_S)
            except Exception as failure:
                if not final or (isinstance(failure, Cancelled | JobTimedOut) and not self.progress.deaf):
                    raise
                tries += 1
                passing = _may_pass(failure) and time.monotonic() < until
                if tries >= TRIES and not passing:
                    raise _NoWayBack from failure
                logger.warning("past the point of no return, trying again: %s", failure)
                with self.progress.waits_for(str(failure)):
                    time.sleep(min(0.5 * tries, LONGEST_NAP_S))
                self.progress.check()


def _may_pass(failure: Exception) -> bool:
    """Whether what is in the way may go away by itself, or somebody may soon make room."""
    full = isinstance(failure, OSError) and failure.errno == errno.ENOSPC
    return full or isinstance(failure, NotNow) or "No space left" in str(failure)


def _as_error(failure: BaseException | None) -> dict[str, Any]:
    if isinstance(failure, StillframeError):
        return failure.to_json()
    if isinstance(failure, OSError) and failure.errno == errno.ENOSPC:
        return StorageFull(detail=str(failure)).to_json()
    words = f"{type(failure).__name__}: {failure}"
    return StillframeError(detail=words).to_json()
