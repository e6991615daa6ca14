"""A program that has a file open."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def having(file: int, name: str, folder: Path) -> Iterator[None]:
    """A program of that name has the file open for as long as the block runs."""
    program = folder / name
    program.symlink_to(shutil.which("sleep") or "/bin/sleep")
    with subprocess.Popen([program, "600"], stdin=file) as process:
        try:
            # The kernel closes what tells the parent of the exec before it gives the process its name.
            comm = Path(f"/proc/{process.pid}/comm")
            while comm.read_text().strip() != name:
                assert process.poll() is None
            yield
        finally:
            process.kill()
