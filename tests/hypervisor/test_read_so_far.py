"""How far another process has read a file, as the kernel tells it."""

import os
from pathlib import Path

from hypervisor.read_so_far import ReadSoFar
from tests.hypervisor.openers import having


def test_the_place_of_a_reader_is_told_as_it_moves(tmp_path: Path) -> None:
    """By the file itself, whatever it is called by now; and no more when it is closed."""
    path, link = tmp_path / "memory", tmp_path / "link"
    path.write_bytes(b"x" * 1000)
    link.hardlink_to(path)
    file = os.open(link, os.O_RDONLY)
    read = ReadSoFar(str(path))
    with having(file, "qemu-system-x", tmp_path):
        seen = []
        for place in (0, 10, 999, 1000):
            os.lseek(file, place, os.SEEK_SET)
            seen.append(read.look())
        assert seen == [(0, 1000), (10, 1000), (999, 1000), (1000, 1000)]
    os.close(file)
    assert read.look() == (0, 0)


def test_what_cannot_be_known_is_not_told(tmp_path: Path) -> None:
    """Other programs that read it are not meant; a file that nobody has, or that is not there, is read by nobody."""
    path = tmp_path / "memory"
    assert ReadSoFar(str(path)).look() == (0, 0)
    path.write_bytes(b"x" * 1000)
    assert ReadSoFar(str(path)).look() == (0, 0)
    file = os.open(path, os.O_RDONLY)
    os.lseek(file, 500, os.SEEK_SET)
    with having(file, "backup", tmp_path):
        assert ReadSoFar(str(path)).look() == (0, 0)
    os.close(file)
