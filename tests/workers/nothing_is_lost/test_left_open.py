"""A libvirtd that died right after a merge: QEMU was not told to close the layer."""

import pytest

from tests.workers.fake_world import World, ok
from workers import guard


def test_a_merged_layer_that_only_qemu_has_open_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed by and by, and removed; the VM runs on with all its guest wrote, as before."""
    monkeypatch.setattr(guard, "SOON_S", 0.0)
    world = World()
    base = world.tree().heads["vda"]
    ok(world.create("s1", "hot").to_the_end())
    merged = world.tree().heads["vda"]
    tick = world.guest.tick()
    world.guest.leave_open(merged)
    ok(world.delete("s1").to_the_end())
    assert {path for path in world.files() if path.endswith(".qcow2")} == {base}
    assert world.guest.tick() == tick + 1
