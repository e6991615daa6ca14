"""What is left behind is looked after: schedules that a wrong clock led astray, firings and idempotency keys of long ago."""

import logging
import time
from datetime import timedelta

from sqlalchemy import Engine

from models import once
from models.policies import forget
from models.policies.astray import mend
from models.session import transaction

logger = logging.getLogger(__name__)

#: Seconds after which one look begins with no further bunch: what is left is the next one's.
_LONGEST_S = 5.0
_AT_ONCE = 500


def mend_clocks(engine: Engine) -> int:
    """Schedules that had decided about times to come begin again now; returns how many."""
    mended, end = 0, time.monotonic() + _LONGEST_S
    while time.monotonic() < end:
        with transaction(engine) as session:
            found = mend(session, _AT_ONCE)
        mended += len(found)
        if len(found) < _AT_ONCE:
            break
    if mended:
        logger.warning("the database's clock went back: %d schedules begin again now", mended)
    return mended


def forget_firings(engine: Engine, keep_days: float) -> int:
    """Removes those older than so many days that have no snapshot any more; 0 days: none. Returns how many."""
    forgotten, behind, end = 0, forget.BEGIN, time.monotonic() + _LONGEST_S
    while keep_days and time.monotonic() < end:
        with transaction(engine) as session:
            found = forget.forget(session, timedelta(days=keep_days), behind)
        forgotten += found.firings
        if found.last is None:
            break
        behind = found.last
    return forgotten


def forget_keys(engine: Engine) -> int:
    """Removes idempotency keys that are known for long enough, the oldest first; returns how many."""
    forgotten, end = 0, time.monotonic() + _LONGEST_S
    while time.monotonic() < end:
        with transaction(engine) as session:
            found = once.forget(session)
        forgotten += found
        if not found:
            break
    return forgotten
