"""Delete: drop the reference, then give back every layer that nothing else needs."""

from stillframe.errors import VmGone
from workers import manifests
from workers.manifests import Manifest
from workers.operations.checks import check_room_for_merges
from workers.operations.collecting import check_vm, collection
from workers.steps import Output, Plan, Step, Work


def check_snapshot(work: Work) -> Output:
    """Sees what there is on the host; a snapshot that never came to be has nothing, and is as well deleted."""
    if work.folder is None:
        return {"gone": []}
    _, tree = check_vm(work)
    manifest = manifest_left(work)
    # From the manifest, not the tree: of a deletion that was stopped half way the tree knows no reference any more.
    froze = [source.path for source in manifest.volumes.values()] if manifest else []
    names = {work.images.identity(path): path for path in tree.layers}
    gone = sorted(names.get(work.images.identity(path), path) for path in froze)
    check_room_for_merges(work, tree.without(work.snapshot), gone)
    return {"gone": gone}


def drop_reference(work: Work) -> Output:
    """From here on the snapshot cannot be had again: its layers may be written into."""
    manifest = manifest_left(work)
    if manifest and manifest.state != "deleting":
        manifests.write(work.images, manifest.deleting())
    return {}


def remove_folder(work: Work) -> Output:
    """Memory, NVRAM and, last of all its traces, the manifest and its copies."""
    manifest = manifest_left(work)
    folders = manifest.folders if manifest else (work.folder,) if work.folder else ()
    freed = 0
    for folder in reversed(folders):
        files = [path for path in work.images.listing(folder) if path != manifests.path_in(folder)]
        freed += sum(work.images.size_bytes(path) for path in files)
        for path in (*files, folder):
            work.images.remove(path)
    return {"freed_bytes": freed}


DELETE_SNAPSHOT = Plan(
    "delete_snapshot",
    Step("check_snapshot", check_snapshot),
    Step("drop_reference", drop_reference, final=True),
    *collection(hears=True),
    Step("remove_folder", remove_folder, final=True),
    halted="What was not merged yet is as it was, and its space is not free. Delete the snapshot again to end it.",
)


def manifest_left(work: Work) -> Manifest | None:
    """What there still is of the snapshot's manifest, also when its VM is gone."""
    if work.folder is None:
        return None
    try:
        found = work.reader.manifests(work.vm.facts())
    except VmGone:
        found = ()
    by_id = {manifest.id: manifest for manifest in found}
    return by_id.get(work.snapshot) or manifests.read(work.images, work.folder)
