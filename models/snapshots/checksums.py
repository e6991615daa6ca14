"""Volume snapshots whose checksum is still to come: large ones are ready before they are summed up."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models.hosts.tables import Host
from models.moves import Told, tell
from models.snapshots.tables import VolumeSnapshot
from stillframe.events import EventType
from stillframe.states import VolumeSnapshotState


@dataclass(frozen=True)
class Unsummed:
    """A ready image without a checksum."""

    id: UUID
    path: str


def next_unsummed(session: Session, host: str, but: Collection[UUID]) -> Unsummed | None:
    """The oldest one on a host that is none of `but`."""
    row = session.execute(
        select(VolumeSnapshot.id, VolumeSnapshot.path)
        .join(Host, Host.id == VolumeSnapshot.host_id)
        .where(
            Host.name == host,
            VolumeSnapshot.state == VolumeSnapshotState.READY,
            VolumeSnapshot.sha256.is_(None),
            VolumeSnapshot.path.is_not(None),
            VolumeSnapshot.id.not_in(but),
        )
        .order_by(VolumeSnapshot.ready_at)
        .limit(1)
    ).one_or_none()
    return Unsummed(row.id, row.path) if row else None


def keep_checksum(session: Session, volume: UUID, sha256: str) -> None:
    """Writes it, with an event; nothing happens if the volume snapshot is gone by now."""
    row = session.execute(
        update(VolumeSnapshot)
        .where(VolumeSnapshot.id == volume, VolumeSnapshot.state == VolumeSnapshotState.READY)
        .values(sha256=sha256)
        .returning(VolumeSnapshot.vm_id, VolumeSnapshot.snapshot_id, VolumeSnapshot.host_id)
    ).one_or_none()
    if row is not None:
        told = Told(
            EventType.VOLUME_CHECKSUMMED, "host", data={"volume_snapshot_id": str(volume), "sha256": sha256}
        )
        tell(session, told, vm=row.vm_id, snapshot=row.snapshot_id, host=row.host_id)
