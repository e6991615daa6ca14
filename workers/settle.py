"""A job that a person has closed: nothing more is done to the VM, its host is looked at, and the job ends as that says."""

from collections.abc import Callable
from typing import Any

from stillframe.errors import ClosedByHand, HostLost, LostLease, StillframeError, StorageAway, VmGone
from stillframe.layers import Merge, collect
from workers import marks
from workers.carry import RECONNECT_S, End, Ending
from workers.operations.delete_snapshot import manifests_left, remove_folder
from workers.operations.delete_volume import remove_image
from workers.operations.extract_volume import sum_up
from workers.operations.foreign import find_meant, is_noted
from workers.operations.revert_snapshot import whole_manifest
from workers.steps import Work
from workers.storage import check_there

#: What is lacking, in words; None if what the job was for is there. What there is to tell of it is then in the outputs.
Lacking = str | None


def settle(work: Work, decided: dict[str, Any]) -> Ending:
    """Looks whether what the job was for is there; `decided` is what the person said. A VM that has moved is followed.

    Raises HostLost when libvirt stays away, and LostLease: then somebody looks again.
    """
    try:
        return _look(work, decided)
    except HostLost:  # perhaps of this connection only: libvirt was started anew since it was used last
        work.host.reconnect(RECONNECT_S)
        return _look(work, decided)


def _look(work: Work, decided: dict[str, Any]) -> Ending:
    try:
        looks = _LOOKS if work.foreign is None else _FOREIGN_LOOKS
        lacking = looks[work.operation.kind](work)
    except (HostLost, LostLease):
        raise
    except VmGone as gone:
        return Ending(End.LET_GO, gone.to_json())
    except (StillframeError, OSError) as error:
        lacking = str(error)
    if lacking is None:
        return Ending(End.SUCCEEDED)
    found = lacking.rstrip(".")
    closed = ClosedByHand(job=work.job, by=decided["actor"], found=found, note=decided.get("note", ""))
    return Ending(End.FAILED, closed.to_json())


def _created(work: Work) -> Lacking:
    """Manifest, layers and memory are all there: it is a snapshot like any other."""
    manifest = whole_manifest(work)
    if manifest.memory:
        work.vm.saved_definition(manifest.memory_path)
    work.outputs["keep_snapshot"] = {
        "consistency": manifest.consistency,
        **work.outputs.get("cut", {}),
        "type": manifest.type,
        "folder": manifest.folder,
        "memory_bytes": work.images.size_bytes(manifest.memory_path) if manifest.memory else 0,
    }
    return None


def _reverted(work: Work) -> Lacking:
    """Every head stands right on the layer that the snapshot froze, and is another than before the revert."""
    before = work.outputs.get("check_snapshot")
    if before is None:
        return "it had not begun"
    there = {volume.target for volume in work.vm.facts().volumes}
    for target, source in whole_manifest(work).volumes.items():
        chain = work.vm.live_chain(target) if target in there else ()
        below = [work.images.identity(path) for path in chain[1:2]]
        if below != [work.images.identity(source.path)]:
            return f"volume {target} does not stand on {source.path}"
        if chain[0] in before["gone"]:
            return f"volume {target} still writes to {chain[0]}, as before"
    return None


def _deleted(work: Work) -> Lacking:
    """No manifest protects the layers, and none of them is left to be merged or removed: its folder is of no use now."""
    manifests = manifests_left(work)
    for snapshot, folder in work.about.items():
        try:
            if folder and snapshot in work.whole:
                check_there(work.images, folder)
        except StorageAway as away:
            return away.detail
    for manifest in manifests.values():
        if manifest.state == "ready":
            return f"its manifest is in {manifest.folder} and holds its layers"
    if manifests and (left := _left(work)):
        return f"{left[0]} is still to be merged or removed"
    for act in work.outputs.get("plan_collection", {}).get("acts", []):
        if act["act"] == "merge":  # who merged by hand knew nothing of it
            marks.remove(work.images, act["top"])
    work.outputs["remove_folder"] = remove_folder(work)
    return None


def _left(work: Work) -> list[str]:
    """What the deletion had planned to remove, or would plan now, that is there and that nobody else was found to need."""
    planned = work.outputs.get("plan_collection", {}).get("acts")
    if planned is None:
        try:
            tree = work.reader.tree(work.vm.facts())
        except VmGone:
            return []  # no image of a VM that is not here is ever touched
        given_up = work.outputs.get("check_snapshot", {}).get("gone", [])
        return [act.top if isinstance(act, Merge) else act.path for act in collect(tree, given_up)]
    kept = {output["kept"] for output in work.outputs.values() if "kept" in output}
    acts = [act for act in planned if not kept & {act.get("path"), act.get("base")}]
    goes = [
        path for act in acts for path in ([act["path"]] if "path" in act else [act["top"], *act["between"]])
    ]
    return [path for path in goes if work.images.exists(path)]


def _extracted(work: Work) -> Lacking:
    """The image stands alone and has the size of the volume."""
    wanted = work.outputs.get("check_snapshot")
    if wanted is None:
        return "it had not begun"
    if not work.images.exists(wanted["path"]):
        return f"there is no image at {wanted['path']}"
    chain = work.images.chain(wanted["path"], "qcow2")
    if len(chain) > 1:
        return f"{wanted['path']} stands on {chain[1].path}"
    if chain[0].virtual_bytes != wanted["virtual_bytes"]:
        return (
            f"{wanted['path']} has {chain[0].virtual_bytes} bytes, and the volume {wanted['virtual_bytes']}"
        )
    work.outputs["sum_up"] = sum_up(work)
    return None


def _volume_deleted(work: Work) -> Lacking:
    """The image is not there any more; what says what it was is of no use now."""
    if work.volume_path is None:
        return None
    if work.images.exists(work.volume_path):
        return f"the image is still there: {work.volume_path}"
    work.outputs["check_volume"] = {"path": work.volume_path}
    work.outputs["remove_image"] = remove_image(work)
    return None


def _foreign_reverted(work: Work) -> Lacking:
    """The definition is the one that the revert brought back."""
    if "note_revert" not in work.outputs:
        return "it had not begun"
    return "libvirt has not brought back its definition" if is_noted(work) else None


def _foreign_deleted(work: Work) -> Lacking:
    """Neither libvirt nor an image knows it any more."""
    return "it is still there" if find_meant(work, work.vm.facts()) else None


_LOOKS: dict[str, Callable[[Work], Lacking]] = {
    "create_snapshot": _created,
    "revert_snapshot": _reverted,
    "delete_snapshot": _deleted,
    "prune_snapshots": _deleted,
    "extract_volume": _extracted,
    "delete_volume": _volume_deleted,
}
#: The same of snapshots that other tools made.
_FOREIGN_LOOKS: dict[str, Callable[[Work], Lacking]] = {
    "revert_snapshot": _foreign_reverted,
    "delete_snapshot": _foreign_deleted,
    "extract_volume": _extracted,
}
