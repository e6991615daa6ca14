"""What a worker saw on its host, in plain values: the host holds the truth of disks, and rows are made from these."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class HostSeen:
    """A hypervisor and all VMs it has at one moment."""

    name: str
    libvirt_version: str
    qemu_version: str
    cpus: int
    memory_bytes: int
    vms: tuple[VmSeen, ...]
