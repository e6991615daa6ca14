"""Whether a memory file is whole. libvirt looks at its header only, and would find out when the VM is already off."""

import os
import re
import struct

_HEADER = struct.Struct("<16s5I")
_MAGIC = b"LibvirtQemudSave"
#: QEMU's stream ends with an end mark (0) and, since QEMU 2.3, a section (6) of JSON that describes the devices.
_LAST_SECTION = re.compile(rb"\x00\x06(....)\{", re.DOTALL)
_LONGEST_LAST_SECTION = 8 << 20


def is_whole(path: str) -> bool:
    """Whether libvirt marked it as complete and QEMU's stream in it goes to its end. Raises OSError.

    Of a compressed file only the mark is looked at.
    """
    with open(path, "rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return False
        magic, _version, _length, _was_running, compressed, _cookie = _HEADER.unpack(header)
        if magic != _MAGIC:
            return False
        if compressed:
            return True
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LONGEST_LAST_SECTION))
        end = file.read()
    for found in _LAST_SECTION.finditer(end):
        (length,) = struct.unpack(">I", found[1])
        if found.start(1) + len(found[1]) + length == len(end):
            return True
    return False
