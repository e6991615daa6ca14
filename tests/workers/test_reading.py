"""What is read off a host, and what is not believed."""

import pytest

from stillframe.errors import HypervisorFailed
from tests.workers.fake_world import BLOCK_FOLDER, World, ok
from workers import manifests
from workers.carry import End
from workers.reading import read_vm


@pytest.fixture
def world() -> World:
    world = World({"vda": "qcow2"})
    for name in ("s1", "s2"):
        world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    return world


def test_a_manifest_that_cannot_be_read_stops_every_merge(world: World) -> None:
    """Which layers a damaged manifest refers to is not known: a delete does not go on, and no layer is lost."""
    folder = world.folder(world.ids["s1"])
    assert folder is not None
    delete = world.delete("s2")
    world.host.images.write_text(manifests.path_in(folder), "{}")
    layers = {path for path in world.files() if path.endswith(".qcow2")}

    ending = delete.to_the_end()

    assert ending.end is End.STUCK
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
    assert [volume.target for volume in seen.volumes] == ["vda"]
