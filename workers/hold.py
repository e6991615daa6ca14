"""The lock of a VM on its host: the second line behind the lease.

The lease is held in the database, and a worker that cannot reach it may act on for a while after it has lapsed. The
lock is held in the kernel of the very machine the VM runs on: whoever has it is the only one that acts on the VM, and
when its process ends, however that is, it is free.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from stillframe.errors import VmHeld

_LOOK_S = 0.05


@contextmanager
def hold(
    folder: str, vm: UUID, name: str, timeout_s: float, last_resort: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Holds the VM for as long as the block runs; raises VmHeld if another process does not let go in time.

    `last_resort` is called before giving up; if it returns True the time begins once more.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    descriptor = os.open(f"{folder}/{vm}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            _lock(descriptor, name, time.monotonic() + timeout_s)
        except VmHeld:
            if not last_resort():
                raise
            _lock(descriptor, name, time.monotonic() + timeout_s)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, name: str, until: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise VmHeld(vm=name) from None
            time.sleep(_LOOK_S)
