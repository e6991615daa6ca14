"""What may be done with a snapshot or a VM as it stands: the code that refuses, and shows beforehand that it would.

Pure, so that the Producer can ask it inside its transaction and the API can ask it for every snapshot of a list.
"""

from dataclasses import dataclass
from typing import Any

from stillframe.errors import (
    AfterNotForMemory,
    ColdNeedsStopped,
    HotNeedsRunning,
    MemoryNeedsRunning,
    SnapshotNotReady,
    StillframeError,
    VmGone,
)
from stillframe.operations import After
from stillframe.states import SnapshotState, SnapshotType, VmState

#: A VM in one of these has a QEMU process: its disks are in use and its RAM can be saved.
ALIVE = frozenset({VmState.RUNNING, VmState.PAUSED})
DELETABLE = frozenset({SnapshotState.READY, SnapshotState.ERROR})


@dataclass(frozen=True)
class SnapshotFacts:
    """What the rules need to know of a snapshot and its VM."""

    name: str
    state: SnapshotState
    type: SnapshotType
    vm: str
    vm_state: VmState
    host: str


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


def check_vm(vm: str, state: VmState, host: str) -> None:
    """Refuses whatever needs a VM that its host no longer has."""
    if state is VmState.GONE:
        raise VmGone(vm=vm, host=host)


def check_revert(facts: SnapshotFacts, after: After = "keep") -> None:
    """Whether the VM can be brought back to this snapshot; `after` as the request has it."""
    check_vm(facts.vm, facts.vm_state, facts.host)
    if facts.state is not SnapshotState.READY:
        raise SnapshotNotReady(snapshot=facts.name, state=facts.state)
    if facts.type is SnapshotType.MEMORY and after != "keep":
        raise AfterNotForMemory(after=after)


def check_delete(facts: SnapshotFacts) -> None:
    """Whether the snapshot can be deleted; one whose creation failed always can."""
    if facts.state not in DELETABLE:
        raise SnapshotNotReady(snapshot=facts.name, state=facts.state)


def check_extract(facts: SnapshotFacts) -> None:
    """Whether one of its volumes can be made a standalone image."""
    if facts.state is not SnapshotState.READY:
        raise SnapshotNotReady(snapshot=facts.name, state=facts.state)


def actions(facts: SnapshotFacts) -> dict[str, dict[str, Any]]:
    """Each action with whether it is allowed and, if not, the very words a request would be refused with."""
    checks = {"revert": check_revert, "delete": check_delete, "extract": check_extract}
    return {name: _verdict(check, facts) for name, check in checks.items()}


def _verdict(check: Any, facts: SnapshotFacts) -> dict[str, Any]:
    try:
        check(facts)
    except StillframeError as refusal:
        return {"allowed": False, "reason": f"{refusal.detail} {refusal.to_json()['remedy']}"}
    return {"allowed": True, "reason": None}
