"""Make the images of a lab guest: ext4 on a whole disk, in qcow2 or raw."""

from __future__ import annotations

import os
import string
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.domain_xml import Disk
from lab.errors import LabError

FORMATS = ("qcow2", "raw")


def make(folder: Path, formats: Sequence[str], size_mib: int) -> dict[str, Disk]:
    """Make one image a format, in order vda, vdb, ..., each of `size_mib` MiB with ext4 on it."""
    made = {}
    for letter, form in zip(string.ascii_lowercase, formats, strict=False):
        if form not in FORMATS:
            raise LabError(f"a disk is {' or '.join(FORMATS)}, not {form!r}")
        disk = Disk(folder / f"vd{letter}.{form}", form)
        _format(disk, size_mib)
        made[f"vd{letter}"] = disk
    return made


def _format(disk: Disk, size_mib: int) -> None:
    raw = disk.path.with_suffix(".raw")
    with raw.open("wb") as file:
        os.truncate(file.fileno(), size_mib * 1024 * 1024)
    _run("mkfs.ext4", "-q", "-F", "-m", "0", str(raw))
    if disk.format != "raw":
        _run("qemu-img", "convert", "-O", disk.format, str(raw), str(disk.path))
        raw.unlink()
    disk.path.chmod(0o600)


def _run(*command: str) -> None:
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise LabError(f"{' '.join(command)} failed: {ended.stderr.strip()}")
