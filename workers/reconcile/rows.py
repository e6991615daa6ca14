"""The repair of findings that are about rows: taking snapshots into them, and saying there what is lost."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine

from models.session import transaction
from models.snapshots import adopt
from stillframe.errors import LostRace, StillframeError
from stillframe.findings import Finding, Kind, Repair
from stillframe.seen import SnapshotSeen, VolumeSnapshotSeen
from workers.manifests import Manifest
from workers.reading import read_vm
from workers.reconcile.look import Look, id_in, json_in

_TO_ADOPT = frozenset({Kind.SNAPSHOT_UNKNOWN, Kind.SNAPSHOT_DELETING, Kind.VOLUME_SNAPSHOT_UNKNOWN})
_TO_LOSE = frozenset({Kind.SNAPSHOT_LOST, Kind.SNAPSHOT_DELETING, Kind.VOLUME_SNAPSHOT_LOST})


@dataclass(frozen=True, kw_only=True)
class Pen:
    """Who writes: on which host, and for whom."""

    engine: Engine
    host: str
    actor: str


def put_right(pen: Pen, look: Look, findings: Sequence[Finding], may: Collection[Repair]) -> list[Finding]:
    """The findings as they are after it."""
    after = [_lost(pen, one) if Repair.REPAIR in may else one for one in findings]
    wanted = [one for one in after if one.kind in _TO_ADOPT and one.repair is Repair.ADOPT]
    if Repair.ADOPT not in may or not wanted:
        return after
    try:
        with transaction(pen.engine) as session:
            snapshots, volumes = _wanted(look, wanted)
            seen = read_vm(look.images, look.facts, look.block_layers_folder)
            adopt.adopt(session, pen.host, seen, snapshots=snapshots, volumes=volumes, actor=pen.actor)
    except StillframeError as error:
        return [one.failed(error.detail) if one in wanted else one for one in after]
    return [one.mended("adopted") if one in wanted else one for one in after]


def _lost(pen: Pen, found: Finding) -> Finding:
    if found.kind not in _TO_LOSE or found.repair is not Repair.REPAIR:
        return found
    id_ = UUID(found.subject)
    try:
        with transaction(pen.engine) as session:
            if found.kind is Kind.SNAPSHOT_LOST:
                adopt.lose_snapshot(session, id_, pen.host, pen.actor)
            elif found.kind is Kind.SNAPSHOT_DELETING:
                adopt.mark_half_deleted(session, id_, pen.actor)
            else:
                adopt.lose_volume(session, id_, pen.host, pen.actor)
    except LostRace as error:
        return found.failed(error.detail)
    return found.mended("its row says so")


def _wanted(look: Look, findings: Sequence[Finding]) -> tuple[list[SnapshotSeen], list[VolumeSnapshotSeen]]:
    snapshots, volumes = [], []
    for one in findings:
        if one.kind is not Kind.VOLUME_SNAPSHOT_UNKNOWN:
            snapshots.append(_snapshot(look, look.manifests[UUID(one.subject)]))
        elif seen := _volume(look, one.subject):
            volumes.append(seen)
    return snapshots, volumes


def _snapshot(look: Look, manifest: Manifest) -> SnapshotSeen:
    return SnapshotSeen(
        id=manifest.id,
        folder=manifest.folder,
        whole=manifest.state != "deleting",
        type=manifest.type,
        consistency=manifest.consistency,
        memory_bytes=look.images.size_bytes(manifest.memory_path) if manifest.memory else 0,
        words=manifest.words,
    )


def _volume(look: Look, image: str) -> VolumeSnapshotSeen | None:
    said = json_in(look.images, image.removesuffix(".qcow2") + ".json")
    id_ = id_in(image)
    with suppress(KeyError, ValueError, TypeError):
        if id_ is not None:
            return VolumeSnapshotSeen(
                id=id_,
                snapshot=UUID(str(said["snapshot"])),
                path=image,
                format=str(said["format"]),
                virtual_bytes=int(said["virtual_bytes"]),
                size_bytes=look.images.size_bytes(image),
                sha256=str(said["sha256"]) if said.get("sha256") else None,
                name=said.get("name"),
                target=str(said.get("target", "")),
                created_at=said.get("created_at"),
            )
    return None
