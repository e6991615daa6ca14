"""How far a job is: told by steps as often as they like, kept by the lease at its own rate. Also how a cancel reaches a step."""

import time
from dataclasses import dataclass, field
from typing import Any

from stillframe.errors import Cancelled, LostLease


@dataclass
class Progress:
    """Bytes done of bytes to do of the step that runs. Written by the step's thread, read by the lease's."""

    step: str = ""
    done: int = 0
    total: int = 0
    cancel_asked: bool = False
    lease_lost: bool = False
    #: Past the point of no return a cancel is no longer heard.
    deaf: bool = False
    _began: float = field(default_factory=time.monotonic)

    def begin(self, step: str) -> None:
        """A new step: its rate is its own."""
        self.step, self.done, self.total, self._began = step, 0, 0, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """The pulse of a long call; raises Cancelled when a cancel was asked for, LostLease when fenced."""
        self.done, self.total = done, total
        self.check()

    def check(self) -> None:
        """Raises Cancelled or LostLease if this job must not go on."""
        if self.lease_lost:
            raise LostLease(job="")
        if self.cancel_asked and not self.deaf:
            raise Cancelled

    def to_json(self) -> dict[str, Any] | None:
        """done, total in bytes, rate in bytes a second, eta_s; None when the step has nothing to count."""
        if not self.total:
            return None
        rate = self.done / max(time.monotonic() - self._began, 0.001)
        left = max(self.total - self.done, 0)
        return {
            "done": self.done,
            "total": self.total,
            "unit": "bytes",
            "rate": round(rate),
            "eta_s": round(left / rate, 1) if rate > 0 else None,
        }
