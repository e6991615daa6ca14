"""Read what a guest says on its serial port: ticks, and whatever else it prints."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from lab.daemon import POLL_S
from lab.errors import LabError

_TICK = re.compile(rb"^tick (\d+) ([0-9a-f-]{36})\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Tick:
    """One heartbeat: this counter was durable on every disk when the guest printed it."""

    counter: int
    boot_id: str


class Serial:
    """A guest's serial log; it only ever grows, over reboots and reverts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def end(self) -> int:
        """The log's length in bytes now: a mark to wait from."""
        return self.path.stat().st_size if self.path.exists() else 0

    def text(self, start: int = 0) -> bytes:
        """What was printed from the byte `start` on, whole lines only."""
        if not self.path.exists():
            return b""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read().rpartition(b"\n")[0] + b"\n"

    def ticks(self, start: int = 0) -> list[Tick]:
        """The ticks printed from the byte `start` on, in the order printed."""
        return [Tick(int(counter), boot_id.decode()) for counter, boot_id in _TICK.findall(self.text(start))]

    def wait_tick(self, after: int | None, timeout_s: float) -> Tick:
        """Wait for a tick printed from now on, with a counter above `after` if given."""
        start = self.end
        deadline = time.monotonic() + timeout_s
        while True:
            for tick in self.ticks(start):
                if after is None or tick.counter > after:
                    return tick
            if time.monotonic() > deadline:
                raise LabError(f"no tick in {timeout_s:g} s; {self._last_words()}")
            time.sleep(POLL_S)

    def wait_line(self, wanted: str, timeout_s: float, start: int = 0) -> None:
        """Wait until a line that begins with `wanted` stands in the log from byte `start` on."""
        deadline = time.monotonic() + timeout_s
        line = re.compile(rb"^" + re.escape(wanted.encode()), re.MULTILINE)
        while not line.search(self.text(start)):
            if time.monotonic() > deadline:
                raise LabError(f"no {wanted!r} in {timeout_s:g} s; {self._last_words()}")
            time.sleep(POLL_S)

    def _last_words(self) -> str:
        said = self.text(max(0, self.end - 400)).decode(errors="replace").strip()
        return f"the serial log ends: {said}" if said else "the serial log is empty"
