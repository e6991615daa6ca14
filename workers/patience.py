"""Waiting for a database that is away: a job in mid-flight is not undone because nobody could write it down."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from models.session import DatabaseAway

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Seconds to wait for the database. Longer than any restart; by then the lease has long been anybody's.
PATIENCE_S = 900.0
_LONGEST_NAP_S = 2.0


def patiently(
    act: Callable[[], Result], catch_up: Callable[[], object], patience_s: float = PATIENCE_S
) -> Result:
    """Does an act that may be done again, until the database has taken it. Raises what else it raises.

    A commit whose answer was lost may have been made: `catch_up` is called before the act is done again, and looks.
    """
    until, nap_s, tried = time.monotonic() + patience_s, 0.1, False
    while True:
        try:
            if tried:
                catch_up()
            return act()
        except DatabaseAway as error:
            if time.monotonic() > until:
                raise
            logger.warning("the database is away, trying again: %s", error.orig)
            time.sleep(nap_s)
            nap_s, tried = min(nap_s * 2, _LONGEST_NAP_S), True
