"""Asking again: whoever looks at a system that is being hurt meets its parts while they are down."""

import time
from collections.abc import Callable
from typing import TypeVar

import libvirt
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from lab import LabError
from stillframe.errors import StillframeError

Found = TypeVar("Found")

#: What a part that is down makes of a question.
DOWN = (LabError, libvirt.libvirtError, SQLAlchemyError, RedisError, OSError, StopIteration)
_SERVERS_FAULT = 500


def refused(problem: StillframeError) -> bool:
    """Whether the API understood and said no; otherwise it was down, or what it needs was."""
    return 0 < problem.status < _SERVERS_FAULT


def steadily(act: Callable[[], Found], timeout_s: float = 180, every_s: float = 0.3) -> Found:
    """What an act gives once nothing that it needs is down; raises what it met last when the time is over."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            return act()
        except StillframeError as problem:
            if refused(problem) or time.monotonic() > end:
                raise
        except DOWN:
            if time.monotonic() > end:
                raise
        time.sleep(every_s)
