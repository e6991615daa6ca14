"""The header of a qcow2 image, read and written by ourselves.

A `qemu-img` child costs 10 to 20 ms: too much for each of a hundred layers that are looked at, and a good part of a hot
snapshot for the one that is made. Layout: QEMU's docs/interop/qcow2.txt. Only what a chain needs; data is never touched.
"""

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from hypervisor.files import open_image
from hypervisor.port import InternalSnapshot
from stillframe.errors import HypervisorFailed

MAGIC = b"QFI\xfb"
_BACKING_FORMAT = 0xE2792ACA
_FIXED = struct.Struct(">4sIQIIQIIQQIIQ")
_VERSION_3 = struct.Struct(">QQQII")
_HEADER_LENGTH = 104
_SNAPSHOT = struct.Struct(">QIHHIIQII")
_LARGE_MEMORY = struct.Struct(">Q")
#: As `qemu-img create` chooses: clusters of 64 KiB, 16 bits for each one's reference count.
_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_REFCOUNT_ORDER = 4
#: In the place of what is no letter in the name of a snapshot: whoever makes an image writes there what he likes.
_NO_LETTER = "\N{REPLACEMENT CHARACTER}"
#: What QEMU allows; a header that says more is not one.
_SMALLEST_CLUSTER, _LARGEST_CLUSTER = 9, 21
_MOST_BYTES = 1 << 62
_MOST_SNAPSHOTS = 65536
_LONGEST_TABLE = 64 << 20


@dataclass(frozen=True)
class Header:
    """Sizes in bytes; `backing_format` as the image itself says."""

    virtual_bytes: int
    backing: str | None
    backing_format: str | None
    internal: tuple[InternalSnapshot, ...]
    encrypted: bool


def read_header(path: str) -> Header:
    """Raises HypervisorFailed if the file is not a whole qcow2 image, OSError if it cannot be read."""
    with open_image(path) as image:
        fixed = image.read(_FIXED.size)
        if len(fixed) < _FIXED.size or fixed[:4] != MAGIC:
            raise HypervisorFailed(detail=f"{path} is not a qcow2 image", path=path)
        try:
            return _header(image, path, fixed)
        except (ValueError, OverflowError, struct.error) as error:
            raise HypervisorFailed(detail=f"{path} has a damaged qcow2 header: {error}", path=path) from error


def _header(image: BinaryIO, path: str, fixed: bytes) -> Header:
    (_, version, name_at, name_length, cluster_bits, size, crypt, *_, snapshots, table_at) = _FIXED.unpack(
        fixed
    )
    if version not in (2, 3) or not _SMALLEST_CLUSTER <= cluster_bits <= _LARGEST_CLUSTER:
        raise ValueError(f"version {version}, clusters of 2^{cluster_bits} bytes")
    if size > _MOST_BYTES or snapshots > _MOST_SNAPSHOTS:
        raise ValueError(f"{size} bytes, {snapshots} snapshots")
    # As QEMU has it; so nobody reads far to find where the extensions end.
    if name_at and name_at + name_length > 1 << cluster_bits:
        raise ValueError("the name of its backing image does not lie in the first cluster")
    backing = _at(image, name_at, name_length).decode() if name_at else None
    if backing and "\0" in backing:
        raise ValueError("the name of its backing image has a NUL in it")
    return Header(
        virtual_bytes=size,
        backing=backing and os.path.join(os.path.dirname(path), backing),
        backing_format=_backing_format(image, version, name_at) if backing else None,
        internal=tuple(_snapshots(image, snapshots, table_at)),
        encrypted=crypt != 0,
    )


def is_empty(path: str) -> bool:
    """Whether an image stands on another and has no cluster of data, nor a snapshot: all its tables of clusters are zeros.

    Raises OSError, ValueError and HypervisorFailed if it cannot be read.
    """
    header = read_header(path)
    with open_image(path) as image:
        fixed = _FIXED.unpack(_at(image, 0, _FIXED.size))
        l1_entries, l1_at = fixed[7], fixed[8]
        if not header.backing or header.internal or l1_entries * 8 > _LONGEST_TABLE:
            return False
        return not any(_at(image, l1_at, l1_entries * 8))


