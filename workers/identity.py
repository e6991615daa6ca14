"""Who holds a job: a process by a name that is never reused, so that a dead holder is known without waiting for its lease."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def _began(pid: int) -> str | None:
    """When a process began, in clock ticks since boot; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = text.rsplit(")", 1)[1].split()
    return None if state in "ZX" else fields[18]


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def own(host: str) -> str:
    """This process's name as a holder of jobs."""
    return f"{host}/{_boot()}/{os.getpid()}/{_began(os.getpid())}"


def is_alive(holder: str) -> bool:
    """Whether a holder on this host still lives. A name that is not understood counts as alive: its lease decides."""
    parts = holder.rsplit("/", 3)
    if len(parts) != 4 or not parts[2].isdigit():
        return True
    _, boot, pid, began = parts
    return boot == _boot() and _began(int(pid)) == began


def is_of_this_boot(holder: str) -> bool:
    """Whether a holder began since this host was booted. A name that is not understood counts as one that did."""
    parts = holder.rsplit("/", 3)
    return len(parts) != 4 or parts[1] == _boot()


def end(holder: str) -> bool:
    """Kills a holder on this host; returns whether it lived. Its children die with it."""
    parts = holder.rsplit("/", 3)
    if len(parts) != 4 or not parts[2].isdigit() or int(parts[2]) == os.getpid():
        return False
    with suppress(ProcessLookupError):
        process = os.pidfd_open(int(parts[2]))
        try:
            if is_alive(holder):  # asked with the process in hand: its number goes to no other meanwhile
                signal.pidfd_send_signal(process, signal.SIGKILL)
                return True
        finally:
            os.close(process)
    return False
