"""Images on a real file system: what is left after a cancel, a failure, a kill."""

import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from hypervisor import files
from hypervisor.child import run
from hypervisor.port import Source
from hypervisor.qemu_img import QemuImages
from stillframe.errors import Cancelled, QemuImgFailed

MIB = 1 << 20


def quiet(_done: int, _total: int) -> None:
    """Wants nothing."""


@pytest.fixture
def image(tmp_path: Path) -> Source:
    """A raw image of 32 MiB of which 4 MiB are written."""
    path = tmp_path / "disk.raw"
    with open(path, "wb") as disk:
        disk.truncate(32 * MIB)
        disk.seek(8 * MIB)
        disk.write(os.urandom(4 * MIB))
    return Source(str(path), "raw")


def test_copy_is_sparse_and_tells_its_bytes(image: Source, tmp_path: Path) -> None:
    """A copy takes the room of what is written, and its progress is in bytes of that, to the last."""
    heard: list[tuple[int, int]] = []
    copy = str(tmp_path / "copies" / "copy.qcow2")
    QemuImages().convert(image, copy, lambda done, total: heard.append((done, total)))
    assert heard[0][0] == 0
    assert heard[-1][0] == heard[-1][1]
    assert 4 * MIB <= heard[-1][1] < 6 * MIB
    assert files.allocated_bytes(copy) < 6 * MIB
    assert (
        subprocess.run(
            ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", image.path, copy], check=False
        ).returncode
        == 0
    )
    assert os.stat(tmp_path / "copies").st_mode & 0o777 == 0o711


def test_copy_is_private_while_it_is_made(image: Source, tmp_path: Path) -> None:
    """What is copied can at no time be read by others, whatever mask the worker has."""
    copy = tmp_path / "copies" / "copy.qcow2"
    modes: set[int] = set()

    def look(_done: int, _total: int) -> None:
        modes.update(stat.S_IMODE(path.stat().st_mode) for path in copy.parent.glob("copy*"))

    before = os.umask(0)
    try:
        QemuImages().convert(image, str(copy), look)
    finally:
        os.umask(before)
    assert modes | {stat.S_IMODE(copy.stat().st_mode)} == {0o600}


def test_failed_copy_leaves_what_was_there(image: Source, tmp_path: Path) -> None:
    """A copy that fails keeps the old file at its place, leaves nothing beside it, and says what qemu-img said."""
    copy = tmp_path / "copy.qcow2"
    copy.write_text("old")
    with pytest.raises(QemuImgFailed) as failed:
        QemuImages().convert(Source(image.path, "qcow2"), str(copy), quiet)
    assert "not in qcow2 format" in failed.value.detail
    assert copy.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["copy.qcow2", "disk.raw"]


def test_storage_without_direct_access_is_written_through_the_cache(
    image: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the storage refuses O_DIRECT the copy is made through the page cache, and is durable all the same."""
    asked: list[list[str]] = []

    def refusing(command: list[str], *rest: object) -> object:
        asked.append(command)
        if "none" in command:
            return type("Ended", (), {"rc": 1, "out": "", "err": "file system may not support O_DIRECT"})
        return run(command, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("hypervisor.qemu_img.run", refusing)
    copy = f"{image.path}.qcow2"
    QemuImages().convert(image, copy, quiet)
    assert os.path.exists(copy)
    assert "writeback" in asked[-1]


def test_cancel_ends_the_child() -> None:
    """What the listener raises ends the child, even one that does not heed SIGTERM, and goes on afterwards."""
    before = _children()
    born: set[str] = set()

    def tell(_part: float) -> None:
        born.update(_children() - before)
        raise Cancelled

    with pytest.raises(Cancelled):
        run(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], tell)
    assert born
    assert not _children() & born


def test_child_dies_with_the_worker(tmp_path: Path) -> None:
    """When a worker is killed its child is killed too, so that nobody writes who is not watched."""
    mark = tmp_path / "pid"
    code = f"from hypervisor.child import run; run(['sh', '-c', 'echo $$ > {mark}; exec sleep 60'])"
    worker = subprocess.Popen([sys.executable, "-c", code])
    _wait(lambda: mark.exists() and mark.read_text().strip())
    child = int(mark.read_text())
    worker.kill()
    worker.wait()
    _wait(lambda: not os.path.exists(f"/proc/{child}") or "Z (" in Path(f"/proc/{child}/status").read_text())


def test_long_child_is_heard_often() -> None:
    """The listener is called at least every half second however silent the child is."""
    times = [time.monotonic()]
    run(["sleep", "1"], lambda _part: times.append(time.monotonic()))
    assert max(later - sooner for sooner, later in pairwise(times)) < 0.5


def test_progress_is_read_off_the_child() -> None:
    """The last percentage the child printed is the part that is done."""
    heard: list[float] = []
    run(["printf", r"    (0.00/100%%)\r    (42.50/100%%)\r"], heard.append)
    assert heard[-1] == 0.425


@pytest.mark.parametrize("size", [0, 1, 4 * MIB, 9 * MIB + 5])
def test_digest_is_that_of_the_bytes(tmp_path: Path, size: int) -> None:
    """The digest of a file of any length is that of all its bytes; progress ends at its size."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    heard: list[tuple[int, int]] = []
    digest = QemuImages().sha256(str(path), lambda done, total: heard.append((done, total)))
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert heard[-1] == (size, size)


def test_digest_can_be_cancelled(tmp_path: Path) -> None:
    """A pulse that raises ends the reading."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(9 * MIB))

    def cancel(_done: int, _total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        QemuImages().sha256(str(path), cancel)


def test_killed_write_leaves_the_old_text(tmp_path: Path) -> None:
    """A small file whose writer is killed before the rename is still the old one, and the next write succeeds."""
    path = tmp_path / "manifest.json"
    files.write_text(str(path), "old")
    code = (
        "import os, signal; from hypervisor import files\n"
        f"with files.beside({str(path)!r}) as part:\n"
        "    open(part, 'w').write('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert files.read_text(str(path)) == "old"
    files.write_text(str(path), "new")
    assert files.read_text(str(path)) == "new"
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_copy_keeps_owner_and_mode_of_what_it_replaces(tmp_path: Path) -> None:
    """A file that is put back in place of another belongs to the same user as before."""
    source, path = tmp_path / "kept", tmp_path / "nvram"
    source.write_text("kept")
    path.write_text("now")
    os.chown(path, 64055, 108)
    path.chmod(0o640)
    files.copy(str(source), str(path))
    looks = path.stat()
    assert (path.read_text(), looks.st_uid, looks.st_gid, looks.st_mode & 0o777) == (
        "kept",
        64055,
        108,
        0o640,
    )


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def _wait(true: object, timeout_s: float = 10) -> None:
    until = time.monotonic() + timeout_s
    while not true():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.01)
