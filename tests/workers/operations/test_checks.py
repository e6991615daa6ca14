"""What a worker refuses before it touches a VM, on the machine as it is then."""

import pytest

from stillframe.rules import LAYER_FLOOR_BYTES
from tests.workers.fake_world import World, ok
from workers.carry import End

CARD = (
    "<hostdev mode='subsystem' type='pci'><source>"
    "<address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/></source></hostdev>"
)


@pytest.fixture
def world() -> World:
    return World({"vda": "qcow2"})


def files(world: World) -> set[str]:
    return set(world.files())


def attach(world: World) -> None:
    """The VM runs with a card of the host."""
    with world.machine.world() as machine:
        row = machine.vms[str(world.guest.uuid)]
        row.definition = row.definition.replace("</devices>", f"{CARD}</devices>")
        row.live = row.live and row.live.replace("</devices>", f"{CARD}</devices>")


def test_ram_with_a_device_of_the_host_is_refused(world: World) -> None:
    """A memory snapshot fails before anything is made and names the device; a hot one is taken."""
    attach(world)
    before = files(world)
    ending = world.create("s1", "memory").to_the_end()
    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "vm.passthrough")
    assert "0000:3b:00.0" in (ending.error or {})["detail"]
    assert files(world) == before
    ok(world.create("s2", "hot").to_the_end())


def test_a_chain_does_not_grow_beyond_its_limit(world: World) -> None:
    """The snapshot that would be one too many is refused; after a deletion there is room for it."""
    for number in range(23):
        ok(world.create(f"s{number}", "hot").to_the_end())
    assert len(world.host.vm(world.guest.uuid).live_chain("vda")) == 24
    ending = world.create("one too many", "hot").to_the_end()
    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "vm.chain_too_deep")
    ok(world.delete("s3").to_the_end())
    ok(world.create("again", "hot").to_the_end())


@pytest.mark.parametrize(
    ("activity", "code"), [("migration_out", "vm.migrating"), ("save", "vm.busy"), ("backup", "vm.busy")]
)
def test_a_vm_that_is_busy_is_left_for_later(world: World, activity: str, code: str) -> None:
    """While libvirt is at a long job no operation begins; it waits for its end, and nothing was touched."""
    ok(world.create("s1", "hot").to_the_end())
    before = files(world)
    world.guest.change(activity=activity)
    for job in (world.create("s2", "hot"), world.revert("s1"), world.delete("s1")):
        ending = job.to_the_end()
        assert (ending.end, (ending.error or {})["code"]) == (End.LATER, code)
        assert files(world) == before
    world.guest.change(activity=None)
    ok(world.create("s3", "hot").to_the_end())


def test_a_new_layer_wants_a_little_room(world: World) -> None:
    """Where next to nothing is free a VM would be paused by its first writes: the snapshot is refused."""
    world.machine.capacity_bytes = used(world) + LAYER_FLOOR_BYTES - 1
    ending = world.create("s1", "hot").to_the_end()
    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "storage.not_enough_space")


def test_a_merge_that_could_fill_the_storage_is_refused(world: World) -> None:
    """Before the reference is dropped: the snapshot is still there, and can be deleted once there is room."""
    ok(world.create("s1", "hot").to_the_end())
    for number in range(8):
        world.guest.write(f"key{number}", number)
    ok(world.create("s2", "hot").to_the_end())
    world.machine.capacity_bytes = used(world) + 1000
    ending = world.delete("s1").to_the_end()
    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "storage.not_enough_space")
    assert set(world.tree().frozen) == {world.ids["s1"], world.ids["s2"]}
    world.machine.capacity_bytes = 1 << 40
    ok(world.delete("s1").to_the_end())


def used(world: World) -> int:
    with world.machine.world() as machine:
        return sum(file.size_bytes for file in machine.files.values())
