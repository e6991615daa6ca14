"""What deleting a snapshot would do."""

from stillframe import plans
from stillframe.layers import Merge, Unlink, collect
from stillframe.operations import DeleteSnapshot
from stillframe.planning.collection import collected, places, tell_hidden
from stillframe.planning.common import (
    check_not_foreign,
    check_places,
    check_stands,
    look_around,
    others,
    size,
)
from stillframe.planning.forecast import Bytes, Draft, Forecast, Pause
from stillframe.planning.known import SnapshotKnown, VmKnown
from stillframe.planning.warned import NotYetSeen
from stillframe.rules import ALIVE, check_delete


def plan_delete(operation: DeleteSnapshot, vm: VmKnown, snapshot: SnapshotKnown) -> Forecast:
    """The same collection as the job's, on the layers as rows know them."""
    draft = Draft(vm)
    draft.check("request", lambda: check_delete(snapshot.facts))
    look_around(draft)
    acts: tuple[Merge | Unlink, ...] = ()
    bytes_ = Bytes(freed=snapshot.memory_bytes)
    if snapshot.has_files:
        check_stands(draft)
        check_not_foreign(draft)
        tree = vm.tree.without(snapshot.id)
        gone = sorted(snapshot.layers.values())
        if any(path not in tree.layers for path in gone):
            draft.warn(NotYetSeen(vm=vm.name))
        else:
            acts = collect(tree, gone)
            found = collected(tree, acts)
            growing = places(vm, found.grows)
            bytes_ = Bytes(
                needed=sum(place.needed for place in growing),
                freed=found.freed + snapshot.memory_bytes,
                moved=found.moved,
                places=growing,
            )
            check_places(draft, growing)
            tell_hidden(draft, tree, acts, gone)
    _tell(draft, snapshot)
    return draft.done(operation, plans.steps(operation.kind, acts), bytes_, _pause(vm, acts))


def _tell(draft: Draft, snapshot: SnapshotKnown) -> None:
    draft.tell("snapshot_lost", f"Snapshot {snapshot.facts.name} cannot be brought back.")
    if snapshot.memory_bytes:
        draft.tell("memory_lost", f"Its RAM goes with it: {size(snapshot.memory_bytes)}.")
    if left := len(draft.vm.names.keys() - {snapshot.id}):
        draft.tell("others_untouched", f"The VM and its {others(left)} stay as they are.")
    else:
        draft.tell("others_untouched", "The VM stays as it is; it has no other snapshot.")


def _pause(vm: VmKnown, acts: tuple[Merge | Unlink, ...]) -> Pause:
    if vm.state not in ALIVE:
        return Pause("none", "The VM is off.")
    if any(isinstance(act, Merge) for act in acts):
        return Pause("none", "The VM runs on while layers are merged; it may feel the storage work.")
    return Pause("none", "The VM runs on.")
