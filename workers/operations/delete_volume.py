"""Delete an extracted volume: its image and what lies beside it. Neither its VM nor its snapshot need be there any more."""

from stillframe.errors import HypervisorFailed, VolumeInUse
from stillframe.layers import Tree
from stillframe.names import is_volume_snapshot
from workers.guard import needed_by
from workers.operations.extract_volume import manifest_of
from workers.steps import Output, Plan, Step, Work

#: It stands on nothing, and nothing of ours stands on it.
_ALONE = Tree(layers={}, heads={}, frozen={})


def check_volume(work: Work) -> Output:
    """Sees that nobody uses the image; one that never came to be has none, and is as well deleted."""
    path = work.volume_path
    if path is None:
        return {"path": None}
    if work.volume_snapshot is None or not is_volume_snapshot(path, work.volume_snapshot):
        raise HypervisorFailed(
            detail=f"{path} is no place for the image of {work.volume_snapshot}", path=path
        )
    if by := needed_by(work, [path], _ALONE, own_too=True):
        raise VolumeInUse(volume=work.volume_snapshot, by=by, path=path)
    return {"path": path}


def remove_image(work: Work) -> Output:
    """The image, then what says what it is, then their folder if nothing else is in it."""
    path = work.outputs["check_volume"]["path"]
    if path is None:
        return {"freed_bytes": 0}
    freed = work.images.size_bytes(path)
    work.images.remove(path)
    work.images.remove(manifest_of(path))
    work.images.remove_empty(path.rsplit("/", 1)[0])
    return {"freed_bytes": freed}


DELETE_VOLUME = Plan(
    "delete_volume",
    Step("check_volume", check_volume),
    Step("remove_image", remove_image, final=True),
)
