"""The SHA-256 of a large file, read past the page cache by one thread while another computes."""

import hashlib
import mmap
import os
import queue
import threading
import time

from hypervisor.child import PULSE_EVERY_S
from hypervisor.port import Pulse

#: Large enough that storage and SHA-256 both run at full speed, small enough to answer a cancel at once.
PIECE_BYTES = 4 << 20
_PIECES = 4


def sha256(path: str, pulse: Pulse) -> str:
    """Hex digest of a file's bytes; `pulse` may stop it."""
    total = os.stat(path).st_size
    digest = hashlib.sha256()
    with _Reader(path) as reader:
        done, told_at = 0, 0.0
        while piece := reader.next():
            digest.update(piece)
            done += len(piece)
            reader.give_back()
            if time.monotonic() - told_at >= PULSE_EVERY_S:
                pulse(done, total)
                told_at = time.monotonic()
    pulse(done, total)
    return digest.hexdigest()


class _Reader:
    """Reads ahead into a few buffers, in order. Anonymous maps are page-aligned, as O_DIRECT wants it."""

    def __init__(self, path: str) -> None:
        self._descriptor = _open(path)
        self._free: queue.SimpleQueue[mmap.mmap | None] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[tuple[mmap.mmap, int] | OSError] = queue.SimpleQueue()
        self._held: mmap.mmap | None = None
        for _ in range(_PIECES):
            self._free.put(mmap.mmap(-1, PIECE_BYTES))
        self._thread = threading.Thread(target=self._read, name="digest-reader", daemon=True)

    def __enter__(self) -> "_Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._free.put(None)
        self._thread.join()
        os.close(self._descriptor)

    def next(self) -> memoryview:
        """The next bytes; none at the end of the file."""
        found = self._full.get()
        if isinstance(found, OSError):
            raise found
        self._held, size = found
        return memoryview(self._held)[:size]

    def give_back(self) -> None:
        """Lets the bytes of the last `next` be overwritten."""
        self._free.put(self._held)

    def _read(self) -> None:
        try:
            while buffer := self._free.get():
                size = os.readv(self._descriptor, [buffer])
                self._full.put((buffer, size))
                if size == 0:
                    return
        except OSError as error:
            self._full.put(error)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        return os.open(path, os.O_RDONLY)
