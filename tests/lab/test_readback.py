"""Readback proves what an image holds, or refuses."""

import subprocess
from pathlib import Path

import pytest

from lab import Guest, LabError, readback

pytestmark = pytest.mark.qemu


def test_a_layer_is_read_with_its_backing_chain(guest: Guest, tmp_path: Path) -> None:
    """A file of the frozen layer is found through an empty layer on top."""
    guest.sh("echo here >/disk/vda/note; sync")
    guest.destroy()
    top = tmp_path / "top.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", guest.disks["vda"], top], check=True
    )

    assert readback.read_file(top, "/note") == b"here\n"
    assert readback.list_files(top) == ["counter", "lost+found", "note"]


def test_an_image_in_use_is_refused(guest: Guest) -> None:
    """What a running guest writes is not read behind its back."""
    with pytest.raises(LabError, match="lock"):
        readback.counter(guest.disks["vda"])


def test_a_missing_file_is_told(guest: Guest) -> None:
    """A file that is not there is an error, not nothing."""
    guest.destroy()
    with pytest.raises(LabError, match="not found"):
        readback.read_file(guest.disks["vda"], "/nothing")
