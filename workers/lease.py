"""The heartbeat of a held job: it renews the lease, writes progress at a bounded rate, and brings a cancel to the step."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from stillframe.errors import LostLease
from workers.progress import Progress

logger = logging.getLogger(__name__)

#: Seconds between two looks for progress or a cancel while a long call runs.
LOOK_S = 0.5


class Renewable(Protocol):
    """The part of an attempt that the heartbeat uses."""

    def renew(self, lease_s: float, progress: dict[str, Any] | None) -> bool: ...


@contextmanager
def heartbeat(attempt: Renewable, progress: Progress, *, lease_s: float, every_s: float) -> Iterator[None]:
    """Keeps the lease for as long as the block runs."""
    over = threading.Event()
    thread = threading.Thread(
        target=_beat, args=(attempt, progress, over, lease_s, every_s), name="lease", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(
    attempt: Renewable, progress: Progress, over: threading.Event, lease_s: float, every_s: float
) -> None:
    told: dict[str, Any] | None = None
    since_s = 0.0
    held_until = time.monotonic() + lease_s
    is_away = False
    while not over.wait(LOOK_S):
        since_s += LOOK_S
        now = progress.to_json()
        if now == told and since_s < every_s:
            continue
        asked_at = time.monotonic()
        try:
            progress.cancel_asked = attempt.renew(lease_s, now) or progress.cancel_asked
            told, since_s, held_until, is_away = now, 0.0, asked_at + lease_s, False
            progress.lease_lost = False  # it had lapsed, and nobody had taken it
        except LostLease:
            progress.lease_lost = True
            return
        except Exception as error:  # the database is away: the lease runs on, and the next beat tries again
            if not is_away:
                logger.warning("could not renew the lease, and goes on trying: %s", error)
            is_away = True
            if time.monotonic() >= held_until:
                # Somebody else may have the job by now. The first renewal that is answered tells.
                progress.lease_lost = True
