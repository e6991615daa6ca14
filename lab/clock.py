"""What time it is for a program of the lab: started to follow a clock of its own, it can be led astray by a test.

libfaketime does the same for whole programs, and more; its 0.9.10 lets Python's sleep fail when the clock is behind.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

_SOURCE = Path(__file__).with_suffix(".c")


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock of one program, as a file; while there is no such file, it is the machine's."""

    file: Path

    def begin(self) -> None:
        """From its next start on the program follows this clock, which goes right at first."""
        self.stand(0)

    def stand(self, ahead_s: int) -> None:
        """Lets it be so many seconds ahead of the machine's, or behind it, from this moment on."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{ahead_s}\n")
        new.replace(self.file)

    def end(self) -> None:
        """From its next start on the program goes by the machine's clock again."""
        self.file.unlink(missing_ok=True)

    def words(self) -> list[str]:
        """What goes before a command to make it follow this clock; raises LabError if gcc fails."""
        if not self.file.exists():
            return []
        return ["env", f"LD_PRELOAD={_library()}", f"STILLFRAME_LAB_CLOCK={self.file}"]


def _library() -> Path:
    """The preloaded part, compiled once. Not under /run, where nothing may be executed, nor where only root can go."""
    known = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:10]
    library = Path(f"/var/tmp/stillframe-clock-{known}.so")
    if not library.exists():
        part = library.with_suffix(f".{os.getpid()}")
        command = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(part), str(_SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"gcc {_SOURCE.name}: {done.stderr.strip()[-400:]}")
        part.chmod(0o755)
        part.replace(library)
    return library
