"""The tree of a VM's layers as rows: the layers, what each snapshot froze, and which snapshot grew out of which."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.orm import Session

from models.snapshots.tables import Snapshot, SnapshotLayer
from models.vms.known import Known
from models.vms.tables import Layer
from stillframe.layers import Layer as LayerSeen
from stillframe.layers import Tree


def record_tree(session: Session, vm: UUID, tree: Tree, known: Known) -> None:
    """Make the rows of a VM's layers and of its snapshots' places in the tree say what was seen.

    The caller holds the VM's row. Snapshots that have no row are left to `host rescan`.
    """
    layers = _record_layers(session, vm, tree, known.layers)
    _record_frozen(session, tree, known, layers)
    _record_places(session, tree, known.snapshots)


def _record_layers(session: Session, vm: UUID, tree: Tree, known: dict[str, Layer]) -> dict[str, Layer]:
    rows: dict[str, Layer] = {}
    for path, seen in tree.layers.items():
        row = known.pop(path, None)
        if row is None:
            row = Layer(vm_id=vm, path=path, target=seen.target, format=seen.format)
            session.add(row)
        row.target, row.format, row.backing = seen.target, seen.format, seen.backing
        row.virtual_bytes, row.size_bytes = seen.virtual_bytes, seen.size_bytes
        row.is_head = tree.is_head(path)
        rows[path] = row
    session.flush()
    for path, seen in tree.layers.items():
        below = rows.get(seen.backing) if seen.backing else None
        rows[path].parent_id = below.id if below else None
    for row in known.values():
        session.delete(row)
    session.flush()
    return rows


def _record_frozen(session: Session, tree: Tree, known: Known, layers: Mapping[str, Layer]) -> None:
    for snapshot, volumes in tree.frozen.items():
        if snapshot not in known.snapshots:
            continue
        for target, path in volumes.items():
            row = known.frozen.get((snapshot, target))
            if row is None:
                row = SnapshotLayer(snapshot_id=snapshot, target=target, virtual_bytes=0)
                session.add(row)
            _point(row, path, layers.get(path), tree.layers.get(path))
        known.snapshots[snapshot].size_bytes = sum(
            tree.layers[path].size_bytes for path in volumes.values() if path in tree.layers
        )


def _point(row: SnapshotLayer, path: str, layer: Layer | None, seen: LayerSeen | None) -> None:
    row.path = path
    row.layer_id = layer.id if layer else None
    if seen is not None:
        row.virtual_bytes = seen.virtual_bytes


def _record_places(session: Session, tree: Tree, snapshots: Mapping[UUID, Snapshot]) -> None:
    for snapshot in tree.frozen:
        if snapshot in snapshots:
            parent = tree.parent(snapshot)
            snapshots[snapshot].parent_id = parent if parent in snapshots else None
    current = tree.current()
    for id_, row in snapshots.items():
        if row.current and id_ != current:
            row.current = False
    session.flush()  # before the next: a VM has one current snapshot at every moment
    if current is not None and current in snapshots:
        snapshots[current].current = True
