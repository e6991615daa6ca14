"""A whole memory file is told from one that lacks its end."""

import struct
from pathlib import Path

import pytest

from hypervisor.memory_file import is_whole

JSON = b'{"page_size": 4096, "devices": []}'
STREAM = b"\x00\x06" * 50 + b"ram" * 1000 + b"\x00\x06" + struct.pack(">I", len(JSON)) + JSON


def memory(folder: Path, stream: bytes, magic: bytes = b"LibvirtQemudSave", compressed: int = 0) -> str:
    path = folder / "memory"
    path.write_bytes(struct.pack("<16s5I", magic, 2, 100, 1, compressed, 0) + stream)
    return str(path)


def test_whole_stream_is_whole(tmp_path: Path) -> None:
    """A file whose stream goes to its end mark is whole."""
    assert is_whole(memory(tmp_path, STREAM))


@pytest.mark.parametrize("missing", [1, 10, 60, len(STREAM)])
def test_stream_without_its_end_is_not(tmp_path: Path, missing: int) -> None:
    """However little is missing at the end, the file is not whole."""
    assert not is_whole(memory(tmp_path, STREAM[:-missing]))


def test_mark_of_an_unfinished_file_counts(tmp_path: Path) -> None:
    """A file that libvirt did not mark as complete is not whole, whatever is in it; nor is a short one."""
    assert not is_whole(memory(tmp_path, STREAM, magic=b"LibvirtQemudPart"))
    (tmp_path / "short").write_bytes(b"LibvirtQemudSave")
    assert not is_whole(str(tmp_path / "short"))


def test_compressed_file_is_believed(tmp_path: Path) -> None:
    """Of a compressed file only libvirt's mark can be looked at."""
    assert is_whole(memory(tmp_path, b"compressed", compressed=2))
