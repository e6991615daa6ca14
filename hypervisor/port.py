"""The port to one hypervisor: what a step may ask of a machine. `libvirt_host.py` is the real one, `fake.py` the believable one.

Every call answers from the machine as it is at that moment. Errors are those of `stillframe.errors` and no others:
HostLost when the connection died (the outcome is then unknown: look again), HypervisorFailed when libvirt or QEMU said no
for a reason of their own, and the refusals named at each call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID

from hypervisor.devices import Devices
from stillframe.states import Consistency, VmState

#: Told (bytes done, bytes to do) at least every 0.5 s of a long call; it may raise Cancelled, and then the
#: call stops its work, puts right what it can, and lets the exception through.
Pulse = Callable[[int, int], None]


@dataclass(frozen=True)
class InternalSnapshot:
    """One entry of a qcow2 image's own table of snapshots."""

    name: str
    #: Seconds since 1970.
    created_at: int
    #: RAM that is kept in this very image; of a VM's images one has it.
    memory_bytes: int = 0


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


class Images(Protocol):
    """Files and qcow2 images on the host. Nothing here needs a VM. Paths are absolute."""

    def facts(self, path: str, declared: str | None = None) -> ImageFacts | None:
        """One image's header, or None if there is no such file. Works while a VM uses the image.

        `declared` is the format its VM's definition says. Without it the format is probed: only for images
        that Stillframe made, for a guest can write a header that lies into a raw disk.
        """

    def chain(self, path: str, declared: str | None = None) -> tuple[ImageFacts, ...]:
        """The image and all it is backed by, top first. Raises HypervisorFailed naming the file that is missing."""

    def create_layer(self, path: str, backing: Source, virtual_bytes: int) -> None:
        """An empty qcow2 layer on `backing`, mode 0600, its owner that of the backing file, its folders made.

        Whole or not there at all (written beside, fsynced, renamed, folder fsynced). Replaces an existing one.
        """

    def convert(self, source: Source, path: str, pulse: Pulse) -> None:
        """A standalone sparse qcow2 image at `path` of what `source` (with its backing chain) reads as.

        Durable when it returns. Never force-shares: raises HypervisorFailed if something writes to `source`.
        A worker's death ends it. On any failure or cancel nothing is left at `path`.
        """

    def convert_internal(self, source: Source, name: str, path: str, pulse: Pulse) -> None:
        """A standalone sparse qcow2 image at `path` of what `source` read as when its internal snapshot `name` was made.

        Works while a VM writes to `source`: shares by force, so it is made twice, and again if the two differ. Durable
        when it returns. Raises HypervisorFailed if there is no such snapshot. Whatever happens, nothing else is left.
        """

    def commit(self, top: str, base: str, pulse: Pulse) -> None:
        """Writes what `top` and the layers between hold into `base`, which grows if `top` is larger; they stay as they are.

        Only for images no running VM uses. Interrupted, the view through `top` stays whole; do it again.
        """

    def rebase(self, path: str, backing: Source) -> None:
        """Points the image at another backing image that reads the same. Moves no data."""

    def sha256(self, path: str, pulse: Pulse) -> str:
        """Hex digest of the file's bytes."""

    def free_bytes(self, path: str) -> int:
        """Free bytes on the storage of `path`, or of its nearest folder that exists."""

    def exists(self, path: str) -> bool: ...

    def identity(self, path: str) -> str | None:
        """Which file or device a path really is, or None if there is none.

        The same for all its names: links and bind mounts are followed. Raises HypervisorFailed if it cannot be told.
        """

    def size_bytes(self, path: str) -> int:
        """Bytes allocated for the file; 0 if there is none."""

    def remove(self, path: str) -> None:
        """Removes a file, or an empty or full folder that Stillframe made; no error if it is gone already. Durable."""

    def rename(self, old: str, new: str) -> None:
        """Renames durably; replaces `new`."""

    def write_text(self, path: str, text: str) -> None:
        """Writes a small file, mode 0600, whole or not at all, durable; makes its folders (0711)."""

    def read_text(self, path: str) -> str | None:
        """A small file's text, or None if there is none."""

    def copy(self, source: str, path: str) -> None:
        """Copies a small file (an NVRAM store) whole or not at all, durable, keeping owner and mode of an existing `path`."""

    def listing(self, folder: str) -> tuple[str, ...]:
        """Absolute paths of what is in a folder, sorted; empty if there is no such folder."""


