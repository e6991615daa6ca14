"""What bringing a VM back to a snapshot would do."""

from dataclasses import replace

from stillframe import plans
from stillframe.counting import size
from stillframe.layers import Layer, Merge, Tree, Unlink, collect
from stillframe.operations import RevertSnapshot
from stillframe.planning.collection import collected
from stillframe.planning.common import (
    check_not_foreign,
    check_places,
    check_stands,
    look_around,
    others,
)
from stillframe.planning.forecast import Bytes, Draft, Forecast, Pause, Place
from stillframe.planning.known import SnapshotKnown, VmKnown
from stillframe.planning.warned import NotYetSeen, TpmNotKept
from stillframe.rules import ALIVE, LAYER_FLOOR_BYTES, check_revert
from stillframe.states import SnapshotType

#: Bytes of RAM read in a second: from a disk that is slow, and from one that is fast.
_SLOW, _FAST = 100 << 20, 2 << 30


def plan_revert(operation: RevertSnapshot, vm: VmKnown, snapshot: SnapshotKnown) -> Forecast:
    """New heads on the layers that the snapshot froze, and then the collection of the old ones."""
    draft = Draft(vm)
    draft.check("request", lambda: check_revert(snapshot.facts, operation.after))
    look_around(draft)
    check_stands(draft)
    check_not_foreign(draft)
    with_memory = snapshot.facts.type is SnapshotType.MEMORY
    if vm.traits.tpm and not (with_memory and vm.traits.tpm == "emulator"):
        draft.warn(TpmNotKept(vm=vm.name, tpm=vm.traits.tpm, type=snapshot.facts.type))
    acts: tuple[Merge | Unlink, ...] = ()
    bytes_ = Bytes()
    if all(path in vm.tree.layers for path in (*snapshot.layers.values(), *vm.tree.heads.values())):
        tree = _with_new_heads(vm.tree, snapshot)
        acts = collect(tree, sorted(vm.tree.heads.values()))
        found = collected(tree, acts)
        bytes_ = Bytes(freed=found.freed, moved=found.moved, places=_places(vm, snapshot))
        check_places(draft, bytes_.places, LAYER_FLOOR_BYTES)
    else:
        draft.warn(NotYetSeen(vm=vm.name))
    _tell(draft, snapshot)
    return draft.done(operation, plans.steps(operation.kind, acts), bytes_, _pause(operation, vm, snapshot))


def _with_new_heads(tree: Tree, snapshot: SnapshotKnown) -> Tree:
    layers, heads = dict(tree.layers), {}
    for target, below in snapshot.layers.items():
        path = f"{below}.new"
        layers[path] = Layer(path, target, "qcow2", below, tree.layers[below].virtual_bytes, 0)
        heads[target] = path
    return replace(tree, layers=layers, heads=heads)


def _places(vm: VmKnown, snapshot: SnapshotKnown) -> tuple[Place, ...]:
    homes = {volume.home: volume.free_bytes for volume in vm.usable if volume.target in snapshot.layers}
    return tuple(Place(home, free, 0, "the new layers") for home, free in homes.items() if home)


def _tell(draft: Draft, snapshot: SnapshotKnown) -> None:
    vm = draft.vm
    current = vm.tree.current()
    since = f"since snapshot {vm.names.get(current, current)}" if current else "since it was made"
    lost = sum(vm.tree.layers[path].size_bytes for path in vm.tree.heads.values() if path in vm.tree.layers)
    draft.tell(
        "present_lost", f"What the VM wrote {since} is lost: {size(lost)}. Take a snapshot first to keep it."
    )
    if left := len(vm.names.keys() - {snapshot.id}):
        draft.tell("others_untouched", f"Its {others(left)} stay, on other branches too.")
    if extra := sorted({volume.target for volume in vm.usable} - snapshot.layers.keys()):
        draft.tell(
            "volumes_not_in_it",
            f"{', '.join(extra)}: not in the snapshot, and attached afterwards only if the VM had it then; "
            "the files stay.",
        )
    if snapshot.facts.type is SnapshotType.MEMORY:
        draft.tell(
            "console_cut",
            "It goes on from that instant without a boot. Its console is cut, its clock and its connections are of then.",
        )
    elif vm.state in ALIVE:
        draft.tell("powered_off", "It is powered off as if by the cord: what it has in RAM is lost.")
    if vm.traits.nvram:
        draft.tell("nvram_back", "The UEFI variables become those of the snapshot.")


def _pause(operation: RevertSnapshot, vm: VmKnown, snapshot: SnapshotKnown) -> Pause:
    if snapshot.facts.type is SnapshotType.MEMORY:
        ram = snapshot.memory_bytes or vm.memory_bytes
        return Pause(
            "power_off",
            "The VM is ended, and is back as soon as its RAM is read.",
            (200 + ram * 1000 // _FAST, 2000 + ram * 1000 // _SLOW),
        )
    comes_back = operation.after == "start" or (operation.after == "keep" and vm.state in ALIVE)
    if vm.state not in ALIVE:
        return Pause("none", "The VM is off, and is started." if comes_back else "The VM is off.")
    if not comes_back:
        return Pause("power_off", "The VM is ended, and stays off.")
    return Pause("power_off", "The VM is ended and boots again: it is away for as long as a boot takes.")
