"""Small durable acts on the host's files: a power cut leaves the old or the new, never a half.

It knows nothing of images or VMs.
"""

import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600
#: Others may pass through to a file they were given, and list nothing.
FOLDER = 0o711
#: How far the clock of a server of files may be ahead of the host's.
_SKEW_NS = 60_000_000_000
_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


def sync(path: str) -> None:
    """Brings a file's bytes, or a folder's entries, onto the storage."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def begin_writing_out(path: str) -> None:
    """Has the kernel begin to write what is dirty of a file that is still growing, and does not wait for it.

    DONTNEED starts the writing and lets go of what is clean: the final sync then has little left to wait for, and
    gigabytes of RAM do not push everything else out of the page cache.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def sync_folder_of(path: str) -> None:
    """Makes the coming, going or renaming of `path` last."""
    sync(os.path.dirname(path))


def make_folders(path: str) -> None:
    """Makes a folder and those above it that are missing, mode 0711, durable."""
    if os.path.isdir(path):
        return
    make_folders(os.path.dirname(path))
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    os.chmod(path, FOLDER)
    sync_folder_of(path)


@contextmanager
def beside(path: str) -> Iterator[str]:
    """A name next to `path` to write to; what is there at the end takes the place of `path`, durably.

    After an exception nothing of it is left and `path` is as it was. The name is always the same one,
    so that what a killed process left behind is overwritten by the next try.
    """
    make_folders(os.path.dirname(path))
    part = f"{path}.part"
    _unlink(part)
    try:
        yield part
        sync(part)
        rename(part, path)
    except BaseException:
        _unlink(part)
        raise


def rename(old: str, new: str) -> None:
    """Renames durably; replaces `new`."""
    os.replace(old, new)
    sync_folder_of(new)
    if os.path.dirname(old) != os.path.dirname(new):
        sync_folder_of(old)


def write_text(path: str, text: str) -> None:
    """Writes a whole small file, mode 0600."""
    with beside(path) as part:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)


def read_text(path: str) -> str | None:
    """A small file's text, or None if there is none."""
    try:
        return Path(path).read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


def copy(source: str, path: str) -> None:
    """Copies a small file; owner and mode are those of the file it replaces, else those of the source."""
    with beside(path) as part:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
        shutil.copyfile(source, part)
        dress_like(path if os.path.exists(path) else source, part)


def dress_like(model: str, path: str) -> None:
    """Gives `path` the owner and mode of `model`."""
    looks = os.stat(model)
    os.chown(path, looks.st_uid, looks.st_gid)
    os.chmod(path, stat.S_IMODE(looks.st_mode))


def make_empty(path: str) -> None:
    """An empty file, mode 0600, whatever was there before."""
    descriptor = _open_in_folder(path)
    os.fchmod(descriptor, PRIVATE)
    os.close(descriptor)
    sync_folder_of(path)


def _open_in_folder(path: str) -> int:
    """Its folder may be removed, since it is empty, between its making and the file's: then both are made again."""
    while True:
        make_folders(os.path.dirname(path))
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
        except FileNotFoundError:
            if os.path.isdir(os.path.dirname(path)):
                raise


def remove(path: str) -> None:
    """Removes a file, or a folder with all that is in it; no error if it is gone already.

    What a killed process left of a try to write it goes too.
    """
    left = _unlink(f"{path}.part")
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif not _unlink(path) and not left:
        return
    sync_folder_of(path)


def remove_empty(folder: str) -> None:
    """Removes a folder, unless something is in it."""
    try:
        os.rmdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        return
    sync_folder_of(folder)


def allocated_bytes(path: str) -> int:
    """Bytes allocated for a file; 0 if there is none."""
    try:
        return os.stat(path).st_blocks * 512
    except (FileNotFoundError, NotADirectoryError):
        return 0


def written_at(path: str) -> int | None:
    """When a file was last written to, in nanoseconds; None if that cannot be told.

    There is none; a device's node does not say; or it would be yet to come: the clock went back since.
    """
    try:
        looks = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    to_come = looks.st_mtime_ns - time.time_ns() > _SKEW_NS
    return looks.st_mtime_ns if stat.S_ISREG(looks.st_mode) and not to_come else None


def open_image(path: str) -> BinaryIO:
    """Opens a file or a block device to read. Raises OSError for anything else: a pipe would be waited for, for ever."""
    _check_image(os.stat(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        _check_image(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def _check_image(looks: os.stat_result) -> None:
    if not (stat.S_ISREG(looks.st_mode) or stat.S_ISBLK(looks.st_mode)):
        raise OSError(errno.EINVAL, "it is neither a file nor a block device")


def identity(path: str) -> str | None:
    """Which file or device a path is, whatever it is called; None if there is none. Raises OSError if that cannot be told."""
    try:
        looks = os.stat(path)
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return None
        raise
    if stat.S_ISBLK(looks.st_mode):
        return f"block:{os.major(looks.st_rdev)}:{os.minor(looks.st_rdev)}"
    return f"{looks.st_dev}:{looks.st_ino}"


def listing(folder: str) -> tuple[str, ...]:
    """Absolute paths of what is in a folder, sorted; empty if there is no such folder."""
    try:
        return tuple(sorted(os.path.join(folder, name) for name in os.listdir(folder)))
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _unlink(path: str) -> bool:
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
