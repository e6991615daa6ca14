"""How far a file has been read by QEMU or libvirt, told by the kernel: of a restore neither tells it.

libvirt opens a memory file and hands it on; all who have it share one place in it, which moves with every read.
"""

import os
import re
import time
from contextlib import suppress

from hypervisor.openers import openers

#: Names of the programs that may have it, as far as the kernel keeps them.
_READERS = re.compile(r"qemu|libvirt|virtqemud|kvm")
#: Seconds between two searches among all processes.
_SEARCH_EVERY_S = 0.5
_POSITION = re.compile(r"^pos:\s*(\d+)$", re.MULTILINE)


class ReadSoFar:
    """Of one file, for as long as somebody has it open."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: list[str] = []
        self._search_at = 0.0

    def look(self) -> tuple[int, int]:
        """Bytes read and bytes of the file; 0 of 0 if nobody is seen to read it. Never raises."""
        with suppress(OSError):
            looks = os.stat(self._path)
            if not (places := self._places()) and time.monotonic() >= self._search_at:
                self._search_at = time.monotonic() + _SEARCH_EVERY_S
                self._open = list(openers(self._path, _READERS))
                places = self._places()
            if places:
                return min(max(places), looks.st_size), looks.st_size
        return 0, 0

    def _places(self) -> list[int]:
        """Where in it they are. A descriptor may be closed and given to another file: then it is none any more."""
        found = []
        for descriptor in self._open:
            with suppress(OSError), open(descriptor.replace("/fd/", "/fdinfo/")) as said:
                if os.path.samefile(descriptor, self._path) and (place := _POSITION.search(said.read())):
                    found.append(int(place[1]))
        return found
