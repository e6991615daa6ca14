"""What may be done with a snapshot or a VM as it stands: the code that refuses, and shows beforehand that it would.

Pure, so that the Producer can ask it inside its transaction and the API can ask it for every snapshot of a list.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from stillframe.counting import Size
from stillframe.errors import (
    AfterNotForMemory,
    ChainTooDeep,
    ColdNeedsStopped,
    DeletionAsked,
    Forbidden,
    ForeignCannot,
    ForeignTogether,
    HotNeedsRunning,
    MemoryNeedsRunning,
    MemoryWithPassthrough,
    NotEnoughSpace,
    SnapshotHeld,
    SnapshotNotReady,
    StillframeError,
    VmGone,
    VmTransient,
    VolumeDeletionAsked,
    VolumeSnapshotNotReady,
)
from stillframe.operations import After
from stillframe.rights import Right
from stillframe.states import SnapshotState, SnapshotType, VmState, VolumeSnapshotState

#: Bytes that must be free where new layers go: a VM that finds no room for its next write is paused.
LAYER_FLOOR_BYTES = 64 << 20
#: A VM in one of these has a QEMU process: its disks are in use and its RAM can be saved.
ALIVE = frozenset({VmState.RUNNING, VmState.PAUSED})
#: libvirt's reasons for a pause that its own snapshot makes; a user's pause or an I/O error is not ours to end.
LEFT_BY_A_CUT = frozenset({"save", "snapshot", "unknown"})
DELETABLE = frozenset({SnapshotState.READY, SnapshotState.ERROR, SnapshotState.REVERTING})
HOLDABLE = frozenset({SnapshotState.CREATING, SnapshotState.READY, SnapshotState.REVERTING})


@dataclass(frozen=True)
class Hold:
    """Why a snapshot is to stay, who says so, and until when; None: until it is released."""

    reason: str
    by: str
    until: datetime | None = None


@dataclass(frozen=True)
class SnapshotFacts:
    """What the rules need to know of a snapshot and its VM."""

    name: str
    state: SnapshotState
    type: SnapshotType
    vm: str
    vm_state: VmState
    host: str
    #: The unfinished job that is to delete it.
    deletion: UUID | None = None
    #: Why it is to stay. A hold that is over is none.
    hold: Hold | None = None
    #: Of one that another tool made: why it cannot be used, by action.
    cannot: Mapping[str, str] = field(default_factory=dict)
    foreign: bool = False


@dataclass(frozen=True)
class VolumeSnapshotFacts:
    """What the rules need to know of a volume snapshot. Its VM and its snapshot may be gone."""

    name: str
    state: VolumeSnapshotState
    #: The unfinished job that is to delete it.
    deletion: UUID | None = None


def type_for(vm: str, state: VmState, wished: SnapshotType | None) -> SnapshotType:
    """The type a new snapshot gets; None means what fits the VM. Raises the refusal that says why not."""
    if wished is None:
        return SnapshotType.HOT if state in ALIVE else SnapshotType.COLD
    if wished is SnapshotType.COLD and state in ALIVE:
        raise ColdNeedsStopped(vm=vm, state=state)
    if wished is SnapshotType.HOT and state not in ALIVE:
        raise HotNeedsRunning(vm=vm, state=state)
    if wished is SnapshotType.MEMORY and state not in ALIVE:
        raise MemoryNeedsRunning(vm=vm, state=state)
    return wished


def check_defined(vm: str, *, persistent: bool) -> None:
    """A VM that vanishes when it stops can keep no layers; raises VmTransient."""
    if not persistent:
        raise VmTransient(vm=vm)


def check_depth(vm: str, depths: Mapping[str, int], limit: int) -> None:
    """Whether each volume, by the images it is read through, may get one more; raises ChainTooDeep."""
    for target, depth in sorted(depths.items()):
        if depth >= limit:
            raise ChainTooDeep(vm=vm, target=target, depth=depth, limit=limit)


def check_memory(vm: str, devices: Collection[str], type_: SnapshotType) -> None:
    """Whether RAM can be saved, if it is to be; `devices` are those of the host. Raises MemoryWithPassthrough."""
    if type_ is SnapshotType.MEMORY and devices:
        raise MemoryWithPassthrough(vm=vm, devices=", ".join(devices))


def memory_needs(memory_bytes: int) -> int:
    """Bytes that a VM's RAM may take on the disk: device state comes on top of it."""
    return memory_bytes * 105 // 100


def check_room(where: str, free_bytes: int, needed_bytes: int, what: str) -> None:
    """Raises NotEnoughSpace."""
    if free_bytes < needed_bytes:
        raise NotEnoughSpace(
            where=where, free_bytes=Size(free_bytes), needed_bytes=Size(needed_bytes), what=what
        )


