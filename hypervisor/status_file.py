"""Mends libvirtd's own notes of running VMs before it starts; else it would not find a VM of which it could not end one.

`python -m hypervisor.status_file [FOLDER]`, run while libvirtd is down, as the drop-in in deploy/systemd does.

When QEMU has ended an active commit or a copy, libvirtd forgets which kind of job the disk's mirror belongs to, notes that
(`<mirror job=''>`), and only then makes the disk what it is by now. Killed in between it refuses its own note when it is
started: "Invalid value for attribute 'job' in element 'mirror'" (qemuBlockJobEventProcessConcluded; seen with 9.0). It
then has the VM for off, while QEMU runs on and nobody can talk to it. What the note has to say is known: QEMU has already
done it, and the same note tells how it ended.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from hypervisor.xml import parse, to_text

#: Where libvirt's QEMU driver keeps its notes, and the lock that it holds as long as it lives.
FOLDER = Path("/run/libvirt/qemu")
_LOCK = "driver.pid"


def mend_all(folder: Path) -> Iterator[str]:
    """Mends what libvirtd could not read in a folder of its; what was done, and what could not be done, for people.

    Raises BlockingIOError while libvirtd runs: it would write over what is mended here.
    """
    if not folder.is_dir():
        return
    with _alone(folder):
        for path in sorted(folder.glob("*.xml")):
            try:
                mended, left = mend(path.read_text())
                if mended:
                    _replace(path, left)
                    yield f"{path.name}: the end of a block job on {', '.join(mended)} was noted"
            except (OSError, ValueError, ParseError) as error:
                yield f"{path.name}: left as it is: {error}"


def mend(note: str) -> tuple[list[str], str]:
    """The disks of a note which libvirtd could not read, and the note as it is to be; the same if there is none.

    Raises ValueError for one of which the note does not tell how its job ended.
    """
    if "job=''" not in note and 'job=""' not in note:
        return [], note
    root = parse(note)
    mended = [disk for disk in root.iterfind(".//devices/disk") if _has_no_job(disk)]
    for disk in mended:
        _end_job(root, disk)
    return [_target(disk) for disk in mended], to_text(root)


def _has_no_job(disk: Element) -> bool:
    mirror = disk.find("mirror")
    return mirror is not None and mirror.get("job") == ""


def _end_job(root: Element, disk: Element) -> None:
    jobs, job = _job(root, disk)
    if job.get("type") != "active-commit":
        raise ValueError(f"a {job.get('type')} job on {_target(disk)} is not known to it")
    mirror = _found(disk, "mirror")
    if job.get("newstate") == "completed":
        _write_to(disk, _found(mirror, "source").get("index"))
    disk.remove(mirror)
    jobs.remove(job)
    if len(jobs) == 0:
        jobs.set("active", "no")


def _job(root: Element, disk: Element) -> tuple[Element, Element]:
    for jobs in root.iterfind("blockjobs"):
        for job in jobs.iterfind("blockjob"):
            if (named := job.find("disk")) is not None and named.get("dst") == _target(disk):
                return jobs, job
    raise ValueError(f"it has a mirror on {_target(disk)}, and no job for it")


def _write_to(disk: Element, index: str | None) -> None:
    """The image of this index, below in the disk's chain, is what the disk writes to, with its format."""
    below = _found(disk, "backingStore").iter("backingStore")
    image = next((image for image in below if image.get("index") == index), None)
    if image is None or index is None:
        raise ValueError(f"{_target(disk)} has no image {index} below it")
    source = _found(image, "source")
    source.set("index", index)
    _found(disk, "driver").set("type", _found(image, "format").get("type", "raw"))
    disk.set("type", image.get("type", "file"))
    _swap(disk, _found(disk, "source"), source)
    _swap(disk, _found(disk, "backingStore"), _found(image, "backingStore"))


def _swap(parent: Element, old: Element, new: Element) -> None:
    place = list(parent).index(old)
    parent.remove(old)
    parent.insert(place, new)


def _found(parent: Element, name: str) -> Element:
    child = parent.find(name)
    if child is None:
        raise ValueError(f"it has no <{name}> in <{parent.tag}>")
    return child


def _target(disk: Element) -> str:
    return _found(disk, "target").get("dev", "")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While the lock is held here no libvirtd starts; without its file there was none since the host was booted."""
    with suppress(FileNotFoundError), open(folder / _LOCK, "r+") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
        return
    yield


def _replace(path: Path, note: str) -> None:
    """Whole or not at all, with the rights of before: it may hold secrets."""
    fresh = path.with_suffix(".mended")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(note)
    fresh.replace(path)


def main(folder: Path = FOLDER) -> int:
    """Mends all there is; says what."""
    try:
        for words in mend_all(folder):
            sys.stdout.write(f"{words}\n")
    except BlockingIOError:
        sys.stderr.write(f"libvirtd runs, and keeps {folder} itself: stop it first\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
