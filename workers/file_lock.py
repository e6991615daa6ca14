"""A file that one process at a time has locked; the kernel lets it go when that process ends, however that is."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stillframe.errors import VmHeld

_LOOK_S = 0.05


@contextmanager
def locked(path: str, vm: str, timeout_s: float) -> Iterator[int]:
    """The file, made if it is not there, and ours for as long as the block runs; raises VmHeld if it is not in time."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, vm, timeout_s)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, vm: str, timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise VmHeld(vm=vm) from None
            time.sleep(_LOOK_S)