class Vm(Protocol):
    """One VM, found by its uuid again after every reconnect. Raises VmGone if the host no longer has it."""

    uuid: UUID

    def facts(self) -> VmFacts: ...

    def definition(self) -> str:
        """The persistent definition, with secrets."""

    def running_definition(self) -> str:
        """The definition that a save image would hold (migratable, with secrets); the persistent one when it is off."""

    def disks_of(self, definition: str) -> tuple[VolumeFacts, ...]:
        """The disks of a definition (a manifest's, a memory file's) as it says, without a look at the machine: no sizes."""

    def cut(self, layers: Mapping[str, Source], memory: str | None, quiesce: bool, pulse: Pulse) -> CutFacts:
        """Freezes every volume in `layers` in one instant and puts the given, pre-made layer on top of each.

        With `memory`, a path, RAM of the same instant is saved there (the guest runs on while it is written, but for a
        short pause). `quiesce` freezes the guest's filesystems for the cut and thaws them: not together with `memory`.
        A paused VM stays paused; for a VM that is off only its definition changes.
        Raises AgentUnresponsive (nothing cut), Cancelled (nothing cut), VmBusy (nothing cut).
        After HypervisorFailed or HostLost it may have happened all the same, to some volumes or to all: compare `facts()`.
        HypervisorFailed also when somebody else changed the VM meanwhile, so that not every volume is on its layer at the end.
        """

    def stop(self) -> None:
        """Ends the VM at once, as if by the power cord. Nothing to do if it is off."""

    def start(self, paused: bool = False) -> None:
        """Boots it from its definition. Nothing to do if it is on.

        RAM that was put aside by a managed save is thrown away, never brought back: it would not fit the images.
        """

    def pause(self) -> None:
        """Lets a running VM stand still. Nothing to do if it does, or is off."""

    def resume(self) -> None:
        """Lets a paused VM run."""

    def define(self, definition: str, sources: Mapping[str, Source]) -> None:
        """Makes `definition` the persistent one, with these images as its volumes; keeps the VM's present name."""

    def saved_definition(self, memory: str) -> str:
        """The definition inside a memory file; raises HypervisorFailed if the file is not a whole save image."""

    def restore(self, memory: str, sources: Mapping[str, Source], pulse: Pulse | None = None) -> None:
        """Brings an off VM back out of a memory file, on these images. It runs or is paused as when it was saved.

        It cannot be cancelled: what `pulse` raises is let through when the restore has ended.
        """

    def revert_internal(self, name: str) -> None:
        """Brings the VM back to an internal snapshot that libvirt knows: disks, RAM and definition (the note too).

        It runs, is paused or is off as it was then. What its images held is lost. With an image that lacks the snapshot
        it fails and leaves the VM off: look first. It cannot be cancelled, and goes on when whoever asked dies.
        """

    def delete_internal(self, name: str) -> None:
        """Removes an internal snapshot from all heads, and libvirt's record of it. Nothing to do if there is neither.

        The guest stands still meanwhile, running or not. Raises HypervisorFailed if it is not an internal one.
        """

    def block_job(self, target: str) -> BlockJob | None: ...

    def start_commit(self, target: str, top: str, base: str) -> None:
        """Begins to merge the layers above `base`, up to and with `top`, down into `base` while the VM runs."""

    def pivot(self, target: str) -> None:
        """Ends a ready commit of the head: the VM goes on on `base`."""

    def abort_block_job(self, target: str) -> None:
        """Ends a block job; before its pivot the chain is unchanged."""

    def live_chain(self, target: str) -> tuple[str, ...]:
        """The paths QEMU has open for a volume, head first; for a VM that is off, the chain of its definition's image."""

    def activity(self) -> str | None:
        """The long job that libvirt is at with this VM, whoever began it; None if there is none, or it is off.

        `migration_in`, `migration_out`, `save`, `restore`, `snapshot`, `dump`, `backup`, or libvirt's word for another.
        Waits for nobody: of a QEMU that does not answer it says None.
        """

    def is_frozen(self) -> bool | None:
        """Whether the guest's filesystems are frozen; None if its agent does not say."""

    def thaw(self) -> None: ...

    def set_clock(self) -> None:
        """Tells the guest the time of day, if its agent answers; best effort."""

    def note(self, text: str) -> None:
        """Keeps a text (JSON) in the VM's own metadata, live and persistent."""


class Host(Protocol):
    """One hypervisor, through a connection of its own. Not to be carried over a fork."""

    images: Images

    def facts(self) -> HostFacts: ...

    def vms(self) -> tuple[VmFacts, ...]:
        """All VMs. One that cannot be looked at hides no other: it says why (`unreadable`)."""

    def vm(self, uuid: UUID) -> Vm:
        """A handle; it need not exist (any more): asking it raises VmGone."""

    def find(self, name: str) -> VmFacts | None:
        """The VM of that name or uuid, if this host has it."""

    def reconnect(self, timeout_s: float) -> None:
        """Opens the connection again, trying until `timeout_s` have passed; raises HostLost."""

    def watch(self, changed: Callable[[UUID, Literal["changed", "gone"]], None]) -> None:
        """From now on calls `changed` (from another thread) whenever a VM starts, stops, is defined or undefined."""

    def close(self) -> None: ...
