"""A libvirtd that is started anew about the end of a merge: what it has yet to do, did not do, or does not find."""

import pytest

from hypervisor.fake import FakeHost
from hypervisor.fake_images import FakeImages
from hypervisor.port import VmFacts
from tests.workers.fake_world import World, ok
from workers import guard
from workers.carry import End


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


def test_a_layer_that_qemu_has_yet_to_close_is_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A libvirtd that was just started lets QEMU close the layers of a merge that has ended meanwhile only in a moment."""
    world = World()
    base = world.tree().heads["vda"]
    ok(world.create("s1", "hot").to_the_end())
    looks = iter([True, True, True])
    real = FakeImages.is_open
    monkeypatch.setattr(FakeImages, "is_open", lambda self, path: next(looks, False) or real(self, path))
    ok(world.delete("s1").to_the_end())
    assert {path for path in world.files() if path.endswith(".qcow2")} == {base}


def test_a_vm_that_libvirt_has_yet_to_find_again_keeps_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A libvirtd that was just started cannot tell of each VM at once."""
    world = World()
    base = world.tree().heads["vda"]
    ok(world.create("s1", "hot").to_the_end())
    other = world.machine.create_vm("vm2")
    other.change(unreadable="its monitor is not open yet")
    looks, real = iter([True, True]), FakeHost.vms

    def vms(self: FakeHost) -> tuple[VmFacts, ...]:
        found = real(self)
        if not next(looks, False):
            other.change(unreadable=None)
        return found

    monkeypatch.setattr(FakeHost, "vms", vms)
    ok(world.delete("s1").to_the_end())
    assert {
        path for path in world.files() if path.startswith("/images/vm1/") and path.endswith(".qcow2")
    } == {base}


def test_what_a_qemu_has_open_that_libvirt_does_not_know_is_not_merged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A libvirtd that was restarted says that the VM is off, and its QEMU runs on: nothing goes down, and a person is told."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    base, before = "/images/vm1/vda.qcow2", world.machine.read_back("/images/vm1/vda.qcow2")
    world.guest.crash()
    job = world.delete("s1")
    with monkeypatch.context() as lost:
        lost.setattr(FakeImages, "is_open", lambda self, path: True)
        ending = job.to_the_end()
    assert (ending.end, (ending.error or {})["code"]) == (End.STUCK, "vm.left_by_libvirt")
    assert world.machine.read_back(base) == before
