"""Whether the storage is there on which layers and manifests lie. What is not found on one that is away is not gone."""

from pathlib import PurePosixPath

from hypervisor.port import Images
from stillframe.errors import StorageAway


def check_there(images: Images, path: str) -> None:
    """Raises StorageAway if neither the home of a layer or a snapshot's folder is there nor anything beside that home.

    A home is made with the first layer and never removed. The images that it was made for lie beside it, and an empty
    folder, or none, is what a storage leaves that is not mounted.
    """
    home, _, place = map(
        str, PurePosixPath(path).parents[:3]
    )  # as stillframe/names.py:home_of puts them together
    if not images.exists(home) and not images.listing(place):
        raise StorageAway(path=path, place=place)
