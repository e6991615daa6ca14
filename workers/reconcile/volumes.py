"""Volume snapshots: rows without an image, and images without a row."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from models.snapshots.remembered import VolumeKnown
from stillframe.findings import Kind, Repair
from stillframe.states import VolumeSnapshotState
from workers.reconcile.look import Found, Look, id_in, json_in, remove


def folders_of(look: Look) -> list[str]:
    """Where the images extracted out of this VM's volumes lie; other VMs' lie there too."""
    return sorted({f"{home.rsplit('/', 1)[0]}/volumes" for home in look.homes})


def examine(look: Look) -> Iterator[Found]:
    """Both, and what a copy that was cut short has left."""
    there = [path for folder in folders_of(look) for path in look.images.listing(folder)]
    rows = look.rows.volumes({id_ for path in there if (id_ := id_in(path))})
    for id_, row in rows.items():
        if _is_lost(look, row):
            detail = f'Volume snapshot "{row.name}" is ready by its row, and {row.path} is gone.'
            yield look.found(Kind.VOLUME_SNAPSHOT_LOST, id_, detail, repair=Repair.REPAIR)
    for path in there:
        id_ = id_in(path)
        if id_ is None or id_ in look.busy:
            continue
        if path.endswith(".qcow2.part") and id_ in rows and rows[id_].vm == look.facts.uuid:
            yield look.found(
                Kind.FILE_PART,
                path,
                "A copy that was cut short.",
                size=look.images.size_bytes(path),
                repair=Repair.ITSELF,
                act=remove(look.images, path),
            )
        elif (
            path.endswith(".json")
            and _is_unknown(rows.get(id_))
            and belongs(look, said := json_in(look.images, path))
        ):
            detail = f'No row knows volume snapshot "{said.get("name") or id_}" of {said.get("target", "a volume")}.'
            image = path.removesuffix(".json") + ".qcow2"
            if look.images.exists(image):
                size = look.images.size_bytes(image)
                yield look.found(Kind.VOLUME_SNAPSHOT_UNKNOWN, image, detail, size=size, repair=Repair.ADOPT)


def belongs(look: Look, said: dict[str, Any]) -> bool:
    """Whether an image was extracted out of this VM: one that does not say belongs to the VM of its snapshot."""
    if "vm" in said:
        return bool(said["vm"] == str(look.facts.uuid))
    try:
        snapshot = UUID(str(said.get("snapshot")))
        return snapshot in look.manifests or snapshot in look.snapshots
    except ValueError:
        return False


def _is_unknown(row: VolumeKnown | None) -> bool:
    """No row, or one that says that its image is lost."""
    return row is None or (row.state is VolumeSnapshotState.ERROR and row.path is not None)


def _is_lost(look: Look, row: VolumeKnown) -> bool:
    ours = row.vm == look.facts.uuid and row.state is VolumeSnapshotState.READY
    return ours and row.path is not None and not look.images.exists(row.path)
