"""The heartbeat, and what stops a worker that is not sure of its lease."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from stillframe.errors import LostLease
from workers.lease import heartbeat
from workers.progress import Progress


class Database:
    """Answers renewals as it is told to."""

    def __init__(self, answer: Callable[[], bool]) -> None:
        self._answer = answer
        self.asked = threading.Event()

    def renew(self, lease_s: float, progress: dict[str, Any] | None) -> bool:
        self.asked.set()
        return self._answer()


def _away() -> bool:
    raise OSError("the database does not answer")


def _wait_until(holds: Callable[[], bool]) -> None:
    stop = threading.Event()
    for _ in range(1000):
        if holds():
            return
        stop.wait(0.01)
    raise AssertionError("it did not come true in 10 s")


def test_who_cannot_renew_stops() -> None:
    """A worker that could not renew for as long as its lease lasts acts no more: another may have the job."""
    progress = Progress()
    with heartbeat(Database(_away), progress, lease_s=0.2, every_s=0.1):
        _wait_until(lambda: progress.lease_lost)
    with pytest.raises(LostLease):
        progress(1, 2)


def test_who_can_renew_again_goes_on() -> None:
    """The database was away for longer than the lease, and nobody has taken the job meanwhile: it is held as before."""
    progress, back = Progress(), threading.Event()

    def answer() -> bool:
        return False if back.is_set() else _away()

    with heartbeat(Database(answer), progress, lease_s=0.2, every_s=0.1):
        _wait_until(lambda: progress.lease_lost)
        back.set()
        _wait_until(lambda: not progress.lease_lost)
    progress(1, 2)


def test_a_cancel_reaches_the_step() -> None:
    """What a renewal answers is what the next pulse raises."""
    progress = Progress()
    with heartbeat(Database(lambda: True), progress, lease_s=30, every_s=0.1):
        _wait_until(lambda: progress.cancel_asked)
