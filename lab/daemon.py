"""One background program of the lab: started apart from its starter, known by pid and start time.

The pid alone would lie after a reboot, when another program may have it; both are kept in one
small file, so that any later call of the lab finds the program again.
"""

from __future__ import annotations

import os
import pwd
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.clock import Clock
from lab.errors import LabError

POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program that outlives the one who started it; `record` remembers which it is."""

    name: str
    record: Path
    log: Path

    @property
    def pid(self) -> int | None:
        """The pid while the program lives, else None; a pid taken by another program is None."""
        try:
            pid, began = self.record.read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if began_at(int(pid)) == began else None

    @property
    def clock(self) -> Clock:
        """What time it is for the program."""
        return Clock(self.record.with_suffix(".clock"))

    def start(self, command: Sequence[str], user: str | None = None) -> None:
        """Start the command in a session of its own, its output appended to `log`.

        With `user`, and when started by root, it runs as that user.
        """
        command = [*self.clock.words(), *command]
        if user and os.geteuid() == 0:
            pwd.getpwnam(user)
            command = [
                *("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"),
                *command,
            ]
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        environment = {"PATH": path, "LANG": "C.UTF-8", "HOME": "/"}
        pid = os.posix_spawnp(
            "env",
            ["env", "-C", "/", *command],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), _APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT],
        )
        self.record.write_text(f"{pid} {began_at(pid)}")

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Return once `ready()` holds; raise LabError when the program ends or time is up."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.pid is None:
                raise LabError(f"{self.name} ended at once: {self.last_words()}")
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} not ready in {timeout_s:g} s: {self.last_words()}")
            time.sleep(POLL_S)

    def end(self, sign: signal.Signals, timeout_s: float = 20) -> None:
        """Send the signal, then SIGKILL when `timeout_s` has passed; return once it is gone."""
        for attempt in (sign, signal.SIGKILL):
            pid = self.pid
            if pid is None:
                break
            os.kill(pid, attempt)
            deadline = time.monotonic() + timeout_s
            while self.pid is not None and time.monotonic() < deadline:
                time.sleep(POLL_S)
        self.record.unlink(missing_ok=True)

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        try:
            return self.log.read_text(errors="replace")[-600:].strip() or "it said nothing"
        except OSError:
            return "it said nothing"


_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def began_at(pid: int) -> str | None:
    """The start time of a living process in clock ticks since boot; None for a dead one."""
    fields = _stat(pid)
    if fields is None or fields[0] in "ZX":
        _reap(pid)
        return None
    return fields[19]


def children(parent: int) -> list[int]:
    """The living children of a process."""
    return [pid for pid in everybody() if (f := _stat(pid)) and f[1] == str(parent) and f[0] != "Z"]


def program(pid: int) -> str:
    """The name of the program a process runs; empty for one that has ended."""
    try:
        return Path(os.readlink(f"/proc/{pid}/exe")).name
    except OSError:
        return ""


def end_leftovers(name: str, folder: Path) -> None:
    """SIGKILL programs of that name working in or on `folder`, of which no record was left.

    So a server whose parent was killed, or whose record went with /run, never meets its successor.
    """
    left = [pid for pid in everybody() if program(pid).startswith(name) and _is_at(pid, folder)]
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_gone(left)


def wait_gone(pids: Sequence[int], timeout_s: float = 60) -> None:
    """Return once none of the processes lives; raise LabError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while any(began_at(pid) for pid in pids):
        if time.monotonic() > deadline:
            raise LabError(f"processes {pids} did not end in {timeout_s:g} s")
        time.sleep(POLL_S)


def everybody() -> Iterator[int]:
    """Every pid of this machine."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _is_at(pid: int, folder: Path) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return os.fsencode(folder) in (os.fsencode(os.readlink(f"/proc/{pid}/cwd")), *arguments)
    except OSError:
        return False


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the third on: state, parent, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None


def _reap(pid: int) -> None:
    """A dead child of ours stays a zombie until asked for."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
