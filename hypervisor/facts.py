"""What is seen of a hypervisor, its VMs and their images, in plain values, and what a cut gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from hypervisor.devices import Devices
from stillframe.states import Consistency, VmState


@dataclass(frozen=True)
class InternalSnapshot:
    """One entry of a qcow2 image's own table of snapshots."""

    name: str
    #: Seconds since 1970.
    created_at: int
    #: RAM that is kept in this very image; of a VM's images one has it.
    memory_bytes: int = 0
    #: The image's own number for it, by which QEMU looks for it first when it goes back.
    id: str = ""


@dataclass(frozen=True)
class ImageFacts:
    """One image file or device as its header says."""

    path: str
    format: str
    virtual_bytes: int
    #: Bytes really allocated on the storage.
    size_bytes: int
    backing: str | None = None
    backing_format: str | None = None
    internal: tuple[InternalSnapshot, ...] = ()
    #: Whether its header says that its data is encrypted.
    encrypted: bool = False

    @property
    def internal_snapshots(self) -> tuple[str, ...]:
        """The names in its own table of snapshots."""
        return tuple(one.name for one in self.internal)


@dataclass(frozen=True)
class VolumeFacts:
    """One disk of a VM as its definition (or, while it runs, its live XML) says."""

    target: str
    #: file, block, network, volume (of a storage pool, where libvirt does not tell its path) or other
    storage: str
    #: The image the VM writes to; empty for a disk without one (an empty CD drive).
    path: str
    format: str
    #: disk, cdrom, floppy, lun
    device: str = "disk"
    read_only: bool = False
    shared: bool = False
    virtual_bytes: int = 0
    #: By the definition, or by the image's own header.
    encrypted: bool = False


@dataclass(frozen=True)
class BlockJob:
    """A block job of QEMU on one volume."""

    #: commit, active_commit (of the head), copy, pull, backup, or unknown.
    kind: str
    done: int
    total: int
    #: A commit of the head, or a copy, that only waits for its pivot.
    ready: bool
    #: The image that a commit of the head or a copy mirrors into, and goes on with after its pivot.
    into: str | None = None


@dataclass(frozen=True)
class ForeignSnapshot:
    """A snapshot of a VM that another tool made: libvirt has a record of it, or an image of the VM has it in its table."""

    name: str
    #: `internal`: in the images themselves; `external`: the images are frozen, others lie on top.
    kind: Literal["internal", "external", "mixed"]
    with_memory: bool
    #: What the VM was then, in libvirt's words: running, paused, shutoff, disk-snapshot (running, disks only), ..., unknown.
    state: str
    #: Seconds since 1970.
    created_at: int
    parent: str | None = None
    #: libvirt's mark of the snapshot that the VM's present state grew out of.
    current: bool = False
    #: The image each of its volumes had then, by target: internal data is in these images, external data is these images.
    volumes: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    #: RAM in an image; 0 if there is none there.
    memory_bytes: int = 0
    #: Whether libvirt has a record of it.
    known_to_libvirt: bool = True


def is_migrated(state: VmState, reason: str) -> bool:
    """Whether libvirt says that a VM runs on another host now."""
    return state is VmState.OFF and reason == "migrated"


@dataclass(frozen=True)
class VmFacts:
    uuid: UUID
    name: str
    state: VmState
    #: libvirt's words for why it is in this state: `user`, `ioerror`, `save`, `snapshot`, `crashed`, ...
    reason: str
    persistent: bool
    memory_bytes: int
    volumes: tuple[VolumeFacts, ...]
    #: The UEFI variable store, if it has one.
    nvram: str | None = None
    managed_save: bool = False
    #: Snapshots of this VM that others made, by name: those of libvirt, and what else is in the tables of its heads.
    foreign_snapshots: tuple[ForeignSnapshot, ...] = ()
    #: The text Stillframe noted in the VM's metadata (JSON), or None.
    note: str | None = None
    #: Every image it may open: of all its disks, as its live and its persistent definition and that of its managed save
    #: name them, with what they say lies below and what a block job writes to. What lies below may be told in part only.
    images: tuple[str, ...] = ()
    #: What of it is more than disks and RAM.
    devices: Devices = field(default_factory=Devices)
    #: Why it could not be looked at, if so: then its images and volumes are not known, and it may use any.
    unreadable: str | None = None

    @property
    def migrated(self) -> bool:
        """Whether it went to another host, and what is here is the definition that was left. A new libvirtd forgets it."""
        return is_migrated(self.state, self.reason)


@dataclass(frozen=True)
class HostFacts:
    name: str
    libvirt_version: str
    qemu_version: str
    cpus: int
    memory_bytes: int


@dataclass(frozen=True)
class Source:
    """The image a volume shall have."""

    path: str
    format: str


@dataclass(frozen=True)
class CutFacts:
    """What a cut really did. Milliseconds as seen from the host; a pause of 0 means that the VM never stopped."""

    consistency: Consistency
    pause_ms: int
    #: Upper bound of how long the guest's filesystems were frozen; 0 when they were not.
    freeze_ms: int


@dataclass(frozen=True)
class StorageFacts:
    """A file system, with its bytes.

    `id` is the same for all that share its room: `net:` and where it comes from if other hosts may have it too, else
    `local:` and the device.
    """

    id: str
    free_bytes: int
    total_bytes: int
