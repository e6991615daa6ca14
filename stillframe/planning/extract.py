"""What extracting a volume would do."""

from pathlib import PurePosixPath

from stillframe import plans
from stillframe.errors import VolumeNameTaken, VolumeNotFound
from stillframe.operations import ExtractVolume
from stillframe.planning.common import check_places, look_around
from stillframe.planning.forecast import Bytes, Draft, Forecast, Pause, Place
from stillframe.planning.known import SnapshotKnown, VmKnown
from stillframe.planning.warned import NotYetSeen
from stillframe.rules import check_extract


def plan_extract(
    operation: ExtractVolume, vm: VmKnown, snapshot: SnapshotKnown, *, name_taken: bool
) -> Forecast:
    """What is allocated in the chain of the frozen layer is what the copy takes, at most the size of the volume."""
    draft = Draft(vm)
    draft.check("request", lambda: check_extract(snapshot.facts))
    if operation.target not in snapshot.layers:
        where = f'snapshot "{snapshot.facts.name}"'
        targets = ", ".join(sorted(snapshot.layers)) or "none"
        draft.refusals.append(
            ("request", VolumeNotFound(where=where, target=operation.target, targets=targets))
        )
    if name_taken:
        draft.refusals.append(("request", VolumeNameTaken(name=operation.name)))
    look_around(draft)
    place = _place(draft, operation.target, snapshot)
    bytes_ = Bytes()
    if place is not None:
        check_places(draft, (place,))
        bytes_ = Bytes(needed=place.needed, moved=place.needed, places=(place,))
    draft.tell("stands_alone", "The image needs no other, and stays when the snapshot is deleted.")
    draft.tell("others_untouched", "The VM and its snapshots stay as they are.")
    return draft.done(operation, plans.steps(operation.kind), bytes_, Pause("none", "The VM is not touched."))


def _place(draft: Draft, target: str, snapshot: SnapshotKnown) -> Place | None:
    layer = snapshot.layers.get(target)
    if layer is None:
        return None
    if layer not in draft.vm.tree.layers:
        draft.warn(NotYetSeen(vm=draft.vm.name))
        return None
    line = [draft.vm.tree.layers[path] for path in draft.vm.tree.line(layer) if path in draft.vm.tree.layers]
    needed = min(sum(one.size_bytes for one in line), line[0].virtual_bytes)
    volume = next((volume for volume in draft.vm.usable if volume.target == target), None)
    home = str(PurePosixPath(layer).parent) if volume is None or volume.home is None else volume.home
    return Place(home, volume.free_bytes if volume else None, needed, f"the copy of {target}")
