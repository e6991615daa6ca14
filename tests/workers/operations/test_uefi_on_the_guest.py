"""A VM with UEFI on a real guest: its variable store goes with its snapshots."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hypervisor.libvirt_host import LibvirtHost
from lab import Lab
from tests.workers.real_world import RealWorld

pytestmark = pytest.mark.qemu


@pytest.fixture
def world(machine: Lab, host: LibvirtHost) -> Iterator[RealWorld]:
    """A ticking guest under OVMF."""
    guest = machine.create_guest("uefi", uefi=True)
    try:
        guest.wait_tick(timeout_s=60)
        yield RealWorld(machine, guest, host)
    finally:
        guest.remove()


@pytest.mark.parametrize("kind", ["cold", "memory"])
def test_the_variable_store_comes_back_with_a_revert(world: RealWorld, kind: str) -> None:
    """Variables that were changed after the snapshot are as they were, and the guest comes up with them."""
    store = Path(world.facts().nvram)
    if kind == "cold":
        world.write_marker("s1")
        world.power_off()
    world.create("s1", kind)
    kept = (Path(str(world.folder(world.ids["s1"]))) / "nvram.fd").read_bytes()
    if kind == "memory":
        world.write_marker("damage")
        world.power_off()
    with store.open("r+b") as variables:
        variables.seek(-4096, 2)
        variables.write(b"\x5a" * 4096)

    world.revert("s1", after="keep" if kind == "memory" else "start")

    tick = world.check_guest("s1")
    assert store.read_bytes()[-4096:] == kept[-4096:]
    assert (tick.boot_id == world.marks["s1"].before.boot_id) == (kind == "memory")
    world.check("s1")
