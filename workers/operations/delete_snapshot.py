"""Delete: drop the reference, then give back every layer that nothing else needs."""

from stillframe.errors import VmTransient
from workers import manifests
from workers.manifests import Manifest
from workers.operations.collecting import COLLECT
from workers.steps import Output, Plan, Step, Work


def check_snapshot(work: Work) -> Output:
    """Sees what there is on the host; a snapshot that never came to be has nothing, and is as well deleted."""
    if work.folder is not None:
        facts = work.vm.facts()
        if not facts.persistent:
            raise VmTransient(vm=facts.name)
    manifest = _manifest(work)
    return {"folder": work.folder if manifest else None}


def drop_reference(work: Work) -> Output:
    """From here on the snapshot cannot be had again: its layers may be written into."""
    if manifest := _manifest(work):
        manifests.write(work.images, manifest.deleting())
    return {}


def remove_folder(work: Work) -> Output:
    """Memory, NVRAM, definition and, last of all its traces, the manifest."""
    if not work.folder:
        return {"freed_bytes": 0}
    freed = sum(work.images.size_bytes(path) for path in work.images.listing(work.folder))
    for path in work.images.listing(work.folder):
        if path != manifests.path_in(work.folder):
            work.images.remove(path)
    work.images.remove(work.folder)
    return {"freed_bytes": freed}


DELETE_SNAPSHOT = Plan(
    "delete_snapshot",
    Step("check_snapshot", check_snapshot),
    Step("drop_reference", drop_reference, final=True),
    *COLLECT,
    Step("remove_folder", remove_folder, final=True),
)


def _manifest(work: Work) -> Manifest | None:
    return manifests.read(work.images, work.folder) if work.folder else None
