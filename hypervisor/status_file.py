"""Mends libvirtd's own notes of running VMs before it starts; else it would lose a VM, or what a disk of it stands on.

`python -m hypervisor.status_file [FOLDER]`, run while libvirtd is down, as the drop-in in deploy/systemd does.

When QEMU has ended a merge, libvirtd dismisses the job there, notes how it ended (`newstate`), and only then makes the disk
what it is by now (qemuBlockJobEventProcessConcluded; seen with 9.0). Killed in between it has, when it is started again, a
job that QEMU knows nothing of, and forgets it. Of a merge in the middle of a chain it names the merged layer for ever, and
fails when that is removed. Of one of the head it refuses the whole note ("Invalid value for attribute 'job' in element
'mirror'"): it has the VM for off, while QEMU runs on and nobody can talk to it. What the note has to say is known: QEMU has
already done it, and the note tells how it ended.
"""

import fcntl
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from hypervisor.xml import parse, to_text

#: Where libvirt's QEMU driver keeps its notes, and the lock that it holds as long as it lives.
FOLDER = Path("/run/libvirt/qemu")
_LOCK = "driver.pid"
#: What libvirt has yet to do at the end of a job that is gone in QEMU. As long as it is "concluded" QEMU still has it.
_ENDED = ("completed", "failed", "cancelled")


def mend_all(folder: Path) -> Generator[str]:
    """Mends the notes in a folder of libvirtd; what was done, and what could not be done, for people.

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
    """The disks on which a merge had ended without a trace in the note, and the note as it is to be; the same if there is none.

    Raises ValueError for one of which the note does not tell how it ended.
    """
    if "newstate=" not in note:
        return [], note
    root = parse(note)
    mended = []
    for jobs in root.findall("blockjobs"):
        for job in jobs.findall("blockjob"):
            if job.get("newstate") in _ENDED:
                mended.append(_end(root, job))
                jobs.remove(job)
        if len(jobs) == 0:
            jobs.set("active", "no")
    return mended, to_text(root) if mended else note


def _end(root: Element, job: Element) -> str:
    target = _found(job, "disk").get("dst", "")
    disks = (
        disk for disk in root.iterfind("domain/devices/disk") if _found(disk, "target").get("dev") == target
    )
    disk = next(disks, None)
    if disk is None or job.get("type") not in ("commit", "active-commit"):
        raise ValueError(f"a job of the kind {job.get('type')} on {target} is not known to it")
    if job.get("newstate") == "completed":
        _take_out(disk, _found(job, "top").get("node"), _found(job, "base").get("node"))
    for mirror in disk.findall("mirror"):
        disk.remove(mirror)
    return target


def _take_out(disk: Element, top: str | None, base: str | None) -> None:
    """What stood on the image with this node stands on the other; or the disk writes to that."""
    chain = [disk, *_found(disk, "backingStore").iter("backingStore")]
    nodes = [_node(image) for image in chain]
    if top not in nodes or base not in nodes:
        raise ValueError(f"{_found(disk, 'target').get('dev')} does not have {top} and {base}")
    image = chain[nodes.index(base)]
    if nodes.index(top) > 0:
        above = chain[nodes.index(top) - 1]
        _swap(above, _found(above, "backingStore"), image)
        return
    source = _found(image, "source")
    source.set("index", image.get("index", ""))
    _found(disk, "driver").set("type", _found(image, "format").get("type", "raw"))
    disk.set("type", image.get("type", "file"))
    _swap(disk, _found(disk, "source"), source)
    _swap(disk, _found(disk, "backingStore"), _found(image, "backingStore"))


def _node(image: Element) -> str | None:
    node = image.find("source/privateData/nodenames/nodename[@type='format']")
    return None if node is None else node.get("name")


def _swap(parent: Element, old: Element, new: Element) -> None:
    place = list(parent).index(old)
    parent.remove(old)
    parent.insert(place, new)


def _found(parent: Element, name: str) -> Element:
    child = parent.find(name)
    if child is None:
        raise ValueError(f"it has no <{name}> in <{parent.tag}>")
    return child


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While the lock is held here no libvirtd starts. One that was stopped has removed its file; the next makes it if need be."""
    with open(os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644), "r+") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
