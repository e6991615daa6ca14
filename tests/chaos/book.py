"""What one guest of the long run has written, and so what each of its snapshots must hold."""

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from lab import Guest
from tests.journeys.site import Json
from tests.journeys.witness import Witness

#: Seconds before a job was asked for in which a VM's death may not have been seen yet.
_JUST_BEFORE_S = 20.0


@dataclass(frozen=True)
class Kept:
    """A snapshot, and the digests that the marker on each of its disks may have."""

    id: str
    kind: str
    digests: frozenset[str]
    #: Ticks that were durable before it was asked for; 0 where another client could have reverted meanwhile.
    least: int
    #: Of a memory snapshot: the boot that a revert has to come back to, if that is certain.
    boot: str | None


@dataclass
class Book:
    """One guest's history, as far as it tells what a disk may hold now. Clients of other guests ask it too."""

    witness: Witness
    kept: dict[str, Kept] = field(default_factory=dict)
    #: Digests one of which each disk holds now.
    possible: frozenset[str] = frozenset()
    #: Set by who kills QEMU, cleared by who starts the VM again.
    qemu_killed: bool = False
    #: The last tick printed before that; 0 if it proves nothing, since a revert was under way.
    last_tick: int = 0
    reverting: bool = False
    #: From which byte of the serial log on ticks are those of the present history: a revert begins another one.
    history: int = 0
    #: When QEMU was killed, or the power cut by the client, in seconds since the epoch.
    killed_at: list[float] = field(default_factory=list)
    #: Held by who cuts the power or starts the VM.
    power: threading.Lock = field(default_factory=threading.Lock)
    #: Set by another client that found something wrong.
    condemned: bool = False
    #: Bytes of the serial log that were looked through for errors.
    heard: int = 0
    _windows: list[set[str]] = field(default_factory=list)
    _strangers: int = 0
    _closed: bool = False
    _given_up: bool = False
    _gate: threading.Condition = field(default_factory=threading.Condition)

    @property
    def guest(self) -> Guest:
        """The guest itself."""
        return self.witness.guest

    def loses_power(self) -> None:
        """Noted by who is about to cut it: what is durable now has to be there when it starts again."""
        ticks = self.guest.serial.ticks(self.history)
        self.qemu_killed = True
        self.last_tick = 0 if self.reverting or not ticks else ticks[-1].counter
        self.killed_at.append(time.time())

    def write(self, command: str) -> None:
        """What a command prints is the marker of every disk, durably; the old one or the new, whenever it is cut short."""
        for target in self.guest.disks:
            disk = f"/disk/{target}"
            new = f"{command} > {disk}/new && sync {disk}/new"
            self.guest.sh(f"{new} && mv {disk}/new {disk}/marker && sync {disk}", timeout_s=60)

    # --- what the disks may hold --------------------------------------------------------------------

    def may_become(self, *digests: str) -> None:
        """From now on a disk may hold one of these as well."""
        with self._gate:
            self.possible |= set(digests)
            for window in self._windows:
                window.update(digests)

    def is_now(self, *digests: str) -> None:
        """From now on each disk holds one of these."""
        with self._gate:
            self.possible = frozenset(digests)

    @contextmanager
    def window(self) -> Iterator[set[str]]:
        """All that a disk may have held at some time within the block."""
        with self._gate:
            seen = set(self.possible)
            self._windows.append(seen)
        try:
            yield seen
        finally:
            with self._gate:
                self._windows = [one for one in self._windows if one is not seen]

    # --- who may ask --------------------------------------------------------------------------------

    @contextmanager
    def as_stranger(self) -> Iterator[bool]:
        """Another client asks something of this VM; False while its own client looks at its files."""
        with self._gate:
            entered = not (self._closed or self._given_up)
            self._strangers += entered
        try:
            yield entered
        finally:
            with self._gate:
                self._strangers -= entered
                self._gate.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other client asks anything of this VM within the block."""
        with self._gate:
            self._closed = True
            self._gate.wait_for(lambda: self._strangers == 0)
        try:
            yield
        finally:
            with self._gate:
                self._closed = False

    def close(self) -> None:
        """For good."""
        self._given_up = True

    def killed_since(self, job: Json) -> bool:
        """Whether the VM lost its power since a job was asked for, or just before."""
        since = datetime.fromisoformat(job["created_at"]).timestamp() - _JUST_BEFORE_S
        return any(at >= since for at in self.killed_at)

    def any_kept(self, dice: random.Random) -> Kept | None:
        """One of the snapshots."""
        with self._gate:
            return dice.choice(list(self.kept.values())) if self.kept else None

    def keep(self, kept: Kept) -> None:
        """One more."""
        with self._gate:
            self.kept[kept.id] = kept

    def drop(self, id_: str) -> Kept | None:
        """One less; None if it is not there any more."""
        with self._gate:
            return self.kept.pop(id_, None)


def new_marker(dice: random.Random) -> tuple[str, str]:
    """A file's content as a shell command that prints it, and its digest; 8 KiB to 2 MiB."""
    words, size = os.urandom(64).hex(), dice.choice([8, 64, 256, 2048]) << 10
    line = f"{words}\n".encode()
    content = (line * (size // len(line) + 1))[:size]
    return f"yes {words} | head -c {size}", hashlib.sha256(content).hexdigest()
