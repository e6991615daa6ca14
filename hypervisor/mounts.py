"""Which file system a path lies on, by what the kernel has mounted where."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from hypervisor.port import StorageFacts

#: File systems that several hosts may have mounted: what they come from is their name everywhere.
_SHARED = re.compile(r"nfs.*|cifs|smb3|ceph|lustre|gpfs|beegfs|(fuse\.)?(glusterfs|sshfs|ceph).*")
#: Several hosts have one disk mounted at once. Its device may be called otherwise on each: its UUID is not.
_CLUSTERED = {"gfs2", "ocfs2"}
_BY_UUID = Path("/dev/disk/by-uuid")
_ESCAPED = re.compile(r"\\([0-7]{3})")


def storage(path: str) -> StorageFacts:
    """The file system of a path, or of its nearest folder that exists."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    room = os.statvfs(path)
    table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    return StorageFacts(
        id=name_in(table, os.path.realpath(path)),
        free_bytes=room.f_bavail * room.f_frsize,
        total_bytes=room.f_blocks * room.f_frsize,
    )


def uuid_of(device: str) -> str | None:
    """The UUID of the file system on a device, by the links that udev keeps; None if there is none."""
    real = os.path.realpath(device)
    links = _BY_UUID.iterdir() if _BY_UUID.is_dir() else ()
    return next((link.name for link in links if os.path.realpath(link) == real), None)


def name_in(mountinfo: str, path: str, uuid_of: Callable[[str], str | None] = uuid_of) -> str:
    """What the file system of a path is called, by a table in the form of /proc/self/mountinfo."""
    found, longest = "local:unknown", -1
    for line in mountinfo.splitlines():
        mount, _, kind = line.partition(" - ")
        _, _, device, _, point, *_ = mount.split()
        point = _ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), point)
        # Of two on one point the later hides the earlier.
        if len(point) >= longest and _is_below(path, point):
            type_, source, *_ = kind.split()
            found, longest = _name(type_, source, device, uuid_of), len(point)
    return found


def _is_below(path: str, point: str) -> bool:
    return path == point or path.startswith(f"{point.rstrip('/')}/")


def _name(type_: str, source: str, device: str, uuid_of: Callable[[str], str | None]) -> str:
    if type_ in _CLUSTERED:
        return f"net:{type_}:{uuid_of(source) or source}"
    if _SHARED.fullmatch(type_):
        return f"net:{source}"
    # What has no device of its own (tmpfs, overlay) is told apart by the kernel's number for it.
    return f"local:{source}" if source.startswith("/dev/") else f"local:{type_}:{device}"
