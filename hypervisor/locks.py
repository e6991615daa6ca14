"""Whether somebody has an image open, asked of the kernel: QEMU holds locks on certain bytes of each image it has.

Where the storage knows no locks, it is asked of the processes of this host.
"""

import errno
import fcntl
import os
import re
import struct

from hypervisor.openers import openers

_F_OFD_GETLK = 36
#: Of these bytes each stands for something that QEMU does with an image, or lets nobody else do (its block/file-posix.c).
_FIRST_BYTE, _BYTES = 100, 200
#: struct flock: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"
_QEMU = re.compile(r"qemu|kvm")
#: What storage answers that knows no locks: QEMU takes none there either.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def is_held(path: str) -> bool:
    """Whether a program of QEMU's has it open, on this host or, where the storage tells, on another; no file is not held."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _FIRST_BYTE, _BYTES, 0)
        kind, *_ = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, _F_OFD_GETLK, question))
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return any(openers(path, _QEMU))
    finally:
        os.close(descriptor)
    return bool(kind != fcntl.F_UNLCK)
