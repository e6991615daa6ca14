"""Extract: a standalone image of one volume out of a snapshot's frozen layer, while the VM goes on."""

import json
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from hypervisor.port import Source
from stillframe.errors import VolumeNotFound
from stillframe.names import volume_snapshot_path
from stillframe.operations import ExtractVolume
from stillframe.rules import check_room
from workers.operations.revert_snapshot import whole_manifest
from workers.steps import Output, Plan, Step, Work

#: A larger image is read once more after the job (`workers/checksums.py`): about half a second a GiB, when it is quiet.
SUM_AT_ONCE_BYTES = 128 << 20


def check_snapshot(work: Work) -> Output:
    """Finds the frozen layer and sees that there is room for what is allocated in its chain."""
    manifest = whole_manifest(work)
    target = cast(ExtractVolume, work.operation).target
    if target not in manifest.volumes:
        raise VolumeNotFound(where="snapshot", target=target, targets=", ".join(sorted(manifest.volumes)))
    source = manifest.volumes[target]
    home = manifest.homes[target]
    path = volume_snapshot_path(home, cast(UUID, work.volume_snapshot))
    chain = work.images.chain(source.path, source.format)
    needed = min(sum(image.size_bytes for image in chain), chain[0].virtual_bytes)
    check_room(home, work.images.free_bytes(path), needed, f"the copy of {target}")
    return {
        "source": source.path,
        "format": source.format,
        "path": path,
        "virtual_bytes": chain[0].virtual_bytes,
    }


def copy_volume(work: Work) -> Output:
    """Copies what the layer reads as; durable and whole when it is there at all."""
    found = work.outputs["check_snapshot"]
    if not work.images.exists(found["path"]):
        work.images.convert(Source(found["source"], found["format"]), found["path"], work.pulse)
    return {}


def sum_up(work: Work) -> Output:
    """Sizes and, of an image that is not large, the checksum; kept beside the image."""
    found = work.outputs["check_snapshot"]
    size = work.images.size_bytes(found["path"])
    small = size <= SUM_AT_ONCE_BYTES
    facts = {
        "path": found["path"],
        "format": "qcow2",
        "virtual_bytes": found["virtual_bytes"],
        "size_bytes": size,
        "sha256": work.images.sha256(found["path"], work.pulse) if small else None,
    }
    operation = cast(ExtractVolume, work.operation)
    identity = {
        "schema": 1,
        "id": str(work.volume_snapshot),
        "snapshot": str(work.snapshot),
        "vm": str(work.vm.uuid),
        "name": operation.name,
        "target": operation.target,
        "created_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    work.images.write_text(manifest_of(found["path"]), json.dumps(identity | facts))
    return facts


def remove_copy(work: Work) -> None:
    """Removes it."""
    if found := work.outputs.get("check_snapshot"):
        work.images.remove(found["path"])
        work.images.remove(manifest_of(found["path"]))


EXTRACT_VOLUME = Plan(
    "extract_volume",
    Step("check_snapshot", check_snapshot),
    Step("copy_volume", copy_volume, undo=remove_copy),
    Step("sum_up", sum_up),
    result="sum_up",
)


def manifest_of(path: str) -> str:
    """The file beside a volume snapshot's image that says what it is."""
    return path.removesuffix(".qcow2") + ".json"
