"""What a look at a host found that is not as it should be, or is worth knowing, in plain values."""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

from stillframe.errors import VmOnTwoHosts


class Kind(StrEnum):
    """In the order in which a VM is looked at: what stands still first, what only takes room last."""

    VM_ON_TWO_HOSTS = "vm.on_two_hosts"
    VM_ELSEWHERE = "vm.elsewhere"
    VM_BUSY = "vm.busy"
    VM_UNREADABLE = "vm.unreadable"
    GUEST_FROZEN = "guest.frozen"
    BLOCK_JOB_LEFT = "block_job.left"
    BLOCK_JOB_FOREIGN = "block_job.foreign"
    VM_PAUSED = "vm.paused"
    HEAD_DRIFTED = "head.drifted"
    CHAIN_BROKEN = "chain.broken"
    LAYER_HALF_MERGED = "layer.half_merged"
    SNAPSHOT_DAMAGED = "snapshot.damaged"
    SNAPSHOT_UNKNOWN = "snapshot.unknown"
    SNAPSHOT_LOST = "snapshot.lost"
    SNAPSHOT_DELETING = "snapshot.deleting"
    VOLUME_SNAPSHOT_UNKNOWN = "volume_snapshot.unknown"
    VOLUME_SNAPSHOT_LOST = "volume_snapshot.lost"
    FILE_PART = "file.part"
    FOLDER_ORPHAN = "folder.orphan"
    LAYER_ORPHAN = "layer.orphan"
    LAYER_LEFT = "layer.left"
    LAYER_HIDDEN = "layer.hidden"
    FOREIGN_SNAPSHOT = "foreign.snapshot"
    HOME_LEFT = "home.left"


class Repair(StrEnum):
    """What puts it right."""

    #: A person only.
    NONE = "none"
    #: The worker, unasked: before each job of the VM and when it starts.
    ITSELF = "itself"
    #: A rescan that was asked to repair.
    REPAIR = "repair"
    #: A rescan that was asked to adopt.
    ADOPT = "adopt"


#: Worth knowing, and as it should be.
NOTES = frozenset({Kind.VM_ELSEWHERE, Kind.LAYER_HIDDEN, Kind.FOREIGN_SNAPSHOT, Kind.HOME_LEFT})

#: What a person does about it, where no rescan can.
REMEDY = {
    Kind.VM_ON_TWO_HOSTS: VmOnTwoHosts.remedy,
    Kind.VM_ELSEWHERE: "Nothing; or remove it there (`virsh undefine`), so that nobody starts it.",
    Kind.VM_BUSY: "Rescan again when that has ended.",
    Kind.VM_UNREADABLE: "Put right what it says, and rescan.",
    Kind.GUEST_FROZEN: "Whoever froze it will thaw it; if nobody will: `virsh domfsthaw VM`.",
    Kind.BLOCK_JOB_LEFT: "Rescan with --repair: it is ended, and the VM's chain stays as it is.",
    Kind.BLOCK_JOB_FOREIGN: "Wait for its end, or end it with the tool that began it (`virsh blockjob`).",
    Kind.VM_PAUSED: "`virsh resume VM`, when what paused it is over.",
    Kind.HEAD_DRIFTED: "Point the volume back at the layer it had (`virsh edit`), or keep it as a disk of its own.",
    Kind.CHAIN_BROKEN: "Bring the missing file back; a snapshot that stands on it cannot be used without.",
    Kind.LAYER_HALF_MERGED: "Delete that snapshot again: it goes on where it stood. Do not boot or copy the layer alone.",
    Kind.SNAPSHOT_DAMAGED: "Bring the missing file back, or delete the snapshot.",
    Kind.SNAPSHOT_UNKNOWN: "Rescan with --adopt.",
    Kind.SNAPSHOT_LOST: "Bring its folder back, or rescan with --repair: its row says then that it is lost.",
    Kind.SNAPSHOT_DELETING: "Delete it again: its deletion goes on where it stood.",
    Kind.VOLUME_SNAPSHOT_UNKNOWN: "Rescan with --adopt.",
    Kind.VOLUME_SNAPSHOT_LOST: "Bring the file back, or rescan with --repair: its row says then that it is lost.",
    Kind.FILE_PART: "Remove it when nothing writes to it.",
    Kind.FOLDER_ORPHAN: "Look at what is in it, and remove it if nobody needs it.",
    Kind.LAYER_ORPHAN: "It may be a disk that somebody put aside. Remove it if nobody needs it.",
    Kind.LAYER_LEFT: "Look in it for what is missed (`guestmount --ro`, `qemu-nbd -r`), and remove it.",
    Kind.LAYER_HIDDEN: "Nothing: it is needed.",
    Kind.FOREIGN_SNAPSHOT: "Nothing: the tool that made it looks after it.",
    Kind.HOME_LEFT: "Define that VM again to use its snapshots, or remove the folder if nobody needs it.",
}


def as_text(said: str) -> str:
    """The name of a file, which is any bytes, as text that can be kept and shown."""
    return (
        said.encode("utf-8", "surrogatepass")
        .decode("utf-8", "replace")
        .replace("\0", "\N{REPLACEMENT CHARACTER}")
    )


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was found. `subject` is the path, volume target or id that it is about."""

    kind: Kind
    #: Name and id of the VM; empty for what belongs to no VM of this host.
    vm: str
    vm_id: str
    subject: str
    detail: str
    remedy: str
    bytes: int = 0
    repair: Repair = Repair.NONE
    repaired: bool = False
    #: What was done about it, or why it could not be done.
    done: str = ""

    @property
    def is_drift(self) -> bool:
        """Whether something is left to be put right."""
        return not self.repaired and self.kind not in NOTES

    def mended(self, what: str) -> Self:
        """The same, put right."""
        return replace(self, repaired=True, done=what, remedy="")

    def failed(self, why: str) -> Self:
        """The same, after a repair that did not work."""
        return replace(self, done=why)

    def to_json(self) -> dict[str, Any]:
        """As it is kept and shown."""
        said = {
            name: as_text(value) if isinstance(value, str) else value for name, value in asdict(self).items()
        }
        return said | {"drift": self.is_drift}