def check_revert(facts: SnapshotFacts, after: After = "keep") -> None:
    """Whether the VM can be brought back to this snapshot; `after` as the request has it."""
    _check_stays(facts)
    if facts.state is not SnapshotState.READY:
        raise SnapshotNotReady(snapshot=facts.name, state=facts.state)
    _check_usable(facts, "revert")
    if facts.type is SnapshotType.MEMORY and after != "keep":
        raise AfterNotForMemory(after=after)


def check_delete(facts: SnapshotFacts) -> None:
    """Whether it can be deleted: one whose creation failed always, one that is being reverted to, afterwards, and one
    that is held, never.
    """
    if facts.deletion is not None or facts.state is not SnapshotState.ERROR:
        _check_stays(facts)
    if facts.hold is not None:
        until = f"{facts.hold.until:%Y-%m-%dT%H:%M:%SZ}" if facts.hold.until else "it is released"
        held = {"by": facts.hold.by, "until": until, "reason": facts.hold.reason}
        raise SnapshotHeld(snapshot=facts.name, vm=facts.vm, **held)
    if facts.state not in DELETABLE:
        raise SnapshotNotReady(snapshot=facts.name, state=facts.state)
    _check_usable(facts, "delete")


def check_hold(facts: SnapshotFacts) -> None:
    """Whether it can be held: what is asked to be deleted goes, and what failed has nothing to keep."""
    if facts.deletion is not None:
        raise DeletionAsked(snapshot=facts.name, job=facts.deletion)
    if facts.state not in HOLDABLE:
        raise SnapshotNotReady(snapshot=facts.name, state=facts.state)


def check_together(facts: SnapshotFacts) -> None:
    """Whether it can be deleted in one job with others: of another tool's each is libvirt's to remove; raises ForeignTogether."""
    if facts.foreign:
        raise ForeignTogether(snapshot=facts.name)


def check_extract(facts: SnapshotFacts) -> None:
    """Whether one of its volumes can be made a standalone image."""
    _check_stays(facts)
    if facts.state is not SnapshotState.READY:
        raise SnapshotNotReady(snapshot=facts.name, state=facts.state)
    _check_usable(facts, "extract")


def _check_stays(facts: SnapshotFacts) -> None:
    """The VM is on its host, and nobody has asked for the snapshot to be deleted."""
    if facts.vm_state is VmState.GONE:
        raise VmGone(vm=facts.vm, host=facts.host)
    if facts.deletion is not None:
        raise DeletionAsked(snapshot=facts.name, job=facts.deletion)


def _check_usable(facts: SnapshotFacts, action: str) -> None:
    """What another tool made can be used as far as its worker has seen that it can."""
    if why := facts.cannot.get(action):
        raise ForeignCannot(snapshot=facts.name, why=why)


def check_right(right: Right, rights: Collection[Right]) -> None:
    """Whether somebody with these rights may do it at all; raises Forbidden."""
    if right not in rights:
        raise Forbidden(right=right.value)


def actions(facts: SnapshotFacts, rights: Collection[Right]) -> dict[str, dict[str, Any]]:
    """Each action with whether it is allowed and, if not, the very words a request would be refused with."""
    checks: dict[Right, Callable[[SnapshotFacts], None]] = {
        Right.REVERT: check_revert,
        Right.DELETE: check_delete,
        Right.EXTRACT: check_extract,
    }
    return {right.value: _verdict(right, rights, partial(check, facts)) for right, check in checks.items()}


def _verdict(right: Right, rights: Collection[Right], check: Callable[[], None]) -> dict[str, Any]:
    try:
        check_right(right, rights)
        check()
    except StillframeError as refusal:
        return {"allowed": False, "reason": f"{refusal.detail} {refusal.to_json()['remedy']}"}
    return {"allowed": True, "reason": None}


def check_delete_volume(facts: VolumeSnapshotFacts) -> None:
    """Whether a volume snapshot can be deleted: a whole one, and one whose extraction failed."""
    if facts.deletion is not None:
        raise VolumeDeletionAsked(volume=facts.name, job=facts.deletion)
    if facts.state not in {VolumeSnapshotState.READY, VolumeSnapshotState.ERROR}:
        raise VolumeSnapshotNotReady(volume=facts.name, state=facts.state)


def volume_actions(facts: VolumeSnapshotFacts, rights: Collection[Right]) -> dict[str, dict[str, Any]]:
    """As `actions`, of a volume snapshot."""
    return {"delete": _verdict(Right.DELETE, rights, partial(check_delete_volume, facts))}
