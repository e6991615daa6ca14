"""The tree of a VM's layers as rows: the layers, what each snapshot froze, and which snapshot grew out of which."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.snapshot import Snapshot, SnapshotLayer
from models.vm import Layer
from stillframe.layers import Layer as LayerSeen
from stillframe.layers import Tree
from stillframe.states import SnapshotState


def record_tree(session: Session, vm: UUID, tree: Tree) -> None:
    """Make the rows of a VM's layers and of its snapshots' places in the tree say what was seen.

    The caller holds the VM's row. Snapshots that have no row are left to `host rescan`.
    """
    layers = _record_layers(session, vm, tree)
    rows = session.scalars(
        select(Snapshot).where(Snapshot.vm_id == vm, Snapshot.state != SnapshotState.DELETED)
    ).all()
    snapshots = {row.id: row for row in rows}
    _record_frozen(session, tree, snapshots, layers)
    _record_places(session, tree, snapshots)


def _record_layers(session: Session, vm: UUID, tree: Tree) -> dict[str, Layer]:
    known = {row.path: row for row in session.scalars(select(Layer).where(Layer.vm_id == vm))}
    rows: dict[str, Layer] = {}
    for path, seen in tree.layers.items():
        row = known.pop(path, None)
        if row is None:
            row = Layer(vm_id=vm, path=path, target=seen.target, format=seen.format)
            session.add(row)
        row.target, row.format, row.backing = seen.target, seen.format, seen.backing
        row.virtual_bytes, row.size_bytes = seen.virtual_bytes, seen.size_bytes
        row.is_head, row.seen_at = tree.is_head(path), func.now()
        rows[path] = row
    session.flush()
    for path, seen in tree.layers.items():
        below = rows.get(seen.backing) if seen.backing else None
        rows[path].parent_id = below.id if below else None
    for row in known.values():
        session.delete(row)
    session.flush()
    return rows


def _record_frozen(
    session: Session, tree: Tree, snapshots: Mapping[UUID, Snapshot], layers: Mapping[str, Layer]
) -> None:
    known = {
        (row.snapshot_id, row.target): row
        for row in session.scalars(
            select(SnapshotLayer).where(SnapshotLayer.snapshot_id.in_(list(snapshots)))
        )
    }
    for snapshot, volumes in tree.frozen.items():
        if snapshot not in snapshots:
            continue
        for target, path in volumes.items():
            row = known.get((snapshot, target))
            if row is None:
                row = SnapshotLayer(snapshot_id=snapshot, target=target, virtual_bytes=0)
                session.add(row)
            _point(row, path, layers.get(path), tree.layers.get(path))
        snapshots[snapshot].size_bytes = sum(
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
