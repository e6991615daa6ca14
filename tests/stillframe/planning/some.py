"""A VM and its snapshots as rows might know them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from stillframe.layers import Layer, Tree
from stillframe.planning import SnapshotKnown, VmKnown
from stillframe.rules import SnapshotFacts
from stillframe.seen import Traits, VolumeSeen
from stillframe.states import SnapshotState, SnapshotType, VmState

MIB = 1 << 20
GIB = 1 << 30
S1, S2, S3 = (UUID(int=number) for number in (1, 2, 3))


def layer(path: str, backing: str | None, size: int, target: str = "vda") -> Layer:
    """One of 20 GiB."""
    return Layer(path, target, "qcow2", backing, 20 * GIB, size)


#: s1 froze /i/a, s2 froze b on it, the VM writes to c on b.
LINE = Tree(
    layers={
        "/i/a": layer("/i/a", None, 5 * GIB),
        "/i/b": layer("/i/b", "/i/a", GIB),
        "/i/c": layer("/i/c", "/i/b", 7),
    },
    heads={"vda": "/i/c"},
    frozen={S1: {"vda": "/i/a"}, S2: {"vda": "/i/b"}},
)
#: The same, with s3 on another branch that stands on a too.
FORK = Tree(
    layers={**LINE.layers, "/i/d": layer("/i/d", "/i/a", 3 * GIB)},
    heads=LINE.heads,
    frozen={**LINE.frozen, S3: {"vda": "/i/d"}},
)


def volume(**said: Any) -> VolumeSeen:
    """One with room for everything."""
    about: dict[str, Any] = {
        "target": "vda",
        "path": "/i/c",
        "format": "qcow2",
        "storage": "file",
        "virtual_bytes": 20 * GIB,
        "size_bytes": 7,
        "depth": 3,
        "home": "/i/stillframe",
        "free_bytes": 100 * GIB,
    }
    return VolumeSeen(**about | said)


def vm(tree: Tree = LINE, volumes: tuple[VolumeSeen, ...] | None = None, **said: Any) -> VmKnown:
    """One that runs; what is no field of it is one of its traits."""
    traits = {name: said.pop(name) for name in list(said) if name in Traits.__dataclass_fields__}
    about: dict[str, Any] = {
        "id": UUID(int=9),
        "name": "web1",
        "state": VmState.RUNNING,
        "host": "hv1",
        "memory_bytes": 4 * GIB,
        "seen_at": datetime(2026, 11, 23, tzinfo=UTC),
        "names": {id_: f"s{id_.int}" for id_ in tree.frozen},
    }
    return VmKnown(
        **about | said,
        tree=tree,
        volumes=(volume(),) if volumes is None else volumes,
        traits=Traits(**{"agent": "connected", **traits}),
    )


def snapshot(
    id_: UUID = S1,
    tree: Tree = LINE,
    type_: SnapshotType = SnapshotType.HOT,
    state: SnapshotState = SnapshotState.READY,
    **said: Any,
) -> SnapshotKnown:
    """One of that VM."""
    facts = SnapshotFacts(f"s{id_.int}", state, type_, "web1", VmState.RUNNING, "hv1")
    layers = tree.frozen.get(id_, {})
    return SnapshotKnown(
        id=id_, facts=facts, layers=layers, virtual_bytes=dict.fromkeys(layers, 20 * GIB), **said
    )
