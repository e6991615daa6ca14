"""What a collection of layers will free, move and need, act by act."""

from collections.abc import Sequence
from dataclasses import dataclass

from stillframe.counting import size
from stillframe.layers import Merge, Tree, Unlink, after
from stillframe.planning.forecast import Draft, Place
from stillframe.planning.known import VmKnown


@dataclass(frozen=True)
class Collected:
    """`freed`: bytes of files that go. `moved`: bytes that are copied down. `grows`: the most each base grows by."""

    freed: int
    moved: int
    grows: dict[str, int]


def collected(tree: Tree, acts: Sequence[Merge | Unlink]) -> Collected:
    """What these acts come to. A base grows by what is merged into it, but not beyond the size of its volume."""
    sizes = {path: layer.size_bytes for path, layer in tree.layers.items()}
    freed = moved = 0
    grows: dict[str, int] = {}
    for act in acts:
        if isinstance(act, Unlink):
            freed += sizes.pop(act.path)
            continue
        poured = sum(sizes.pop(path) for path in (act.top, *act.between))
        virtual = max(tree.layers[act.top].virtual_bytes, tree.layers[act.base].virtual_bytes)
        grown = max(0, min(poured, virtual - sizes[act.base]))
        sizes[act.base] += grown
        freed, moved = freed + poured, moved + poured
        grows[act.base] = grows.get(act.base, 0) + grown
    return Collected(freed, moved, grows)


def places(vm: VmKnown, grows: dict[str, int]) -> tuple[Place, ...]:
    """The storages that bases grow on. They take turns, and what was merged is freed between, so the largest counts."""
    homes = {volume.target: volume for volume in vm.usable}
    found: dict[str, Place] = {}
    for base, grown in sorted(grows.items()):
        volume = homes.get(vm.tree.layers[base].target)
        if volume is None or volume.home is None or not grown:
            continue
        before = found.get(volume.home)
        needed = max(grown, before.needed if before else 0)
        found[volume.home] = Place(volume.home, volume.free_bytes, needed, "what is merged into older layers")
    return tuple(found.values())


def tell_hidden(draft: Draft, tree: Tree, acts: Sequence[Merge | Unlink], gone: Sequence[str]) -> None:
    """Layers that nobody refers to any more and that stay all the same, and why."""
    left = after(tree, acts)
    for path in gone:
        layer = left.layers.get(path)
        if layer is None or not left.is_idle(path):
            continue
        branches = len(left.children(path))
        why = f"{branches} branches stand on it" if branches else "it is the volume's own image"
        draft.tell(
            "layer_hidden",
            f"The layer of {layer.target} stays, hidden, with its {size(layer.size_bytes)}: {why} ({path}).",
        )
