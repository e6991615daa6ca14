"""Guests and what other tools keep of them: frozen by the dead, saved, snapshotted."""

from collections.abc import Mapping

import pytest

from hypervisor import fake_vm, xml
from hypervisor.fake_world import FakeFile, FakeForeign
from hypervisor.port import CutFacts, Pulse, Source
from stillframe.errors import AgentUnresponsive, Cancelled, HostLost
from tests.workers.fake_world import World, ok
from workers.carry import End
from workers.guard import needed_by


def test_foreign_snapshots_are_never_broken() -> None:
    """`virsh snapshot-create-as --disk-only`: its overlay lies beside the head. A delete would merge what it stands on."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    head = world.tree().heads["vda"]
    overlay = head.removesuffix(".qcow2") + ".virsh1"
    with world.machine.world() as inside:
        inside.files[overlay] = FakeFile(
            "image", format="qcow2", virtual_bytes=64 << 20, backing=head, backing_format="qcow2"
        )
        row = inside.vms[str(world.guest.uuid)]
        swap = {"vda": Source(overlay, "qcow2")}
        row.definition, row.live = xml.with_sources(row.definition, swap), xml.with_sources(row.present, swap)
        row.foreign["virsh1"] = FakeForeign(
            "virsh1", "external", "disk-snapshot", 0, row.present, {"vda": head}
        )
    at = world.machine.read_back(head)["counter"]
    world.guest.tick()

    ending = world.delete("s1").to_the_end()

    assert world.host.images.exists(head), f"the layer that virsh1 froze is gone; job {ending.end}"
    assert world.machine.read_back(head)["counter"] == at


def test_a_managed_save_image_is_not_made_useless() -> None:
    """Saved RAM fits only the head it was saved on: a delete is refused before it merges that away."""
    world = World()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    world.guest.shut_down()
    world.guest.change(managed_save=True)
    ending = world.delete("s1").to_the_end()
    assert ending.end is End.FAILED, "the head that the saved RAM stands on was merged and unlinked"


def test_a_guest_frozen_by_a_daemon_that_died_is_thawed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A libvirtd is restarted in the freeze window of a quiesced cut (C6); the worker lives."""
    world = World()
    real, first = fake_vm.FakeVm.cut, {"one": True}

    def cut(
        self: fake_vm.FakeVm,
        layers: Mapping[str, Source],
        memory: str | None,
        quiesce: bool,
        pulse: Pulse,
    ) -> CutFacts:
        if quiesce and first.pop("one", False):
            world.guest.change(frozen=True)
            world.machine.kill_daemon()
            world.machine.start_daemon()
            raise HostLost(detail="End of file while reading data")
        return real(self, layers, memory, quiesce, pulse)

    monkeypatch.setattr(fake_vm.FakeVm, "cut", cut)
    ending = world.create("s1", "hot").to_the_end()
    with world.machine.world() as inside:
        assert not inside.vms[str(world.guest.uuid)].frozen, f"job {ending.end}, and the guest stays frozen"


def test_an_agent_that_dies_in_its_freeze_leaves_it_to_the_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disks are cut all the same; the snapshot ends, and the freeze is on record until somebody has seen its end."""
    world = World()
    real = fake_vm.FakeVm.cut

    def cut(
        self: fake_vm.FakeVm, layers: Mapping[str, Source], memory: str | None, quiesce: bool, pulse: Pulse
    ) -> CutFacts:
        if quiesce:
            world.guest.change(frozen=True, agent="absent")
            raise AgentUnresponsive(vm="vm1", detail="Guest agent disappeared while executing command")
        return real(self, layers, memory, quiesce, pulse)

    monkeypatch.setattr(fake_vm.FakeVm, "cut", cut)
    job = world.create("s1", "hot")
    ok(job.to_the_end())
    left = world.wards(job.id).left()
    assert left is not None
    assert (left.kind, left.ended) == ("freeze", False)


def test_a_cancelled_call_past_the_point_of_no_return_removes_nothing() -> None:
    """A restore that libvirt says was aborted is tried again: the layers its VM stands on stay."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "memory").to_the_end())
    world.machine.fail_next("restore", Cancelled(detail="operation aborted"))
    ending = world.revert("s1").to_the_end()
    head = world.facts().volumes[0].path
    assert world.host.images.exists(head), (
        f"job {ending.end}: the VM's definition names a layer that was removed"
    )


def test_a_file_that_qemu_has_open_stays() -> None:
    """Neither libvirt nor a manifest names what a VM writes to; nobody may remove it all the same."""
    world = World()
    work = world.create("s1", "hot").work()
    (head,) = (Source(volume.path, volume.format) for volume in world.facts().volumes)
    layer = Source(f"/images/vm1/stillframe/{world.guest.uuid}/vda-1.qcow2", "qcow2")
    world.host.images.create_layer(layer.path, head, 64 << 20)
    assert not needed_by(work, [layer.path], world.tree(), own_too=True)
    with world.guest.daemon_forgets():
        work.vm.cut({"vda": layer}, None, False, lambda _done, _total: None)
    for host in (world.host, work.host):
        host.reconnect(1)
    assert needed_by(work, [layer.path], world.tree(), own_too=True)
