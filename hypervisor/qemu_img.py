"""Images and files of a real host, by `qemu-img` and the file system. Needs no VM and no libvirt.

The format of an image is always said, never probed, where its bytes are read: a guest can write a qcow2
header that names any file of the host into its raw disk. And no convert or commit of a layer ever shares by force (`-U`):
one that ignores the locks of a running VM would copy what is being changed. What an internal snapshot holds does not
change, but QEMU does not promise that it is read rightly meanwhile: so it is read twice. Headers are read by ourselves.
"""

import json
import os
from collections.abc import Callable

from hypervisor import digest, files, headers, locks, mounts, qcow2
from hypervisor.child import Ended, run
from hypervisor.port import ImageFacts, Pulse, Source, StorageFacts
from stillframe.errors import HypervisorFailed, QemuImgFailed

#: Eight requests at once, in whatever order they come back; data past the page cache on both sides.
_FAST = ("-W", "-m", "8")
_DIRECT = ("-t", "none", "-T", "none")
#: Where the storage refuses O_DIRECT (tmpfs, some network file systems).
_CACHED = ("-t", "writeback", "-T", "writeback")
#: How often an internal snapshot is read twice before it is given up.
_TRIES = 3


class QemuImages:
    """`hypervisor.port.Images` on the machine this runs on."""

    def facts(self, path: str, declared: str | None = None) -> ImageFacts | None:
        """One image's header, or None if there is no such file."""
        return headers.facts(path, declared) if os.path.exists(path) else None

    def chain(self, path: str, declared: str | None = None) -> tuple[ImageFacts, ...]:
        """The image and all it is backed by, top first."""
        return headers.chain(path, declared)

    def create_layer(self, path: str, backing: Source, virtual_bytes: int) -> None:
        """An empty qcow2 layer, whole or not there at all."""
        with files.beside(path) as part:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, files.PRIVATE), "wb") as image:
                qcow2.write_empty(image, virtual_bytes, backing.path, backing.format)
            files.dress_like(backing.path, part)
            os.chmod(part, files.PRIVATE)

    def convert(self, source: Source, path: str, pulse: Pulse) -> None:
        """A standalone sparse qcow2 image of what `source` reads as."""
        total = self._required_bytes(source)
        with files.beside(path) as part:
            told = _in_bytes(pulse, total)
            told(0.0)
            _copy(source, part, told)
            told(1.0)

    def convert_internal(self, source: Source, name: str, path: str, pulse: Pulse) -> None:
        """A standalone sparse qcow2 image of what an internal snapshot reads as."""
        of = ("-U", "-l", f"snapshot.name={name.replace(',', ',,')}")
        told = _in_bytes(pulse, 2 * self._required_bytes(source, *of))
        with files.beside(path) as part:
            again = f"{part}.again"
            try:
                for left in reversed(range(_TRIES)):
                    if _same_twice(source, of, (part, again), told, last=not left):
                        break
                else:
                    detail = f"snapshot {name!r} in {source.path} reads differently each time"
                    raise HypervisorFailed(detail=detail, path=source.path)
            finally:
                files.remove(again)
            told(1.0)

    def commit(self, top: str, base: str, pulse: Pulse) -> None:
        """Writes what `top` and the layers between hold into `base`."""
        between = self.chain(top, "qcow2")
        below = [image.path for image in between].index(base)
        told = _in_bytes(pulse, sum(image.size_bytes for image in between[:below]))
        told(0.0)

        def commit(*caching: str) -> None:
            # -b implies -d: what is committed is not emptied; if we die the view through `top` is whole.
            _qemu_img("commit", "-p", "-f", "qcow2", *caching[:2], "-b", base, top, tell=told)

        _direct_if_possible(commit)
        files.sync(base)
        told(1.0)

    def rebase(self, path: str, backing: Source) -> None:
        """Points the image at another backing image that reads the same."""
        _qemu_img("rebase", "-u", "-f", "qcow2", "-F", backing.format, "-b", backing.path, path)
        files.sync(path)

    def sha256(self, path: str, pulse: Pulse) -> str:
        """Hex digest of the file's bytes."""
        return digest.sha256(path, pulse)

    def free_bytes(self, path: str) -> int:
        """Free bytes on the storage of `path`."""
        return self.storage(path).free_bytes

    def storage(self, path: str) -> StorageFacts:
        """The storage of `path`."""
        return mounts.storage(path)

    def exists(self, path: str) -> bool:
        """Whether there is such a file, folder or device."""
        return os.path.exists(path)

    def is_empty(self, path: str) -> bool:
        """Whether a layer holds nothing of its own."""
        try:
            return qcow2.is_empty(path)
        except (OSError, ValueError, HypervisorFailed):
            return False

    def identity(self, path: str) -> str | None:
        """Which file or device a path really is."""
        try:
            return files.identity(path)
        except (OSError, ValueError) as error:
            raise HypervisorFailed(detail=f"cannot look at {path!r}: {error}", path=path) from error

    def written_at(self, path: str) -> int | None:
        """When a file was last written to, in nanoseconds."""
        return files.written_at(path)

    def is_open(self, path: str) -> bool:
        """Whether a QEMU has it open."""
        return locks.is_held(path)

    def size_bytes(self, path: str) -> int:
        """Bytes allocated for the file."""
        return files.allocated_bytes(path)

    def remove(self, path: str) -> None:
        """Removes a file or folder, durably, and the second copy that a killed `convert_internal` has left beside it."""
        files.remove(f"{path}.part.again")
        files.remove(path)

    def remove_empty(self, folder: str) -> None:
        """Removes a folder that nothing is in."""
        files.remove_empty(folder)

    def rename(self, old: str, new: str) -> None:
        """Renames durably."""
        files.rename(old, new)

    def sync(self, path: str) -> None:
        """Makes what was written to a file durable."""
        files.sync(path)

    def write_text(self, path: str, text: str) -> None:
        """Writes a small file, whole or not at all."""
        files.write_text(path, text)

    def read_text(self, path: str) -> str | None:
        """A small file's text."""
        return files.read_text(path)

    def copy(self, source: str, path: str) -> None:
        """Copies a small file, whole or not at all."""
        files.copy(source, path)

    def listing(self, folder: str) -> tuple[str, ...]:
        """What is in a folder."""
        return files.listing(folder)

    def _required_bytes(self, source: Source, *of: str) -> int:
        said = _qemu_img("measure", "--output=json", "-O", "qcow2", *of, "-f", source.format, source.path).out
        return int(json.loads(said)["required"])


