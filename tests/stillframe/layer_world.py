"""A VM's volumes as dictionaries of blocks, on which the acts of `collect` are carried out for real."""

from dataclasses import dataclass, field
from uuid import UUID

from stillframe.layers import Layer, Merge, Tree, Unlink


@dataclass
class File:
    """One image: what it stands on, and the blocks written to it."""

    target: str
    backing: str | None
    blocks: dict[int, int] = field(default_factory=dict)


class World:
    """Does to dictionaries what qemu does to files; knows nothing of how `collect` decides."""

    def __init__(self, *targets: str) -> None:
        self.files = {f"{target}/base": File(target, None) for target in targets}
        self.heads = {target: f"{target}/base" for target in targets}
        self.frozen: dict[UUID, dict[str, str]] = {}
        self.made = 0
        self.written = 0

    def write(self, block: int) -> None:
        """The VM writes one block of each volume; never the same content twice."""
        for path in self.heads.values():
            self.written += 1
            self.files[path].blocks[block] = self.written

    def create(self) -> UUID:
        """A snapshot: the heads are frozen, an empty layer is put on top of each."""
        self.made += 1
        snapshot = UUID(int=self.made)
        self.frozen[snapshot] = dict(self.heads)
        self._new_heads(self.frozen[snapshot])
        return snapshot

    def revert(self, snapshot: UUID) -> None:
        """The old heads are left for `collect`."""
        self.made += 1
        self._new_heads(self.frozen[snapshot])

    def delete(self, snapshot: UUID) -> None:
        """The reference is dropped, the layers are left for `collect`."""
        del self.frozen[snapshot]

    def tree(self) -> Tree:
        """As a host would read it."""
        layers = {
            path: Layer(path, file.target, "qcow2", file.backing, 9, 1) for path, file in self.files.items()
        }
        frozen = {snapshot: dict(volumes) for snapshot, volumes in self.frozen.items()}
        return Tree(layers, dict(self.heads), frozen)

    def children(self, path: str) -> list[str]:
        """What stands directly on a file."""
        return [name for name, file in self.files.items() if file.backing == path]

    def idle(self) -> list[str]:
        """Files that neither the VM nor a snapshot refers to."""
        used = set(self.heads.values()).union(*(volumes.values() for volumes in self.frozen.values()))
        return [path for path in self.files if path not in used]

    def reads(self) -> dict[object, dict[str, dict[int, int]]]:
        """What the VM and each snapshot see on each volume."""
        seen: dict[object, dict[str, dict[int, int]]] = {"head": self._seen(self.heads)}
        return seen | {snapshot: self._seen(volumes) for snapshot, volumes in self.frozen.items()}

    def carry_out(self, act: Unlink | Merge) -> None:
        """One act."""
        if isinstance(act, Unlink):
            del self.files[act.path]
            return
        base = self.files[act.base]
        line = [act.top]
        while line[-1] != act.base:
            below = self.files[line[-1]].backing
            assert below is not None
            line.append(below)
        assert tuple(line[1:-1][::-1]) == act.between or tuple(line[1:-1]) == act.between
        for path in reversed(line[:-1]):
            base.blocks |= self.files.pop(path).blocks
        for file in self.files.values():
            file.backing = act.base if file.backing == act.top else file.backing
        for volumes in (self.heads, *self.frozen.values()):
            for target, path in volumes.items():
                volumes[target] = act.base if path == act.top else path

    def _new_heads(self, on: dict[str, str]) -> None:
        for target, path in dict(on).items():
            head = f"{target}/{self.made}"
            self.files[head] = File(target, path)
            self.heads[target] = head

    def _seen(self, volumes: dict[str, str]) -> dict[str, dict[int, int]]:
        return {target: self._read(path) for target, path in volumes.items()}

    def _read(self, path: str | None) -> dict[int, int]:
        if path is None:
            return {}
        file = self.files[path]
        return self._read(file.backing) | file.blocks
