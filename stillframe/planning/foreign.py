"""What would be done with a snapshot that another tool made: libvirt does it, on images that are its own."""

from stillframe import plans
from stillframe.errors import VolumeNameTaken, VolumeNotFound
from stillframe.operations import DeleteSnapshot, ExtractVolume, Operation, RevertSnapshot
from stillframe.planning.common import check_places, check_stands, look_around
from stillframe.planning.forecast import Bytes, Draft, Forecast, Pause, Place
from stillframe.planning.known import SnapshotKnown, VmKnown
from stillframe.rules import ALIVE, check_delete, check_extract, check_revert
from stillframe.states import SnapshotType


def plan_foreign(
    operation: Operation, vm: VmKnown, snapshot: SnapshotKnown, *, name_taken: bool = False
) -> Forecast:
    """The plan of a revert, a deletion or an extract. Whether it can be used at all the worker has seen before."""
    draft = Draft(vm)
    look_around(draft)
    bytes_, pause = Bytes(), Pause("none", "The VM is not touched.")
    match operation:
        case RevertSnapshot():
            draft.check("request", lambda: check_revert(snapshot.facts, operation.after))
            check_stands(draft)
            draft.tell("present_lost", "What the VM wrote since is lost, on all its volumes.")
            pause = _pause(vm, snapshot)
        case DeleteSnapshot():
            draft.check("request", lambda: check_delete(snapshot.facts))
            draft.tell("snapshot_lost", f"Snapshot {snapshot.facts.name} cannot be brought back.")
            draft.tell("inside", "Its space is free inside the images; the files do not shrink.")
            if vm.state in ALIVE:
                pause = Pause("none", "The guest may wait for some tenths of a second while QEMU removes it.")
        case ExtractVolume():
            draft.check("request", lambda: check_extract(snapshot.facts))
            _check_target(draft, operation.target, snapshot)
            if name_taken:
                draft.refusals.append(("request", VolumeNameTaken(name=operation.name)))
            bytes_ = _copy(draft, operation.target)
            draft.tell("stands_alone", "The image needs no other, and stays when the snapshot is deleted.")
    return draft.done(operation, plans.foreign_steps(operation.kind), bytes_, pause)


def _pause(vm: VmKnown, snapshot: SnapshotKnown) -> Pause:
    if snapshot.facts.type is SnapshotType.MEMORY:
        return Pause("power_off", "The VM is away until libvirt has read its RAM out of the image.")
    if vm.state in ALIVE:
        return Pause("power_off", "The VM is ended, and boots again if it shall run.")
    return Pause("none", "The VM is off.")


def _check_target(draft: Draft, target: str, snapshot: SnapshotKnown) -> None:
    if target not in snapshot.layers:
        where, targets = f'snapshot "{snapshot.facts.name}"', ", ".join(sorted(snapshot.layers)) or "none"
        draft.refusals.append(("request", VolumeNotFound(where=where, target=target, targets=targets)))


def _copy(draft: Draft, target: str) -> Bytes:
    """It is read twice, and both copies are there for a while."""
    volume = next((volume for volume in draft.vm.usable if volume.target == target), None)
    if volume is None or volume.home is None:
        return Bytes()
    needed = 2 * min(volume.size_bytes or volume.virtual_bytes, volume.virtual_bytes)
    place = Place(volume.home, volume.free_bytes, needed, f"the copy of {target}, which is made twice")
    check_places(draft, (place,))
    return Bytes(needed=needed, moved=needed, places=(place,))
