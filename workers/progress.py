"""How far a job is: told by steps as often as they like, kept by the lease at its own rate. Also how a cancel reaches a step."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from stillframe.errors import Cancelled, JobTimedOut, LostLease


@dataclass
class Progress:
    """Bytes done of bytes to do of the step that runs. Written by the step's thread, read by the lease's."""

    #: Seconds the job may take, those of attempts before this one included; None if as long as it likes.
    timeout_s: float | None = None
    #: Seconds for which it was under way before this attempt.
    spent_s: float = 0.0
    step: str = ""
    done: int = 0
    total: int = 0
    cancel_asked: bool = False
    lease_lost: bool = False
    #: Neither a cancel nor the end of the time is heard.
    deaf: bool = False
    #: What is in the way for the moment; empty when it is no more, None if nothing ever was.
    waiting: str | None = None
    #: What was done and when, at the first word of this step: the rate is counted from there.
    _first: tuple[int, float] | None = None
    _began: float = field(default_factory=time.monotonic)

    def begin(self, step: str) -> None:
        """A new step: its rate is its own. What the one before counted stands until this one counts."""
        self.step, self._first = step, None

    def __call__(self, done: int, total: int) -> None:
        """The pulse of a long call; raises what `check` does. Within a step what is done is never told as less."""
        if total:
            if self._first is None:
                self._first, self.done = (done, time.monotonic()), 0
            self.done = max(done, self.done)
            self.total = max(total, self.done)
        self.check()

    def check(self) -> None:
        """Raises LostLease, Cancelled or JobTimedOut if this job must not go on."""
        if self.lease_lost:
            raise LostLease(job="")
        if self.deaf:
            return
        if self.cancel_asked:
            raise Cancelled
        if self.is_late:
            raise JobTimedOut(timeout_s=self.timeout_s, phase=self.step)

    @property
    def is_late(self) -> bool:
        """Whether the job has had its time."""
        spent_s = self.spent_s + time.monotonic() - self._began
        return self.timeout_s is not None and spent_s >= self.timeout_s

    @contextmanager
    def waits_for(self, what: str) -> Iterator[None]:
        """Says what is in the way for as long as the block runs."""
        self.waiting = what
        try:
            yield
        finally:
            self.waiting = ""

    def to_json(self) -> dict[str, Any] | None:
        """done, total in bytes, rate in bytes a second, eta_s, as far as there is something to count; what it waits for.

        None as long as there was neither.
        """
        said: dict[str, Any] = {"waiting": self.waiting or None} if self.waiting is not None else {}
        if self.total and self._first is not None:
            first, at = self._first
            rate = max(self.done - first, 0) / max(time.monotonic() - at, 0.001)
            left = max(self.total - self.done, 0)
            said |= {
                "done": self.done,
                "total": self.total,
                "unit": "bytes",
                "rate": round(rate),
                "eta_s": round(left / rate, 1) if rate > 0 else None,
            }
        return said or None
