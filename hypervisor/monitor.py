"""QEMU's own monitor, asked past libvirt, which notes that in its log as unusual: only for what libvirt does not know."""

import json
from typing import Any

import libvirt_qemu

from stillframe.errors import HypervisorFailed


def ask(domain: Any, command: str, **arguments: Any) -> Any:
    """QEMU's answer. Raises HypervisorFailed with QEMU's words, and libvirtError."""
    asked = {"execute": command} | ({"arguments": arguments} if arguments else {})
    said = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps(asked), 0))
    if "error" in said:
        raise HypervisorFailed(detail=f"QEMU's {command}: {said['error'].get('desc', said['error'])}")
    return said["return"]


def heads(domain: Any) -> dict[str, str]:
    """The images that its disks write to, by the name of the node."""
    inserted = (device.get("inserted") for device in ask(domain, "query-block"))
    return {str(found.get("node-name", "")): path_of(found["file"]) for found in inserted if found}


def nodes(domain: Any, path: str) -> list[str]:
    """The names of what it has open of an image: that which knows its format first, then the file below."""
    found = [
        (node["drv"] in {"file", "host_device"}, str(node["node-name"]))
        for node in ask(domain, "query-named-block-nodes", flat=True)
        if path_of(node["file"]) == path
    ]
    return [name for _, name in sorted(found)]


def path_of(file: str) -> str:
    """Of an image with options QEMU gives them all as JSON."""
    if not file.startswith("json:"):
        return file
    words = json.loads(file.removeprefix("json:"))
    while isinstance(words.get("file"), dict):
        words = words["file"]
    return str(words.get("filename", ""))
