"""The lock of a VM on its host: the second line behind the lease.

The lease is held in the database, and a worker that cannot reach it may act on for a while after it has lapsed. The
lock is held in the kernel of the very machine the VM runs on: whoever has it is the only one that acts on the VM, and
when its process ends, however that is, it is free.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

from stillframe.errors import VmHeld, VmNotLocked
from workers.bearer import Bearer, end_the_fenced, noted
from workers.file_lock import locked


@contextmanager
def hold(folder: str, vm: UUID, name: str, timeout_s: float, bearer: Bearer | None = None) -> Iterator[None]:
    """Holds the VM for as long as the block runs.

    A process that does not let go, and that the `bearer` has fenced, is killed; then the time begins once more.

    Raises VmHeld if another process does not let go in time, VmNotLocked if the folder takes no lock.
    """
    with ExitStack() as held:
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            _take(held, f"{folder}/{vm}", name, timeout_s, bearer)
        except OSError as error:
            raise VmNotLocked(vm=name, detail=str(error)) from error
        yield


def _take(held: ExitStack, path: str, name: str, timeout_s: float, bearer: Bearer | None) -> None:
    lock, note = f"{path}.lock", f"{path}.holder"
    try:
        held.enter_context(locked(lock, name, timeout_s))
    except VmHeld:
        if bearer is None or not end_the_fenced(note, name, bearer):
            raise
        held.enter_context(locked(lock, name, timeout_s))
    if bearer is not None:
        held.enter_context(noted(note, name, bearer))
