"""What images say of themselves, and the chains they form. Works beside a VM that uses them, for data is never read."""

import os
import stat

from hypervisor.files import open_image
from hypervisor.port import ImageFacts
from hypervisor.qcow2 import MAGIC, read_header
from stillframe.errors import HypervisorFailed

#: Deeper than QEMU itself goes; a chain that is longer goes round in a circle.
_DEEPEST = 200
_SECTOR = 512


def facts(path: str, declared: str | None = None) -> ImageFacts:
    """One image. Raises HypervisorFailed if it cannot be read, or is not of the declared format."""
    try:
        size_bytes = _allocated(path)
        if declared == "raw" or (declared is None and not _is_qcow2(path)):
            return ImageFacts(path, "raw", _whole_sectors(_length(path)), size_bytes)
        if declared not in (None, "qcow2"):
            raise HypervisorFailed(detail=f"{path} has the format {declared}, not raw or qcow2")
        header = read_header(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise HypervisorFailed(detail=f"cannot read {path!r}: {why}", path=path) from error
    return ImageFacts(
        path=path,
        format="qcow2",
        virtual_bytes=header.virtual_bytes,
        size_bytes=size_bytes,
        backing=header.backing,
        backing_format=header.backing_format,
        internal=header.internal,
        encrypted=header.encrypted,
    )


def chain(path: str, declared: str | None = None) -> tuple[ImageFacts, ...]:
    """An image and all below it, top first. Raises HypervisorFailed naming the file where the chain has a hole."""
    found = [facts(path, declared)]
    while (below := found[-1].backing) is not None:
        if len(found) == _DEEPEST:
            raise HypervisorFailed(detail=f"the chain of {path} has more than {_DEEPEST} images")
        found.append(facts(below, found[-1].backing_format))
    return tuple(found)


def look(path: str, declared: str) -> ImageFacts | None:
    """One image, or None if nothing can be told of it (no image, or not a file of this host)."""
    try:
        return facts(path, declared) if path.startswith("/") else None
    except HypervisorFailed:
        return None


def _whole_sectors(length: int) -> int:
    # As QEMU does: the guest sees the last sector whole, and a layer that is shorter would cut it off.
    return -(-length // _SECTOR) * _SECTOR


def _is_qcow2(path: str) -> bool:
    with open_image(path) as image:
        return image.read(len(MAGIC)) == MAGIC


def _length(path: str) -> int:
    with open_image(path) as image:
        return image.seek(0, os.SEEK_END)


def _allocated(path: str) -> int:
    looks = os.stat(path)
    return _length(path) if stat.S_ISBLK(looks.st_mode) else looks.st_blocks * 512
