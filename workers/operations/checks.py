"""What the worker looks at before it touches a VM: the laws that a plan knows too, on the machine as it is now."""

from collections.abc import Iterable, Mapping

from hypervisor.port import VmFacts
from stillframe.errors import VmBusy, VmMigrating
from stillframe.layers import Tree, collect
from stillframe.planning.collection import collected
from stillframe.rules import LAYER_FLOOR_BYTES, check_depth, check_memory, check_room, memory_needs
from stillframe.states import SnapshotType
from workers.steps import Work


def check_idle(work: Work, facts: VmFacts) -> None:
    """No migration is under way, and nothing else that libvirt holds the VM for; raises VmMigrating or VmBusy."""
    activity = work.vm.activity()
    if activity is not None and activity.startswith("migration"):
        raise VmMigrating(vm=facts.name)
    if activity is not None:
        raise VmBusy(vm=facts.name, detail=f"libvirt is at a {activity}")


def check_new_layers(
    work: Work, facts: VmFacts, type_: SnapshotType, depths: Mapping[str, int], homes: Iterable[str]
) -> None:
    """Each volume may get one more image, there is room for it, and RAM can be saved if it is to be.

    Raises ChainTooDeep, MemoryWithPassthrough, NotEnoughSpace.
    """
    check_depth(facts.name, depths, work.chain_limit)
    check_memory(facts.name, facts.devices.of_host, type_)
    for home in sorted(set(homes)):
        check_room(home, work.images.free_bytes(home), LAYER_FLOOR_BYTES, "the new layers")


def check_room_for_memory(work: Work, facts: VmFacts, folder: str) -> None:
    """The VM's RAM fits in there; raises NotEnoughSpace."""
    check_room(folder, work.images.free_bytes(folder), memory_needs(facts.memory_bytes), "the VM's memory")


def check_room_for_merges(work: Work, tree: Tree, gone: Iterable[str]) -> None:
    """No base can fill up its storage, which would pause every VM that writes there; raises NotEnoughSpace."""
    acts = collect(tree, list(gone))
    for base, grown in collected(tree, acts).grows.items():
        check_room(base, work.images.free_bytes(base), grown, "what is merged into it")
