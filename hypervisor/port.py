"""The port to one hypervisor: what a step may ask of a machine. `libvirt_host.py` is the real one, `fake.py` the believable one.

Every call answers from the machine as it is at that moment. Errors are those of `stillframe.errors` and no others:
HostLost when the connection died (the outcome is then unknown: look again), HypervisorFailed when libvirt or QEMU said no
for a reason of their own, and the refusals named at each call.
"""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol
from uuid import UUID

from hypervisor.facts import (
    BlockJob,
    CutFacts,
    ForeignSnapshot,
    HostFacts,
    ImageFacts,
    InternalSnapshot,
    Source,
    StorageFacts,
    VmFacts,
    VolumeFacts,
)

__all__ = [
    "BlockJob",
    "CutFacts",
    "ForeignSnapshot",
    "Host",
    "HostFacts",
    "ImageFacts",
    "Images",
    "InternalSnapshot",
    "Pulse",
    "Source",
    "StorageFacts",
    "Vm",
    "VmFacts",
    "VolumeFacts",
]

#: Told (bytes done, bytes to do) at least every 0.5 s of a long call; it may raise Cancelled, and then the
#: call stops its work, puts right what it can, and lets the exception through.
Pulse = Callable[[int, int], None]


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

    def storage(self, path: str) -> StorageFacts:
        """The storage of `path`, or of its nearest folder that exists."""

    def exists(self, path: str) -> bool: ...

    def is_empty(self, path: str) -> bool:
        """Whether a qcow2 layer holds nothing of its own: all of it reads as what it stands on.

        False also if that cannot be told. Only for a layer that nothing writes to.
        """

    def identity(self, path: str) -> str | None:
        """Which file or device a path really is, or None if there is none.

        The same for all its names: links and bind mounts are followed. Raises HypervisorFailed if it cannot be told.
        """

    def written_at(self, path: str) -> int | None:
        """When a file was last written to, in nanoseconds; None if there is none, or that cannot be told.

        A device does not say, and of a time that is yet to come the host's clock went back since.

        Only fit to be compared with that of another file, or with its own before. A commit does not write to its top.
        """

    def is_open(self, path: str) -> bool:
        """Whether a QEMU, or a tool of it, has the image open at this moment, whatever libvirt says."""

    def size_bytes(self, path: str) -> int:
        """Bytes allocated for the file; 0 if there is none."""

    def remove(self, path: str) -> None:
        """Removes a file, or an empty or full folder that Stillframe made; no error if it is gone already. Durable."""

    def remove_empty(self, folder: str) -> None:
        """Removes a folder that nothing is in; one that holds anything, or is gone already, stays as it is. Durable."""

    def rename(self, old: str, new: str) -> None:
        """Renames durably; replaces `new`."""

    def sync(self, path: str) -> None:
        """Makes what somebody else has written to a file durable."""

    def write_text(self, path: str, text: str) -> None:
        """Writes a small file, mode 0600, whole or not at all, durable; makes its folders (0711)."""

    def read_text(self, path: str) -> str | None:
        """A small file's text, or None if there is none."""

    def copy(self, source: str, path: str) -> None:
        """Copies a small file (an NVRAM store) whole or not at all, durable, keeping owner and mode of an existing `path`."""

    def listing(self, folder: str) -> tuple[str, ...]:
        """Absolute paths of what is in a folder, sorted; empty if there is no such folder."""


class Vm(Protocol):
    """One VM, found by its uuid again after every reconnect.

    Raises VmGone if the host no longer has it, or has only the definition that a migration left behind.
    """

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
        Raises AgentUnresponsive, Cancelled, VmBusy, and of a VM that is off ManagedSavePresent; then nothing is cut.
        After HypervisorFailed or HostLost it may have happened all the same, to some volumes or to all: compare `facts()`.
        HypervisorFailed also when somebody else changed the VM meanwhile, so that not every volume is on its layer at the end.
        """

    def unnoted(self, layers: Mapping[str, Source]) -> dict[str, Source]:
        """Those of the layers that QEMU has open and libvirt knows nothing of: its daemon died before it had noted a cut.

        As long as there are any `facts()` are not true, and to remove the layers would lose data.
        """

    def take_back(self, target: str, layer: str, pulse: Pulse, leaving: Callable[[], object]) -> None:
        """Undoes a cut of one volume that only QEMU knows of; nothing to do if it knows none.

        QEMU merges the layer while the guest runs, and calls `leaving` when what is below holds all of it, right before
        the VM writes there again. Then the VM writes where `facts()` say, and nobody has the layer open; what is in it is
        old. After any error only what is seen through the layer is whole; asked again, QEMU goes on.
        """

    def let_go(self, path: str) -> bool:
        """Has the VM's QEMU close an image that it has open and none of its disks stands on; whether it did.

        A libvirt that died right after a merge leaves the merged layer open. What is in use is never closed.
        """

    def stop(self) -> None:
        """Ends the VM at once, as if by the power cord; nothing to do if it is off. RAM that was put aside is thrown away too."""

    def start(self, paused: bool = False) -> None:
        """Boots it from its definition. Nothing to do if it is on.

        RAM that was put aside by a managed save is thrown away, never brought back: it would not fit the images.
        """

    def pause(self) -> None:
        """Lets a running VM stand still. Nothing to do if it does, or is off."""

    def resume(self) -> None:
        """Lets a paused VM run."""

    def define(self, definition: str, sources: Mapping[str, Source]) -> None:
        """Makes `definition` the persistent one, with these images as its volumes, durably; keeps the VM's present name."""

    def saved_definition(self, memory: str) -> str:
        """The definition inside a memory file; raises HypervisorFailed if the file is not a whole save image."""

    def restore(self, memory: str, sources: Mapping[str, Source], pulse: Pulse | None = None) -> None:
        """Brings an off VM back out of a memory file, on these images. It runs or is paused as when it was saved.

        `pulse` is told how much of the file is read, and 0 of 0 while that cannot be seen. It cannot be cancelled: what
        `pulse` raises is let through when the restore has ended.
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

    def await_turn(self, pulse: Pulse) -> None:
        """Returns once no call of anybody changes this VM, also one that goes on though whoever asked for it died.

        What `pulse` raises ends the wait at once. Raises VmBusy after half a minute. Nothing of the VM is changed.
        """

    def abort_activity(self) -> None:
        """Asks libvirt to give up the long job it is at, whoever began it; no error if there is none.

        What it began fails with HypervisorFailed and is as if it had not been, unless it was too late for that.
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

    @property
    def images(self) -> Images: ...

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
