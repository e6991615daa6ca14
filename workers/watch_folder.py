"""The folder in which a host keeps on record which freezes and pauses Stillframe has under way there.

Workers write a ward before they freeze or pause and take it away when they saw the end of it; the watchdog ends what they
do not, and leaves word of it for the keeper. It needs no database, no broker and no libvirt: files, and a clock that no
one sets.
"""

import json
import logging
import os
import re
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

from stillframe.events import EventType, Level
from workers.hold import hold

logger = logging.getLogger(__name__)

Kind = Literal["freeze", "pause"]

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_WARD = re.compile(f"({_UUID})\\.({_UUID})\\.json")
_WORD = re.compile(f"word\\.({_UUID})\\.json")
_SIGN = "alive"


def now() -> float:
    """Seconds since this host was booted, those in which it slept included: no clock that is set, or steps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, kw_only=True)
class Ward:
    """One freeze or pause under way. Times are of `now`."""

    vm: UUID
    name: str
    job: UUID
    kind: Kind
    #: We suspended the VM ourselves, as a user does: a pause for libvirt's reason `user` is then ours too.
    ours: bool = False
    began: float
    budget_s: float
    #: The process that has to end it, by the name of `workers.identity`.
    holder: str
    #: The watchdog has acted, or was about to: what the freeze or the pause was for cannot rely on it.
    broken: bool = False
    #: Its worker saw the end. The record says, to who takes up the job, that the freeze was whole; there is nothing to end.
    ended: bool = False
    #: When an alarm about it was given last.
    alarmed: float | None = None

    @property
    def is_late(self) -> bool:
        """Whether it lasts longer than it may."""
        return now() >= self.began + self.budget_s


@dataclass(frozen=True, kw_only=True)
class Word:
    """What the watchdog has to tell: an event that is not in the database yet. Its id makes telling it twice telling it once."""

    id: UUID = field(default_factory=uuid4)
    vm: UUID
    job: UUID
    type: EventType
    level: Level
    message: str
    data: dict[str, Any]
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())


class WatchFolder:
    """One host's. Every file is written whole, so one that cannot be read was not written by us."""

    def __init__(self, path: str | Path, host: str) -> None:
        #: Of this host alone: a machine may have two, each with a libvirt of its own.
        self.path = os.path.join(path, host)

    # --- wards --------------------------------------------------------------------------------

    def wards(self) -> list[Ward]:
        """All of them; what calls itself one and is none is taken away."""
        found = []
        for path in _listing(self.path):
            if not _WARD.fullmatch(os.path.basename(path)):
                continue
            ward = _read_ward(path)
            if ward is not None:
                found.append(ward)
            elif os.path.exists(path):
                logger.error("%s is not the record of a freeze or a pause; it is removed", path)
                _remove(path)
        return found

    def ward(self, vm: UUID, job: UUID) -> Ward | None:
        """The one that a job has under way on a VM."""
        return _read_ward(self._ward_path(vm, job))

    def write(self, ward: Ward) -> None:
        """Puts it on record; it is there for all others when this returns."""
        said = asdict(ward) | {"vm": str(ward.vm), "job": str(ward.job)}
        write_whole(self._ward_path(ward.vm, ward.job), json.dumps(said, indent=1))

    def change(self, ward: Ward, **facts: Any) -> Ward:
        """The same with other facts, on record."""
        changed = replace(ward, **facts)
        self.write(changed)
        return changed

    def remove(self, ward: Ward) -> None:
        """Takes it off the record."""
        _remove(self._ward_path(ward.vm, ward.job))

    def alone(self, vm: UUID, name: str, timeout_s: float) -> AbstractContextManager[None]:
        """Within the block nobody else changes the wards of this VM, or acts on them; raises VmHeld."""
        return hold(self.path, vm, name, timeout_s)

    # --- what the watchdog says -----------------------------------------------------------------

    def say(self, word: Word) -> None:
        """Leaves word."""
        said = asdict(word) | {"id": str(word.id), "vm": str(word.vm), "job": str(word.job)}
        write_whole(os.path.join(self.path, f"word.{word.id}.json"), json.dumps(said, indent=1))

    def words(self) -> list[Word]:
        """All that was left and not taken away, oldest first."""
        paths = [path for path in _listing(self.path) if _WORD.fullmatch(os.path.basename(path))]
        found = [word for path in paths if (word := _read_word(path))]
        return sorted(found, key=lambda word: word.at)

    def forget(self, word: Word) -> None:
        """Takes a word away: it was told."""
        _remove(os.path.join(self.path, f"word.{word.id}.json"))

    def sign(self) -> None:
        """The watchdog's sign of life."""
        write_whole(os.path.join(self.path, _SIGN), f"{now()}\n")

    def silent_s(self) -> float | None:
        """Seconds since the watchdog's last sign of life; None if there was none since the host was booted."""
        try:
            said = float(Path(self.path, _SIGN).read_text())
        except (OSError, ValueError):
            return None
        return now() - said if said <= now() else None

    def _ward_path(self, vm: UUID, job: UUID) -> str:
        return os.path.join(self.path, f"{vm}.{job}.json")


def write_whole(path: str, text: str) -> None:
    """Writes a file for this host's other processes, whole or not at all.

    It is not synced: what a power cut takes of it, it takes of the guests as well, and a sync may cost more than the cut.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    part = f"{path}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(part, path)


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _listing(folder: str) -> list[str]:
    try:
        return sorted(os.path.join(folder, name) for name in os.listdir(folder))
    except FileNotFoundError:
        return []


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _read_ward(path: str) -> Ward | None:
    said = _read(path)
    try:
        return None if said is None else Ward(**said | _ids(said, "vm", "job") | _times(said))
    except (TypeError, ValueError, LookupError):
        return None


def _read_word(path: str) -> Word | None:
    said = _read(path)
    try:
        if said is None:
            return None
        kinds = {"type": EventType(said["type"]), "level": Level(said["level"])}
        return Word(**said | _ids(said, "id", "vm", "job") | kinds)
    except (TypeError, ValueError, LookupError):
        return None


def _read(path: str) -> dict[str, Any] | None:
    try:
        said = json.loads(_text(path) or "null")
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _ids(said: dict[str, Any], *names: str) -> dict[str, UUID]:
    return {name: UUID(str(said[name])) for name in names}


def _times(said: dict[str, Any]) -> dict[str, float]:
    return {name: float(said[name]) for name in ("began", "budget_s")}
