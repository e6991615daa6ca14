"""Where libvirt has lost track of a disk: its daemon died after QEMU had changed over, and before it had noted that.

libvirt cannot be told, and believes what it noted until the VM is started anew. What can be done is that the VM starts on
the image it writes to now, for on the other one all that was written since would be gone.
"""

import json
from typing import Any

import libvirt
import libvirt_qemu

from hypervisor import headers
from hypervisor.libvirt_cut import settle
from hypervisor.port import Source
from stillframe.errors import LostTrack

#: What QEMU answers who names an image that it has left.
_LEFT = ("nor node-name", "Device 'libvirt-", "is not in this backing file chain")


def secure(domain: Any, target: str, top: str, base: str, error: libvirt.libvirtError) -> None:
    """Raises LostTrack, with the definition on `base`, if QEMU left `top` for it; otherwise nothing is done."""
    if not any(words in str(error) for words in _LEFT):
        return
    written_to = _written_to(domain)
    if top in written_to or base not in written_to:
        return
    settle(domain, {target: Source(base, headers.facts(top, "qcow2").backing_format or "raw")})
    raise LostTrack(vm=domain.name(), target=target, path=base) from error


def _written_to(domain: Any) -> set[str]:
    """The images that QEMU itself says its disks write to. Asked past libvirt, which it notes in its log as unusual."""
    said = json.loads(libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "query-block"}', 0))
    inserted = (device.get("inserted") for device in said["return"])
    return {_path(found["file"]) for found in inserted if found}


def _path(file: str) -> str:
    """Of an image with options QEMU gives them all as JSON."""
    if not file.startswith("json:"):
        return file
    words = json.loads(file.removeprefix("json:"))
    while isinstance(words.get("file"), dict):
        words = words["file"]
    return str(words.get("filename", ""))
