"""Small durable acts on files."""

import os
import time
from pathlib import Path

from hypervisor import files


def test_what_a_killed_process_left_goes_with_the_file(tmp_path: Path) -> None:
    """Removing a file that was never finished removes the unfinished one beside it, and nothing else."""
    path = tmp_path / "x.qcow2"
    (tmp_path / "x.qcow2.part").write_text("half")
    (tmp_path / "y.qcow2.part").write_text("another's")
    files.remove(str(path))
    assert [one.name for one in tmp_path.iterdir()] == ["y.qcow2.part"]
    files.remove(str(path))


def test_when_a_file_was_written_is_not_told_if_that_is_yet_to_come(tmp_path: Path) -> None:
    """The clock went back since: compared with a file of now it would say the wrong thing."""
    path = tmp_path / "image"
    path.write_text("data")
    assert files.written_at(str(path)) == path.stat().st_mtime_ns
    an_hour_on = time.time() + 3600
    os.utime(path, (an_hour_on, an_hour_on))
    assert files.written_at(str(path)) is None
    assert files.written_at(str(tmp_path / "gone")) is None
