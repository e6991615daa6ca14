"""A child process whose life is bound to ours, watched while it works. What it does is not known here."""

import os
import re
import select
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, cast

#: How often a long call tells how far it is, and so how soon a cancel is heard. Seconds.
PULSE_EVERY_S = 0.15
#: A child that was asked to end gets this long before it is killed. Seconds.
GRACE_S = 2.0

#: `setpriv` sets the death signal in the child itself before it becomes the program. A preexec_fn would do
#: the same by running Python between fork and exec, where a lock held by another thread of the worker can
#: stop it for ever; it would also keep subprocess from using vfork. The signal comes when the *thread* that
#: started the child ends, so the thread that starts it must be the one that waits.
BOUND_TO_US = ("setpriv", "--pdeathsig", "KILL")
GENTLE = ("nice", "-n", "5", "ionice", "-c", "2", "-n", "6")

_PERCENT = re.compile(rb"\((\d+(?:\.\d+)?)/100%\)")


@dataclass(frozen=True)
class Ended:
    """How a child ended and what it said."""

    rc: int
    out: str
    err: str


def run(command: Sequence[str], tell: Callable[[float], None] | None = None) -> Ended:
    """Runs a command to its end. `tell` hears the part done (0 to 1) every 0.15 s, as the child's `-p` says.

    Whatever `tell` raises ends the child (SIGTERM, then SIGKILL), and goes on when the child is gone.
    """
    with tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(
            [*BOUND_TO_US, *(GENTLE if tell else ()), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        with child:
            try:
                out = _listen(child, tell)
                rc = child.wait()
            except BaseException:
                _end(child)
                raise
        complaints.seek(0)
        return Ended(rc, out.decode(errors="replace"), complaints.read().decode(errors="replace").strip())


def _listen(child: "subprocess.Popen[bytes]", tell: Callable[[float], None] | None) -> bytes:
    descriptor = cast(IO[bytes], child.stdout).fileno()
    heard = b""
    while True:
        readable, _, _ = select.select([descriptor], [], [], PULSE_EVERY_S if tell else None)
        if readable:
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                return heard
            heard += piece
        if tell is not None:
            tell(_part_done(heard))
            heard = heard[-64:]


def _part_done(heard: bytes) -> float:
    said = _PERCENT.findall(heard)
    return min(float(said[-1]) / 100, 1.0) if said else 0.0


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
