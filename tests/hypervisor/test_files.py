"""Small durable acts on files."""

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