def _qemu_img(verb: str, *rest: str, tell: Callable[[float], None] | None = None) -> Ended:
    ended = run(["qemu-img", verb, *rest], tell)
    if ended.rc != 0:
        raise QemuImgFailed(verb=verb, rc=ended.rc, stderr=ended.err, detail=ended.err, asked=list(rest))
    return ended


def _copy(source: Source, path: str, told: Callable[[float], None], *of: str) -> None:
    files.make_empty(path)  # qemu-img would make it for all to read

    def copy(*caching: str) -> None:
        what = ("-f", source.format, "-O", "qcow2", source.path, path)
        _qemu_img("convert", "-p", *of, *_FAST, *caching, *what, tell=told)

    _direct_if_possible(copy)


def _same_twice(
    source: Source, of: tuple[str, ...], paths: tuple[str, str], told: Callable[[float], None], *, last: bool
) -> bool:
    """Copies it to both paths; whether they read the same. An error counts as a difference, but for the last time."""
    first, second = paths
    try:
        _copy(source, first, lambda done: told(done / 2), *of)
        _copy(source, second, lambda done: told(0.5 + done / 2), *of)
        _qemu_img("compare", "-f", "qcow2", "-F", "qcow2", first, second, tell=lambda _: told(1.0))
    except QemuImgFailed as failed:
        differs = failed.context["verb"] == "compare" and failed.context["rc"] == 1
        if last and not differs:
            raise
        return False
    return True


def _direct_if_possible(act: Callable[..., None]) -> None:
    try:
        act(*_DIRECT)
    except QemuImgFailed as failed:
        if "O_DIRECT" not in failed.context["stderr"]:
            raise
        act(*_CACHED)


def _in_bytes(pulse: Pulse, total: int) -> Callable[[float], None]:
    return lambda part_done: pulse(int(total * part_done), total)
