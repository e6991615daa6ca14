"""The note of who has a VM in hand, and for which attempt at which job: one who hangs with it after it was fenced is killed.

It lies beside the lock of the VM, and has a lock of its own. Only who has that one enters, leaves, or kills: so nobody is
killed who has left, and has another job in hand by then.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from stillframe.errors import VmHeld
from workers import identity
from workers.file_lock import locked

logger = logging.getLogger(__name__)

#: Seconds to wait for the note: who has it writes some bytes, or ends a process.
NOTE_S = 5.0


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
def noted(note: str, vm: str, bearer: Bearer) -> Iterator[None]:
    """The note names the bearer for as long as the block runs; raises VmHeld if it cannot be written."""
    _write(note, vm, json.dumps(asdict(bearer)))
    try:
        yield
    finally:
        with suppress(VmHeld):
            _write(note, vm, "")


def end_the_fenced(note: str, vm: str, bearer: Bearer) -> bool:
    """Kills who holds the VM if it was fenced; as long as the note is locked it cannot let go of the VM and live on."""
    with locked(note, vm, NOTE_S) as descriptor:
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


def _write(note: str, vm: str, text: str) -> None:
    with locked(note, vm, NOTE_S) as descriptor:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
