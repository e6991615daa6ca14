"""Delete, one snapshot or several of a VM at once: drop the references, then give back every layer that nothing else needs.

What several have given up together is collected together: layers that lie between them go down in one merge.
"""

from collections.abc import Mapping
from uuid import UUID

from stillframe.errors import ManifestMissing, VmGone
from workers import manifests
from workers.manifests import Manifest
from workers.operations.checks import check_room_for_merges
from workers.operations.collecting import check_vm, collection
from workers.steps import Output, Plan, Step, Work
from workers.storage import check_there


def check_snapshot(work: Work) -> Output:
    """Sees what there is on the host; a snapshot that never came to be has nothing, and is as well deleted.

    Raises ManifestMissing for one that is ready and not there: its storage may be away, and come back with its files.
    """
    if not any(work.about.values()):
        return {"gone": []}
    _, tree = check_vm(work, work.about)
    left = manifests_left(work)
    if missing := _missing(work, left):
        raise missing
    # From the manifests, not the tree: of a deletion that was stopped half way the tree knows no reference any more.
    froze = {source.path for manifest in left.values() for source in manifest.volumes.values()}
    names = {work.images.identity(path): path for path in tree.layers}
    gone = sorted(names.get(work.images.identity(path), path) for path in froze)
    check_room_for_merges(work, tree.without(*work.about), gone)
    return {"gone": gone}


def drop_reference(work: Work) -> Output:
    """From here on the snapshots cannot be had again: their layers may be written into."""
    left = manifests_left(work)
    if missing := _missing(work, left):  # what is not found on a storage that is away is not dropped
        check_there(work.images, missing.context["folder"])
        raise missing
    for manifest in left.values():
        if manifest.state != "deleting":
            manifests.write(work.images, manifest.deleting())
        elif manifests.is_behind(work.images, manifest):
            manifests.write(work.images, manifest)
    return {}


def remove_folder(work: Work) -> Output:
    """Memory, NVRAM and, last of all traces of each, the manifest and its copies."""
    left = manifests_left(work)
    freed = 0
    for snapshot, known in work.about.items():
        folders = left[snapshot].folders if snapshot in left else (known,) if known else ()
        for folder in reversed(folders):
            if snapshot in work.whole:  # the storage of one that was given up as lost may never come back
                check_there(work.images, folder)
            files = [path for path in work.images.listing(folder) if path != manifests.path_in(folder)]
            freed += sum(work.images.size_bytes(path) for path in files)
            for path in (*files, folder):
                work.images.remove(path)
    return {"freed_bytes": freed}


_STEPS = (
    Step("check_snapshot", check_snapshot),
    Step("drop_reference", drop_reference, final=True),
    *collection(hears=True),
    Step("remove_folder", remove_folder, final=True),
)
_HALTED = "What was not merged yet is as it was, and its space is not free. "

DELETE_SNAPSHOT = Plan("delete_snapshot", *_STEPS, halted=f"{_HALTED}Delete the snapshot again to end it.")
PRUNE_SNAPSHOTS = Plan("prune_snapshots", *_STEPS, halted=f"{_HALTED}Delete the snapshots again to end it.")


def _missing(work: Work, left: Mapping[UUID, Manifest]) -> ManifestMissing | None:
    """One of the snapshots that were ready has no manifest any more."""
    for id_ in work.whole:
        if id_ not in left:
            return ManifestMissing(snapshot=id_, vm=work.wards.name, folder=work.about[id_])
    return None


def manifests_left(work: Work) -> dict[UUID, Manifest]:
    """What there still is of the snapshots' manifests, also when their VM is gone."""
    folders = {snapshot: folder for snapshot, folder in work.about.items() if folder is not None}
    if not folders:
        return {}
    try:
        found = work.reader.manifests(work.vm.facts())
    except VmGone:
        found = ()
    newest = {manifest.id: manifest for manifest in found}
    left = {id_: newest.get(id_) or manifests.read(work.images, folder) for id_, folder in folders.items()}
    return {id_: manifest for id_, manifest in left.items() if manifest is not None}
