"""Prove what an image holds by the guest's own data, without the guest and without libvirt.

The given layer and its backing chain are flattened into a temporary raw file, the file system in it
is brought to order as a reboot would, and the file is read out of it.  Locks are respected: an
image that a running QEMU writes is refused, for what is read from one proves nothing.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError

_FIXED = 1  # e2fsck: there were errors (a journal to replay, say), and they are corrected


def counter(image: Path, form: str = "qcow2") -> tuple[int, str]:
    """The counter and boot id that stand on an image; raises LabError when there is none."""
    number, boot_id = read_file(image, "/counter", form).split()
    return int(number), boot_id.decode()


def read_file(image: Path, path: str, form: str = "qcow2") -> bytes:
    """The content of one file in the ext4 on an image; raises LabError when it is not there."""
    with _offline(image, form) as raw:
        return _debugfs(raw, f'cat "{path}"')


def list_files(image: Path, folder: str = "/", form: str = "qcow2") -> list[str]:
    """The names in one folder of the ext4 on an image, sorted."""
    with _offline(image, form) as raw:
        listed = _debugfs(raw, f'ls -p "{folder}"').decode()
    names = [line.split("/")[5] for line in listed.splitlines() if line.startswith("/")]
    return sorted(name for name in names if name not in {"", ".", ".."})


@contextmanager
def _offline(image: Path, form: str) -> Iterator[Path]:
    """Give a raw copy of what a guest would find on the image after a reboot."""
    with tempfile.TemporaryDirectory(prefix="readback-") as folder:
        raw = Path(folder) / "raw"
        _run(0, "qemu-img", "convert", "-f", form, "-O", "raw", str(image), str(raw))
        _run(_FIXED, "e2fsck", "-fy", str(raw))
        yield raw


def _debugfs(raw: Path, request: str) -> bytes:
    """Run one request; debugfs ends 0 whatever happens and tells errors after its banner line."""
    ended = _run(0, "debugfs", "-R", request, str(raw))
    told = ended.stderr.decode().splitlines()[1:]
    if told:
        raise LabError(f"debugfs {request}: {' '.join(told)}")
    return ended.stdout


def _run(worst: int, *command: str) -> subprocess.CompletedProcess[bytes]:
    ended = subprocess.run(command, check=False, capture_output=True)
    if not 0 <= ended.returncode <= worst:
        said = (ended.stderr or ended.stdout).decode(errors="replace").strip()
        raise LabError(f"{' '.join(command)} ended {ended.returncode}: {said}")
    return ended
