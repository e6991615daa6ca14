"""Who has an image open, asked of the kernel."""

import errno
import fcntl
import struct
from pathlib import Path

import pytest

from hypervisor import locks
from tests.hypervisor.openers import having

OFD_SETLK = 37


def test_what_is_locked_as_qemu_does_is_held(tmp_path: Path) -> None:
    """A lock on one of QEMU's bytes is seen while it is there; a lock on another byte, no lock and no file are none."""
    image = tmp_path / "a.qcow2"
    assert not locks.is_held(str(image))
    image.touch()
    assert not locks.is_held(str(image))
    for byte, is_held in ((101, True), (5, False)):
        with image.open("rb") as opened:
            fcntl.fcntl(opened, OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, byte, 1, 0))
            assert locks.is_held(str(image)) is is_held
        assert not locks.is_held(str(image))


def test_on_storage_without_locks_a_qemu_of_this_host_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There QEMU takes none either: what none of this host has open is free to be deleted; any other error is one."""
    image = tmp_path / "a.qcow2"
    image.touch()

    def answers(number: int) -> None:
        def refuse(*_: object) -> bytes:
            raise OSError(number, "no")

        monkeypatch.setattr(fcntl, "fcntl", refuse)

    answers(errno.ENOLCK)
    assert not locks.is_held(str(image))
    with image.open("rb") as opened:
        for name, is_held in (("qemu-img", True), ("cp", False)):
            with having(opened.fileno(), name, tmp_path):
                assert locks.is_held(str(image)) is is_held
    assert not locks.is_held(str(image))
    answers(errno.EIO)
    with pytest.raises(OSError, match="no"):
        locks.is_held(str(image))
