"""Processes that stand still or get on slowly, so that a test meets them in the middle on a machine of any speed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that stands still within the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        _continue(pid)


@contextmanager
def slow(pid: int, share: float = 0.1) -> Iterator[None]:
    """A process that gets only a share of the time within the block, as if it had ten times the work to do."""
    os.kill(pid, signal.SIGSTOP)  # at once: it may be nearly through
    child = os.fork()
    if child == 0:
        _brake(pid, share)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        _continue(pid)


def _brake(pid: int, share: float) -> None:
    """In a process of its own, since a busy test would stop too long or too short."""
    parent, turn_s = os.getppid(), 0.05
    try:
        while os.getppid() == parent:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(turn_s * (1 - share))
            os.kill(pid, signal.SIGCONT)
            time.sleep(turn_s * share)
    except ProcessLookupError:
        pass
    finally:
        _continue(pid)
        os._exit(0)


def _continue(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
