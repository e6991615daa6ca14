"""What the rows know of some VMs, read in four queries however many they are."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.snapshots.tables import Snapshot, SnapshotLayer
from models.vms.tables import Layer, Volume
from stillframe.states import SnapshotOrigin, SnapshotState


@dataclass
class Known:
    """The rows of one VM: volumes by target, layers by path, snapshots that are not deleted, and what these froze.

    `foreign` are the snapshots that other tools made; they are not among `snapshots`.
    """

    volumes: dict[str, Volume] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)
    snapshots: dict[UUID, Snapshot] = field(default_factory=dict)
    foreign: dict[UUID, Snapshot] = field(default_factory=dict)
    frozen: dict[tuple[UUID, str], SnapshotLayer] = field(default_factory=dict)


def read_known(session: Session, vms: Collection[UUID]) -> dict[UUID, Known]:
    """By VM; a VM without rows has empty ones. The caller holds the rows of these VMs."""
    known: dict[UUID, Known] = defaultdict(Known)
    for volume in session.scalars(select(Volume).where(Volume.vm_id.in_(vms))):
        known[volume.vm_id].volumes[volume.target] = volume
    for layer in session.scalars(select(Layer).where(Layer.vm_id.in_(vms))):
        known[layer.vm_id].layers[layer.path] = layer
    alive = (Snapshot.vm_id.in_(vms), Snapshot.state != SnapshotState.DELETED)
    for snapshot in session.scalars(select(Snapshot).where(*alive).execution_options(populate_existing=True)):
        of_vm = known[snapshot.vm_id]
        rows = of_vm.foreign if snapshot.origin is SnapshotOrigin.FOREIGN else of_vm.snapshots
        rows[snapshot.id] = snapshot
    frozen = session.execute(
        select(Snapshot.vm_id, SnapshotLayer)
        .join(Snapshot, Snapshot.id == SnapshotLayer.snapshot_id)
        .where(*alive)
    )
    for vm, row in frozen:
        known[vm].frozen[row.snapshot_id, row.target] = row
    return known
