"""Who on this host has a file open, asked of the kernel: it tells of every process, whatever name the file has there."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress

from hypervisor import files


def openers(path: str, programs: re.Pattern[str]) -> Iterator[str]:
    """The descriptors under which programs of such names (as the kernel keeps them: 15 letters) have it, as paths in /proc.

    Processes of others than root's own are seen by root only.
    """
    wanted = files.identity(path)
    if wanted is None:
        return
    for process in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            with open(f"/proc/{process}/comm") as name:
                if not programs.search(name.read()):
                    continue
            for number in os.listdir(f"/proc/{process}/fd"):
                descriptor = f"/proc/{process}/fd/{number}"
                with suppress(OSError, ValueError):
                    if files.identity(descriptor) == wanted:
                        yield descriptor
