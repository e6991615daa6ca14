"""What is read off a host, and what is not believed."""

import os
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from hypervisor.port import Source, VmFacts, VolumeFacts
from hypervisor.qemu_img import QemuImages
from stillframe.errors import HypervisorFailed
from stillframe.layers import Unlink, collect
from stillframe.names import home_of, layer_path
from stillframe.states import VmState
from tests.given import given
from tests.workers.fake_world import BLOCK_FOLDER, World, ok
from workers import manifests
from workers.carry import End
from workers.reading import Reader, read_vm


@pytest.fixture
def world() -> World:
    world = World({"vda": "qcow2"})
    for name in ("s1", "s2"):
        world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    return world


def test_a_manifest_that_cannot_be_read_stops_every_merge(world: World) -> None:
    """Which layers a damaged manifest refers to is not known: a delete fails before it begins, and no layer is lost."""
    folder = world.folder(world.ids["s1"])
    assert folder is not None
    delete = world.delete("s2")
    world.host.images.write_text(manifests.path_in(folder), "{}")
    layers = {path for path in world.files() if path.endswith(".qcow2")}

    ending = delete.to_the_end()

    assert ending.end is End.FAILED
    assert "manifest" in (ending.error or {})["detail"]
    assert {path for path in world.files() if path.endswith(".qcow2")} == layers
    with pytest.raises(HypervisorFailed):
        world.tree()


def test_a_vm_is_reported_even_if_its_layers_cannot_be_read(world: World) -> None:
    """State and volumes are seen; the tree is left out rather than made up."""
    folder = world.folder(world.ids["s1"])
    assert folder is not None
    world.host.images.write_text(manifests.path_in(folder), "not json")

    seen = read_vm(world.host.images, world.facts(), BLOCK_FOLDER)

    assert (seen.name, seen.tree) == ("vm1", None)
    assert [volume.target for volume in given(seen.volumes)] == ["vda"]


def _vm(uuid: UUID, *volumes: VolumeFacts) -> VmFacts:
    return VmFacts(uuid, "vm", VmState.OFF, "", True, 1, tuple(volumes))


def _raw(path: str) -> None:
    with open(path, "wb") as image:
        image.truncate(1 << 20)


def test_one_folder_by_two_names_unlinks_nothing(tmp_path: Path) -> None:
    """Vda's path goes through a symbolic link (or bind mount), vdb's does not: one folder, two homes."""
    uuid = uuid4()
    (tmp_path / "data").mkdir()
    (tmp_path / "images").symlink_to(tmp_path / "data")
    images, volumes = QemuImages(), []
    for target, folder in (("vda", "images"), ("vdb", "data")):
        own = f"{tmp_path}/{folder}/{target}.raw"
        _raw(own)
        head = layer_path(home_of(own, uuid), target, uuid4())
        images.create_layer(head, Source(own, "raw"), 1 << 20)
        volumes.append(VolumeFacts(target, "file", head, "qcow2"))
    acts = collect(Reader(images, "/x", {}).tree(_vm(uuid, *volumes)), [])
    heads = {os.path.realpath(one.path) for one in volumes}
    doomed = [act.path for act in acts if isinstance(act, Unlink) and os.path.realpath(act.path) in heads]
    assert not doomed, f"heads of the VM to be unlinked: {doomed}"


def test_moved_storage_behind_a_link_unlinks_nothing(tmp_path: Path) -> None:
    """Storage moved behind a link, and the definition but not the headers were brought up to date."""
    uuid = uuid4()
    (tmp_path / "images").mkdir()
    images = QemuImages()
    own = f"{tmp_path}/images/vda.raw"
    _raw(own)
    home = home_of(own, uuid)
    l1, l2 = (layer_path(home, "vda", uuid4()) for _ in "ab")
    images.create_layer(l1, Source(own, "raw"), 1 << 20)
    images.create_layer(l2, Source(l1, "qcow2"), 1 << 20)
    os.rename(tmp_path / "images", tmp_path / "big")
    (tmp_path / "images").symlink_to(tmp_path / "big")
    head = l2.replace("/images/", "/big/")  # the definition was brought up to date, the headers were not
    acts = collect(Reader(images, "/x", {}).tree(_vm(uuid, VolumeFacts("vda", "file", head, "qcow2"))), [])
    assert not [act for act in acts if isinstance(act, Unlink)], acts
