"""The lock of a VM on its host: the second line behind the lease.

The lease is held in the database, and a worker that cannot reach it may act on for a while after it has lapsed. The
lock is held in the kernel of the very machine the VM runs on: whoever has it is the only one that acts on the VM, and
when its process ends, however that is, it is free.

Beside the lock lies a note of who has it, and for which attempt at which job. One that hangs with the VM in its hands
after it was fenced is known by it, and is killed. The note has a lock of its own, and only who has that one enters,
leaves, or kills: so nobody is killed who has left, and has another job in hand by then.
"""

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from uuid import UUID

from stillframe.errors import VmHeld
from workers import identity

logger = logging.getLogger(__name__)

#: Seconds to wait for the note: who has it writes some bytes, or ends a process.
NOTE_S = 5.0
_LOOK_S = 0.05


@dataclass(frozen=True)
class Bearer:
    """Who has a VM in hand: a process by its name (see `identity.own`), for an attempt at a job."""

    process: str
    job: str
    attempt: int

    def has_fenced(self, other: "Bearer") -> bool:
        """Whether the other has lost its lease to this one, or to one before this: attempts only grow."""
        return other.job == self.job and other.attempt < self.attempt


@contextmanager
def hold(folder: str, vm: UUID, name: str, timeout_s: float, bearer: Bearer | None = None) -> Iterator[None]:
    """Holds the VM for as long as the block runs; raises VmHeld if another process does not let go in time.

    A process that does not, and that the `bearer` has fenced, is killed; then the time begins once more.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    note = f"{folder}/{vm}.holder"
    with _open(f"{folder}/{vm}.lock") as lock:
        try:
            _lock(lock, name, timeout_s)
        except VmHeld:
            if bearer is None or not _end_the_fenced(note, name, bearer):
                raise
            _lock(lock, name, timeout_s)
        if bearer is None:
            yield
            return
        _write(note, name, json.dumps(asdict(bearer)))
        try:
            yield
        finally:
            with suppress(VmHeld):
                _write(note, name, "")


def _end_the_fenced(note: str, name: str, bearer: Bearer) -> bool:
    """Kills who holds the VM if it was fenced; as long as the note is locked it cannot let go of the VM and live on."""
    with _open(note) as descriptor:
        _lock(descriptor, name, NOTE_S)
        holder = _read(descriptor)
        if holder is None or not bearer.has_fenced(holder) or not identity.end(holder.process):
            return False
    logger.warning("job %s: %s hung with the VM in its hands; it was killed", bearer.job, holder.process)
    return True


def _read(descriptor: int) -> Bearer | None:
    """None if nobody is named, or one who died while it wrote."""
    try:
        return Bearer(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None


def _write(note: str, name: str, text: str) -> None:
    with _open(note) as descriptor:
        _lock(descriptor, name, NOTE_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


@contextmanager
def _open(path: str) -> Iterator[int]:
    """A file that is made if it is not there; what is locked of it is free when it is closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, name: str, timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise VmHeld(vm=name) from None
            time.sleep(_LOOK_S)
