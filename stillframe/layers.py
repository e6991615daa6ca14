"""The tree of layers of one VM, and what may be collected from it. Pure: it is read from the host and given in.

A layer is referenced by the snapshots that froze it, by the VM if it is a volume's head, and by the layers on top of it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID


@dataclass(frozen=True)
class Layer:
    """One image file. `backing` is the layer below it in this tree; None for a volume's own, first image."""

    path: str
    target: str
    format: str
    backing: str | None
    virtual_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class Unlink:
    """A layer that nothing needs any more."""

    target: str
    path: str


@dataclass(frozen=True)
class Merge:
    """The layers above `base`, up to and with `top`, go down into `base`, and `base` takes the place of `top`.

    `between` are the layers that lie between the two: nobody refers to them.
    """

    target: str
    base: str
    top: str
    between: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """`layers` by path; `heads` and the values of `frozen` name layers by volume target.

    `pinned` layers are needed by something that is not ours (another tool's overlay, another VM): they stay as they are.
    `half_merged` are layers that a merge was stopped in, with those that must be on top of each: without them it reads
    as something that never was.
    """

    layers: Mapping[str, Layer]
    heads: Mapping[str, str]
    frozen: Mapping[UUID, Mapping[str, str]]
    pinned: frozenset[str] = frozenset()
    half_merged: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def children(self, path: str) -> tuple[str, ...]:
        """The layers directly on top of one."""
        return tuple(sorted(layer.path for layer in self.layers.values() if layer.backing == path))

    def snapshots_at(self, path: str) -> tuple[UUID, ...]:
        """The snapshots that froze this layer."""
        return tuple(snapshot for snapshot, volumes in self.frozen.items() if path in volumes.values())

    def current(self) -> UUID | None:
        """The snapshot that the VM's present state grew out of."""
        return self._nearest([self.layers[path].backing for path in self._in_order(self.heads)])

    def parent(self, snapshot: UUID) -> UUID | None:
        """The snapshot that this one grew out of."""
        frozen = [self.layers[path] for path in self._in_order(self.frozen[snapshot])]
        return self._nearest([layer.backing for layer in frozen])

    def is_head(self, path: str) -> bool:
        """Whether the VM writes to this layer."""
        return path in self.heads.values()

    def is_idle(self, path: str) -> bool:
        """Whether neither the VM nor a snapshot refers to this layer."""
        return not (self.is_head(path) or self.snapshots_at(path))

    def line(self, path: str) -> tuple[str, ...]:
        """A layer and all that it stands on, top first, as far down as this tree knows."""
        found = [path]
        while (layer := self.layers.get(found[-1])) and layer.backing is not None:
            found.append(layer.backing)
        return tuple(found)

    def half_read(self, path: str) -> tuple[str, str] | None:
        """A half merged layer that is read through `path` without what must be on top of it, and the latter."""
        return half_read(self.line(path), self.half_merged)

    def without(self, *snapshots: UUID) -> "Tree":
        """The tree once the references of these snapshots are dropped."""
        kept = {id_: volumes for id_, volumes in self.frozen.items() if id_ not in snapshots}
        return replace(self, frozen=kept)

    def _in_order(self, volumes: Mapping[str, str]) -> list[str]:
        return [volumes[target] for target in sorted(volumes) if volumes[target] in self.layers]

    def _nearest(self, starts: list[str | None]) -> UUID | None:
        for start in starts:
            for path in self.line(start) if start else ():
                if at := self.snapshots_at(path):
                    return at[0]
        return None


def half_read(line: Sequence[str], half_merged: Mapping[str, frozenset[str]]) -> tuple[str, str] | None:
    """A half merged layer in this line, top first, that lacks what must be above it, and what it lacks."""
    for place, path in enumerate(line):
        for top in half_merged.get(path, frozenset()) - set(line[:place]):
            return path, top
    return None


def collect(tree: Tree, gone: Collection[str]) -> tuple[Unlink | Merge, ...]:
    """What gives back the space of all that nothing needs, in an order that may be cut anywhere.

    `gone` are the layers whose use was just given up: the head that a revert left, what a deleted snapshot froze.
    Of the layers nothing stands on, only they may go, and those they alone stood on: any other may be a disk that
    somebody put aside. A layer without reference and with one child takes up that child. One with several children
    stays: writing into it would change every branch that stands on it.
    """
    tree = replace(tree, pinned=tree.pinned | _put_aside(tree, gone))
    acts: list[Unlink | Merge] = []
    while act := _next(tree):
        acts.append(act)
        tree = _applied(tree, act)
    return tuple(acts)


def after(tree: Tree, acts: Iterable[Unlink | Merge]) -> Tree:
    """The tree once these acts are done."""
    for act in acts:
        tree = _applied(tree, act)
    return tree


def _put_aside(tree: Tree, gone: Collection[str]) -> set[str]:
    """Idle layers at the top of their line that nobody gave up, with all they stand on."""
    leaves = [
        path for path in tree.layers if tree.is_idle(path) and not tree.children(path) and path not in gone
    ]
    return {path for leaf in leaves for path in tree.line(leaf)}


def _next(tree: Tree) -> Unlink | Merge | None:
    idle = [
        layer
        for _, layer in sorted(tree.layers.items())
        if tree.is_idle(layer.path) and layer.path not in tree.pinned
    ]
    for layer in idle:
        if layer.backing is not None and not tree.children(layer.path):
            return Unlink(layer.target, layer.path)
    for layer in idle:
        if len(tree.children(layer.path)) == 1 and layer.backing not in {one.path for one in idle}:
            return _merge_into(tree, layer)
    for layer in idle:
        if len(tree.children(layer.path)) == 1:
            return _merge_into(tree, layer)
    return None


def _merge_into(tree: Tree, base: Layer) -> Merge:
    """The longest merge that starts here: idle layers with one child each are passed through in one go."""
    between: list[str] = []
    (top,) = tree.children(base.path)
    while tree.is_idle(top) and top not in tree.pinned and len(tree.children(top)) == 1:
        between.append(top)
        (top,) = tree.children(top)
    return Merge(base.target, base.path, top, tuple(between))


def _applied(tree: Tree, act: Unlink | Merge) -> Tree:
    if isinstance(act, Unlink):
        return replace(tree, layers=_except(tree.layers, act.path))
    layers = {
        path: replace(layer, backing=act.base) if layer.backing == act.top else layer
        for path, layer in _except(tree.layers, act.top, *act.between).items()
    }
    return replace(
        tree,
        layers=layers,
        heads={target: _swap(path, act) for target, path in tree.heads.items()},
        frozen={
            snapshot: {target: _swap(path, act) for target, path in volumes.items()}
            for snapshot, volumes in tree.frozen.items()
        },
    )


def _except(layers: Mapping[str, Layer], *paths: str) -> dict[str, Layer]:
    return {path: layer for path, layer in layers.items() if path not in paths}


def _swap(path: str, act: Merge) -> str:
    return act.base if path == act.top else path
