"""The devices of a VM that decide what of it can be kept: what its definition says, in words for people. Pure."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

_AGENT = "org.qemu.guest_agent.0"
_MIRRORS = {"active-commit": "active_commit"}


@dataclass(frozen=True)
class Devices:
    """What of a VM is more than disks and RAM."""

    #: The backend of its TPM: emulator, passthrough or external; None without a TPM.
    tpm: str | None = None
    #: Whether the guest agent has opened its channel; None without a channel. That it answers is not said.
    agent: Literal["connected", "disconnected"] | None = None
    #: Devices of the host with which its RAM cannot be saved, in words for people.
    of_host: tuple[str, ...] = ()
    #: Devices whose state is kept outside of QEMU, which saved RAM may not fit any more, in words for people.
    outside: tuple[str, ...] = ()
    #: Block jobs that the live definition tells of, by target: copies, and commits of the head (`active_commit`).
    mirrors: Mapping[str, str] = field(default_factory=dict)


@lru_cache(maxsize=32)
def devices_of(definition: str) -> Devices:
    """The devices of a definition; agent and mirrors are in a live one only."""
    root = ET.fromstring(definition)  # noqa: S314  # of libvirt; expat itself stops entities that explode
    tpm = root.find("devices/tpm/backend")
    return Devices(
        tpm=None if tpm is None else tpm.get("type", "unknown"),
        agent=_agent(root),
        of_host=tuple(_of_host(root)),
        outside=tuple(_outside(root)),
        mirrors=dict(_mirrors(root)),
    )


def _agent(root: ET.Element) -> Literal["connected", "disconnected"] | None:
    for target in root.iterfind("devices/channel/target"):
        if target.get("name") == _AGENT:
            return "connected" if target.get("state") == "connected" else "disconnected"
    return None


def _of_host(root: ET.Element) -> Iterator[str]:
    """As libvirt and QEMU decide it: they do not save or migrate a VM with one of these."""
    for device in root.iterfind("devices/hostdev"):
        kind = device.get("type", "")
        if kind != "usb":
            yield f"{_HOSTDEV.get(kind, kind or 'unknown')} device {_address(device)} of the host".replace(
                "  ", " "
            )
    for card in root.iterfind("devices/interface"):
        if card.get("type") in {"hostdev", "vdpa"}:
            yield f"network card {_address(card)} of the host".replace("  ", " ")
    for share in root.iterfind("devices/filesystem"):
        target = share.find("target")
        yield f"folder of the host ({'' if target is None else target.get('dir', '')})"
    for memory in root.iterfind("devices/shmem"):
        yield f"memory shared with others ({memory.get('name', '')})"
    if (tpm := root.find("devices/tpm/backend")) is not None and tpm.get("type") == "passthrough":
        yield "TPM of the host"


_HOSTDEV = {"pci": "PCI", "mdev": "mediated", "scsi": "SCSI", "scsi_host": "SCSI host"}


def _outside(root: ET.Element) -> Iterator[str]:
    for device in root.iterfind("devices/hostdev"):
        if device.get("type") == "usb":
            yield f"USB device {_address(device)} of the host".replace("  ", " ")
    for card in root.iterfind("devices/interface"):
        if card.get("type") == "vhostuser":
            yield "vhost-user network card"
    for disk in root.iterfind("devices/disk"):
        if disk.get("type") == "vhostuser":
            yield "vhost-user disk"


def _address(device: ET.Element) -> str:
    """Where it is on the host, as lspci and lsusb write it."""
    source = device.find("source")
    if source is None:
        return ""
    address = source.find("address")
    if address is None:
        vendor, product = source.find("vendor"), source.find("product")
        if vendor is None or product is None:
            return source.get("dev", "")
        return f"{vendor.get('id', '')[2:]}:{product.get('id', '')[2:]}"
    if address.get("uuid"):
        return address.get("uuid", "")
    if address.get("slot") is None:
        return f"{address.get('bus', '')}:{address.get('device', '')}".strip(":")
    parts = [address.get(name, "0x0")[2:] for name in ("domain", "bus", "slot", "function")]
    return f"{parts[0].zfill(4)}:{parts[1].zfill(2)}:{parts[2].zfill(2)}.{parts[3]}"


def _mirrors(root: ET.Element) -> Iterator[tuple[str, str]]:
    for disk in root.iterfind("devices/disk"):
        target, mirror = disk.find("target"), disk.find("mirror")
        if target is not None and mirror is not None:
            job = mirror.get("job", "copy")
            yield target.get("dev", ""), _MIRRORS.get(job, job)
