"""Whether a storage is there, told by what lies on it."""

from pathlib import Path
from uuid import UUID

import pytest

from hypervisor.qemu_img import QemuImages
from stillframe.errors import StorageAway
from stillframe.names import home_of, layer_path
from workers.storage import check_there

VM = UUID(int=7)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a VM's images lie, below a folder called as those of Stillframe are, beside which there is something else."""
    (tmp_path / "something").touch()
    place = tmp_path / "stillframe" / "vm1"
    place.mkdir(parents=True)
    return place


def layer(place: Path) -> str:
    return layer_path(home_of(f"{place}/vda.qcow2", VM), "vda", UUID(int=1))


def test_an_empty_mount_point_is_a_storage_that_is_away(place: Path) -> None:
    """And so is none at all."""
    with pytest.raises(StorageAway):
        check_there(QemuImages(), layer(place))
    place.rmdir()
    with pytest.raises(StorageAway):
        check_there(QemuImages(), layer(place))


def test_an_image_beside_the_home_tells_that_it_is_there(place: Path) -> None:
    """Whether there is a home yet or not."""
    (place / "vda.qcow2").touch()
    check_there(QemuImages(), layer(place))


def test_a_home_tells_that_it_is_there(place: Path) -> None:
    """Empty, with all else moved elsewhere."""
    Path(layer(place)).parent.mkdir(parents=True)
    check_there(QemuImages(), layer(place))
