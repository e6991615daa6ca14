"""What a worker saw on its host, in plain values: the host holds the truth of disks, and rows are made from these."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self
from uuid import UUID

from stillframe.layers import Tree
from stillframe.states import VmState


@dataclass(frozen=True)
class VolumeSeen:
    """One disk of a VM. `why_not` says why it is left out of snapshots; None if it is snapshotted."""

    target: str
    path: str
    format: str
    storage: str
    virtual_bytes: int
    size_bytes: int
    why_not: str | None = None
    #: Images the VM opens for it, its own first one included; 0 if that is not known.
    depth: int = 0
    #: The folder for its layers, and the bytes that are free there.
    home: str | None = None
    free_bytes: int | None = None
    #: The storage that the folder is on, and how much that holds.
    storage_id: str | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What decides what can be asked of a VM, beside its state and its disks."""

    #: False: it vanishes when it stops.
    persistent: bool = True
    #: Whether its RAM was put aside by `virsh managedsave`.
    managed_save: bool = False
    #: The UEFI variable store.
    nvram: str | None = None
    #: The backend of its TPM: emulator, passthrough, external.
    tpm: str | None = None
    #: `connected` once the guest has opened the agent's channel, `disconnected` before; None without a channel.
    agent: str | None = None
    #: Devices of the host with which its RAM cannot be saved, in words for people.
    host_devices: tuple[str, ...] = ()
    #: Devices whose state is kept outside of QEMU, in words for people.
    outside_devices: tuple[str, ...] = ()
    #: Names of snapshots that others made: external ones, whose images others lie on,
    foreign_snapshots: tuple[str, ...] = ()
    #: and internal ones, inside of its images.
    internal_snapshots: tuple[str, ...] = ()
    #: The long job libvirt is at: `migration_out`, `save`, `backup`, ...
    activity: str | None = None
    #: Block jobs that mirror a volume, by target: `copy`, `active_commit`.
    block_jobs: dict[str, str] = field(default_factory=dict)
    #: Why it could not be looked at.
    unreadable: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For the VM's row."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Back from the row; what this version does not know is left out, what that one did not know is as usual."""
        known = {one.name for one in fields(cls)}
        kept: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if name in known
        }
        return cls(**kept)


@dataclass(frozen=True)
class ForeignSeen:
    """A snapshot of a VM that another tool made."""

    name: str
    #: internal (in the images themselves), external (in layers), or mixed.
    kind: str
    with_memory: bool
    #: What the VM was then, in libvirt's words.
    state: str
    #: Seconds since 1970.
    created_at: int
    parent: str | None = None
    current: bool = False
    #: The image each of its volumes had then, by target.
    volumes: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    #: RAM in an image; 0 if there is none there.
    memory_bytes: int = 0
    #: Whether libvirt has a record of it, or only the images' own tables.
    known_to_libvirt: bool = True
    #: Why it cannot be used, by action (revert, delete, extract); an action that is not here can be asked for.
    cannot: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VmSeen:
    """A VM with its volumes and, where it could be read, the tree of its layers.

    `tree.frozen` holds every snapshot whose manifest lies on the host.
    """

    uuid: UUID
    name: str
    state: VmState
    reason: str
    memory_bytes: int
    #: None if they could not be read: what was known of them stays.
    volumes: tuple[VolumeSeen, ...] | None
    tree: Tree | None = None
    traits: Traits = field(default_factory=Traits)
    #: None if they could not be read: what was known of them stays.
    foreign: tuple[ForeignSeen, ...] | None = None


@dataclass(frozen=True)
class HostSeen:
    """A hypervisor and all VMs it has at one moment."""

    name: str
    libvirt_version: str
    qemu_version: str
    cpus: int
    memory_bytes: int
    vms: tuple[VmSeen, ...]


@dataclass(frozen=True)
class SnapshotSeen:
    """A snapshot as its manifest says. Not `whole`: its deletion was begun."""

    id: UUID
    folder: str
    whole: bool
    type: str
    consistency: str | None
    #: 0 without RAM.
    memory_bytes: int
    #: name, display_name, description, tags, created_at, as they were at its creation.
    words: Mapping[str, Any]


@dataclass(frozen=True)
class VolumeSnapshotSeen:
    """An extracted volume as the file beside its image says."""

    id: UUID
    snapshot: UUID
    path: str
    format: str
    virtual_bytes: int
    size_bytes: int
    sha256: str | None
    name: str | None
    target: str
    created_at: str | None
