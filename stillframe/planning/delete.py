"""What deleting a snapshot would do, or several of a VM together."""

from collections.abc import Sequence
from functools import partial

from stillframe import plans
from stillframe.counting import size
from stillframe.layers import Merge, Unlink, collect
from stillframe.operations import DeleteSnapshot, PruneSnapshots
from stillframe.planning.collection import collected, places, tell_hidden
from stillframe.planning.common import (
    check_not_foreign,
    check_places,
    check_stands,
    look_around,
    others,
)
from stillframe.planning.forecast import Bytes, Draft, Forecast, Pause
from stillframe.planning.known import SnapshotKnown, VmKnown
from stillframe.planning.warned import NotYetSeen
from stillframe.rules import ALIVE, check_delete, check_together


def plan_delete(
    operation: DeleteSnapshot | PruneSnapshots, vm: VmKnown, snapshots: Sequence[SnapshotKnown]
) -> Forecast:
    """The same collection as the job's, on the layers as rows know them."""
    draft = Draft(vm)
    for snapshot in snapshots:
        draft.check("request", partial(check_delete, snapshot.facts))
        if isinstance(operation, PruneSnapshots):
            draft.check("request", partial(check_together, snapshot.facts))
    look_around(draft)
    acts: tuple[Merge | Unlink, ...] = ()
    memory = sum(snapshot.memory_bytes for snapshot in snapshots)
    bytes_ = Bytes(freed=memory)
    if any(snapshot.has_files for snapshot in snapshots):
        check_stands(draft)
        check_not_foreign(draft)
        tree = vm.tree.without(*(snapshot.id for snapshot in snapshots))
        gone = sorted({path for snapshot in snapshots for path in snapshot.layers.values()})
        if any(path not in tree.layers for path in gone):
            draft.warn(NotYetSeen(vm=vm.name))
        else:
            acts = collect(tree, gone)
            found = collected(tree, acts)
            growing = places(vm, found.grows)
            bytes_ = Bytes(
                needed=sum(place.needed for place in growing),
                freed=found.freed + memory,
                moved=found.moved,
                places=growing,
            )
            check_places(draft, growing)
            tell_hidden(draft, tree, acts, gone)
    _tell(draft, snapshots, memory)
    return draft.done(operation, plans.steps(operation.kind, acts), bytes_, _pause(vm, acts))


def _tell(draft: Draft, snapshots: Sequence[SnapshotKnown], memory: int) -> None:
    names = ", ".join(snapshot.facts.name for snapshot in snapshots)
    if len(snapshots) == 1:
        draft.tell("snapshot_lost", f"Snapshot {names} cannot be brought back.")
    else:
        draft.tell("snapshots_lost", f"{len(snapshots)} snapshots cannot be brought back: {names}.")
    if memory:
        draft.tell(
            "memory_lost", f"{'Its' if len(snapshots) == 1 else 'Their'} RAM goes with it: {size(memory)}."
        )
    if left := len(draft.vm.names.keys() - {snapshot.id for snapshot in snapshots}):
        draft.tell("others_untouched", f"The VM and its {others(left)} stay as they are.")
    else:
        draft.tell("others_untouched", "The VM stays as it is; it has no other snapshot.")


def _pause(vm: VmKnown, acts: tuple[Merge | Unlink, ...]) -> Pause:
    if vm.state not in ALIVE:
        return Pause("none", "The VM is off.")
    if any(isinstance(act, Merge) for act in acts):
        return Pause("none", "The VM runs on while layers are merged; it may feel the storage work.")
    return Pause("none", "The VM runs on.")