def write_empty(image: BinaryIO, virtual_bytes: int, backing: str, backing_format: str) -> None:
    """Fills a new, empty file with a version 3 image that holds nothing of its own; raises ValueError on a long name.

    Clusters in order: header, refcount table, one refcount block, L1 table (zeros: all is read from `backing`).
    """
    name, kind = backing.encode(), backing_format.encode()
    if len(name) > 1023:
        raise ValueError(f"the path of a backing image has {len(name)} bytes, and 1023 are allowed")
    l1_entries = max(-(-virtual_bytes // (_CLUSTER * (_CLUSTER // 8))), 1)
    clusters = 3 + -(-l1_entries * 8 // _CLUSTER)
    extensions = (
        struct.pack(">II", _BACKING_FORMAT, len(kind)) + kind.ljust(_padded(len(kind)), b"\0") + bytes(8)
    )
    name_at = _HEADER_LENGTH + len(extensions)
    fixed = _FIXED.pack(
        MAGIC,
        3,
        name_at,
        len(name),
        _CLUSTER_BITS,
        virtual_bytes,
        0,
        l1_entries,
        3 * _CLUSTER,
        _CLUSTER,
        1,
        0,
        0,
    )
    image.truncate(clusters * _CLUSTER)
    image.write(fixed + _VERSION_3.pack(0, 0, 0, _REFCOUNT_ORDER, _HEADER_LENGTH) + extensions + name)
    image.seek(_CLUSTER)
    image.write(struct.pack(">Q", 2 * _CLUSTER))
    image.seek(2 * _CLUSTER)
    image.write(struct.pack(">H", 1) * clusters)


def _backing_format(image: BinaryIO, version: int, end: int) -> str | None:
    at = struct.unpack(">I", _at(image, 100, 4))[0] if version >= 3 else _FIXED.size
    while at + 8 <= end:
        kind, length = struct.unpack(">II", _at(image, at, 8))
        if kind == _BACKING_FORMAT:
            name = _at(image, at + 8, min(length, 64)).decode()
            if "\0" in name:
                raise ValueError("the format of its backing image has a NUL in it")
            return name
        if kind == 0:
            return None
        at += 8 + _padded(length)
    return None


def _snapshots(image: BinaryIO, count: int, at: int) -> list[InternalSnapshot]:
    found: list[InternalSnapshot] = []
    begin = at
    for _ in range(count):
        if at - begin > _LONGEST_TABLE:
            raise ValueError("its table of snapshots has no end")
        fixed = _SNAPSHOT.unpack(_at(image, at, _SNAPSHOT.size))
        (_, _, id_length, name_length, created_at, _, _, memory_bytes, extra) = fixed
        if extra >= _LARGE_MEMORY.size:  # the field before it holds 32 bits only
            (memory_bytes,) = _LARGE_MEMORY.unpack(_at(image, at + _SNAPSHOT.size, _LARGE_MEMORY.size))
        name_at = at + _SNAPSHOT.size + extra + id_length
        name = _at(image, name_at, name_length).decode(errors="replace").replace("\0", _NO_LETTER)
        id_ = _at(image, name_at - id_length, id_length).decode(errors="replace")
        found.append(InternalSnapshot(name, created_at, min(memory_bytes, _MOST_BYTES), id_))
        at = at + _padded(_SNAPSHOT.size + extra + id_length + name_length)
    return found


def _at(image: BinaryIO, offset: int, length: int) -> bytes:
    image.seek(offset)
    found = image.read(length)
    if len(found) < length:
        raise ValueError(f"{length} bytes at {offset} are past its end")
    return found


def _padded(length: int) -> int:
    return (length + 7) // 8 * 8
