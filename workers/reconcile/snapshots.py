"""Snapshots: what the rows say against the manifests, and the manifests against the files they name."""

from collections.abc import Iterator

from hypervisor.port import ImageFacts
from models.snapshots.remembered import SnapshotKnown
from stillframe.errors import HypervisorFailed
from stillframe.findings import Kind, Repair
from stillframe.states import SnapshotState
from workers import manifests
from workers.manifests import Manifest
from workers.reconcile.look import Found, Look, bytes_in, id_in, remove

_TAKE_AWAY = (
    "Take its folder away again; or, if the VM was put on that layer by hand, point it back and rescan."
)


def damaged(look: Look) -> Iterator[Found]:
    """Whole snapshots of which a file is gone."""
    for manifest in look.manifests.values():
        if manifest.state == "deleting" or manifest.id in look.busy:
            continue
        for target, source in manifest.volumes.items():
            try:
                _chain(look, source.path, source.format)
            except HypervisorFailed as error:
                detail = f"Snapshot {_name(manifest)} cannot be used, volume {target}: {error.detail}."
                yield look.found(Kind.CHAIN_BROKEN, source.path, detail)
        for there, path in (
            (manifest.memory, manifest.memory_path),
            (manifest.nvram is not None, manifest.nvram_path),
        ):
            if there and not look.images.size_bytes(path):
                detail = f"{path} of snapshot {_name(manifest)} is gone."
                yield look.found(Kind.SNAPSHOT_DAMAGED, manifest.id, detail)


def against_rows(look: Look) -> Iterator[Found]:
    """Snapshots that only the host knows, that only the rows know, and those that are half deleted."""
    for id_, manifest in look.manifests.items():
        if id_ in look.busy:
            continue
        row = look.snapshots.get(id_)
        if manifest.state == "deleting":
            yield _half_deleted(look, manifest, row)
        elif why := _overwritten(look, manifest) if row is None else _spoilt(look, manifest, row):
            detail = f'Snapshot "{_name(manifest)}" was away, and what it froze is not there any more: {why}.'
            remedy = _TAKE_AWAY if row is None else "Delete it."
            yield look.found(Kind.SNAPSHOT_DAMAGED, id_, detail, remedy=remedy)
        elif row is None:
            detail = f'No row knows snapshot "{_name(manifest)}" ({manifest.type}).'
            size = bytes_in(look.images, look.images.listing(manifest.folder))
            yield look.found(Kind.SNAPSHOT_UNKNOWN, id_, detail, size=size, repair=Repair.ADOPT)
        elif row.state is SnapshotState.ERROR and row.was_ready:
            detail = f'The row of snapshot "{row.name}" says that it is lost, and here it is.'
            yield look.found(Kind.SNAPSHOT_UNKNOWN, id_, detail, repair=Repair.ADOPT)
        elif row.state in {SnapshotState.ERROR, SnapshotState.DELETED}:
            detail = (
                f'The row of snapshot "{row.name}" says {row.state}, and its manifest says that it is whole.'
            )
            yield look.found(
                Kind.SNAPSHOT_UNKNOWN,
                id_,
                detail,
                remedy="Delete it (again), or look at what is in its folder.",
            )
    for id_ in look.lost:
        row = look.snapshots[id_]
        detail = (
            f'Snapshot "{row.name}" is ready by its row, and has no manifest in {row.folder or "any home"}.'
        )
        yield look.found(Kind.SNAPSHOT_LOST, id_, detail, repair=Repair.REPAIR)


def folders(look: Look) -> Iterator[Found]:
    """Folders of snapshots that have no manifest: the memory of one that never came to be, say."""
    for folder in look.in_homes:
        id_ = id_in(folder)
        if not folder.endswith(".snapshot") or id_ is None or id_ in look.manifests or id_ in look.busy:
            continue
        if look.images.exists(manifests.path_in(folder)):
            continue  # another VM's
        inside = look.images.listing(folder)
        row = look.snapshots.get(id_)
        over = row is not None and (
            row.state is SnapshotState.DELETED or (row.state is SnapshotState.ERROR and not row.was_ready)
        )
        detail = "It has no manifest" + (
            ", and its snapshot never came to be or is deleted." if over else "."
        )
        yield look.found(
            Kind.FOLDER_ORPHAN,
            folder,
            detail,
            size=bytes_in(look.images, inside),
            repair=Repair.REPAIR if over else Repair.NONE,
            act=remove(look.images, folder) if over else None,
            remedy="Rescan with --repair." if over else None,
        )


def _half_deleted(look: Look, manifest: Manifest, row: SnapshotKnown | None) -> Found:
    detail = f'The deletion of snapshot "{_name(manifest)}" was begun, and no job carries it on.'
    if row is None:
        detail += " No row knows it."
        return look.found(
            Kind.SNAPSHOT_DELETING,
            manifest.id,
            detail,
            repair=Repair.ADOPT,
            remedy="Rescan with --adopt, then delete it.",
        )
    if row.state is SnapshotState.READY:
        detail += " Its row says ready."
        return look.found(
            Kind.SNAPSHOT_DELETING,
            manifest.id,
            detail,
            repair=Repair.REPAIR,
            remedy="Rescan with --repair, then delete it.",
        )
    return look.found(Kind.SNAPSHOT_DELETING, manifest.id, detail)


def _spoilt(look: Look, manifest: Manifest, row: SnapshotKnown) -> str | None:
    """Why one that was lost is not what it was. Without its manifest its layers were idle: others are merged into such,
    and such into others.
    """
    if row.state is not SnapshotState.ERROR:
        return None
    try:
        chains = [_chain(look, source.path, source.format) for source in manifest.volumes.values()]
    except HypervisorFailed as error:
        return error.detail
    # Also below its layers: of a merge that was cut short they stand as they did, on what is half another's.
    below = {image.path for chain in chains for image in chain}
    names = below.union(look.tree.frozen[manifest.id].values())
    if written := names.intersection(look.rows.merged_into_since_lost(manifest.id)):
        return f"what stood on {min(written)} was merged into it"
    return _overwritten(look, manifest)


def _overwritten(look: Look, manifest: Manifest) -> str | None:
    """Who has its layers now. Two snapshots never freeze one: it was a head, and a merge goes into idle ones only."""
    for path in look.tree.frozen[manifest.id].values():
        if look.tree.is_head(path):
            return f"the VM writes to {path}"
        if others := set(look.tree.snapshots_at(path)) - {manifest.id}:
            return f"{path} holds snapshot {min(others)}"
    return None


def _chain(look: Look, path: str, declared: str) -> tuple[ImageFacts, ...]:
    return look.images.chain(path, declared)


def _name(manifest: Manifest) -> str:
    return str(manifest.words.get("name", manifest.id))
