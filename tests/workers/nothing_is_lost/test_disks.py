"""Disks that others move, detach or put aside keep what was written to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from hypervisor.fake_world import FakeFile
from hypervisor.port import Source
from stillframe.states import VmState
from tests.workers.fake_world import World, ok
from tests.workers.nothing_is_lost.hurt import TWO, detach, die_at, without

#: The image of a linked clone, and what that stands on.
_CLONE, _MIDDLE = "/images/vm2/vda.qcow2", "/templates/vm2/middle.qcow2"


def test_a_disk_that_moved_to_another_vm_is_not_unlinked_by_a_revert() -> None:
    """Volume vdb was detached from vm1 and attached to vm2, which runs on it; then vm1 is reverted to a snapshot with vdb."""
    world = World(TWO)
    ok(world.create("s1", "hot").to_the_end())
    head = world.tree().heads["vdb"]
    world.guest.shut_down()
    vm = world.host.vm(world.guest.uuid)
    vm.define(without(vm.definition(), "vdb"), {})
    other = world.machine.create_vm("vm2", {"vda": "qcow2"}, state=VmState.OFF)
    vm2 = world.host.vm(other.uuid)
    vm2.define(vm2.definition(), {"vda": Source(head, "qcow2")})
    other.boot()
    other.write("payroll", 1)

    world.revert("s1").to_the_end()

    assert world.host.images.exists(head), "the disk that vm2 runs on was unlinked"


def test_a_detached_disk_keeps_its_data_over_a_revert() -> None:
    """A disk was detached and put aside with newer data; a revert of the VM must not remove that data."""
    world = World(TWO)
    ok(world.create("s1", "hot").to_the_end())
    world.guest.write("payroll", 1, "vdb")
    head = world.tree().heads["vdb"]
    world.guest.shut_down()
    vm = world.host.vm(world.guest.uuid)
    vm.define(without(vm.definition(), "vdb"), {})
    world.revert("s1").to_the_end()
    assert world.host.images.exists(head)


def test_linked_clones_of_the_frozen_image_are_not_changed() -> None:
    """vm2 is a linked clone of vm1's own image (a template); vm1 has a snapshot, is updated, the snapshot is deleted."""
    world = World()
    world.guest.tick()
    template = world.tree().heads["vda"]
    ok(world.create("s1", "hot").to_the_end())
    clone = "/images/vm2/vda.qcow2"
    world.machine.create_vm("vm2", {"vda": "qcow2"}, state=VmState.OFF)
    with world.machine.world() as inside:
        inside.files[clone].backing = template
        inside.files[clone].backing_format = "qcow2"
    before = world.machine.read_back(clone)
    world.guest.write("upgraded", True)
    world.guest.tick()

    world.delete("s1").to_the_end()

    assert world.machine.read_back(clone) == before, "another VM's disk now reads differently"


@pytest.mark.parametrize("away", [_CLONE, _MIDDLE])
@pytest.mark.parametrize("act", ["delete", "revert"])
def test_a_linked_clone_that_is_out_of_reach_is_not_changed(act: str, away: str) -> None:
    """A clone of a frozen image is off, its storage not mounted: what it stands on is neither written into nor removed."""
    world, frozen = _with_a_clone()
    before = world.machine.read_back(_CLONE)
    with _away(world, away):
        if act == "revert":
            world.revert("s0").to_the_end()
        world.delete("s1").to_the_end()

    assert world.host.images.exists(frozen)
    assert world.machine.read_back(_CLONE) == before, "another VM's disk now reads differently"


def test_a_clone_in_a_pool_that_is_not_started_is_not_changed() -> None:
    """Libvirt does not tell where its image is until somebody starts the pool."""
    world, frozen = _with_a_clone()
    before = world.machine.read_back(_CLONE)
    with world.machine.world() as inside:
        row = next(row for row in inside.vms.values() if "<name>vm2<" in row.definition)
        row.definition = row.definition.replace(f"file='{_CLONE}'", "pool='fast' volume='vda'")
        row.definition = row.definition.replace("type='file'", "type='volume'")
    with _away(world, _CLONE):
        world.delete("s1").to_the_end()

    assert world.host.images.exists(frozen)
    assert world.machine.read_back(_CLONE) == before, "another VM's disk now reads differently"


def test_a_vm_whose_disk_was_removed_is_in_nobodys_way() -> None:
    """A definition that was left when its disk was removed from among others does not keep the layers of all other VMs."""
    world = World()
    world.guest.tick()
    base = world.tree().heads["vda"]
    ok(world.create("s1", "hot").to_the_end())
    world.machine.create_vm("left", {"vda": "qcow2", "vdb": "qcow2"}, state=VmState.OFF)
    with world.machine.world() as inside:
        del inside.files["/images/left/vda.qcow2"]

    ok(world.delete("s1").to_the_end())

    assert set(world.tree().layers) == {base}


def _with_a_clone() -> tuple[World, str]:
    """Two snapshots of a VM, and a clone, which is off, standing on what the second froze; what that is."""
    world = World()
    for name in ("s0", "s1"):
        world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    world.guest.tick()
    frozen = world.tree().frozen[world.ids["s1"]]["vda"]
    world.machine.create_vm("vm2", {"vda": "qcow2"}, state=VmState.OFF)
    with world.machine.world() as inside:
        inside.files[_MIDDLE] = replace(inside.files[_CLONE], backing=frozen, backing_format="qcow2")
        inside.files[_CLONE].backing, inside.files[_CLONE].backing_format = _MIDDLE, "qcow2"
    return world, frozen


@contextmanager
def _away(world: World, path: str) -> Iterator[None]:
    """Meanwhile the storage of an image is not mounted."""
    with world.machine.world() as inside:
        file = inside.files.pop(path)
    yield
    with world.machine.world() as inside:
        inside.files[path] = file


def test_manifests_that_lie_beside_a_disk_that_went_away_still_count() -> None:
    """Volume vda in /fast, vdb in /slow. One is moved to another storage (blockcopy, as any storage migration). s2 is deleted:
    s1 must still read as it was on vdb.
    """
    world = World(TWO)
    with world.machine.world() as inside:
        inside.files["/slow/vdb.qcow2"] = inside.files.pop("/images/vm1/vdb.qcow2")
    world.guest.shut_down()
    vm = world.host.vm(world.guest.uuid)
    vm.define(vm.definition(), {"vdb": Source("/slow/vdb.qcow2", "qcow2")})
    world.guest.boot()
    at = world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    frozen = world.tree().frozen[world.ids["s1"]]["vdb"]
    world.guest.tick()
    with world.machine.world() as inside:
        inside.files["/new/vda.qcow2"] = FakeFile(
            "image",
            format="qcow2",
            virtual_bytes=64 << 20,
            content=inside.reads_as(world.tree().heads["vda"]),
        )
    world.guest.shut_down()
    vm.define(vm.definition(), {"vda": Source("/new/vda.qcow2", "qcow2")})
    world.guest.boot()
    world.guest.tick()
    assert world.machine.read_back(frozen)["counter"] == at
    ok(world.create("s2", "hot").to_the_end())
    folder = f"/new/stillframe/{world.guest.uuid}/{world.ids['s2']}.snapshot"
    job = world.delete("s2")
    job.about = {world.ids["s2"]: folder}
    ok(job.to_the_end())
    assert world.machine.read_back(frozen).get("counter") == at, "s1's layer of vdb was written into"


def test_an_unlink_that_was_planned_before_is_looked_at_again() -> None:
    """The revert's worker dies before it unlinks the old head; the user, unhappy, goes back to that head by hand and
    boots; then the job is taken up.
    """
    world = World()
    ok(world.create("s1", "hot").to_the_end())
    head = world.tree().heads["vda"]
    world.guest.write("a day of work", True)
    revert = world.revert("s1")
    die_at(world, revert, "before images.remove", 0)
    world.guest.shut_down()
    vm = world.host.vm(world.guest.uuid)
    vm.define(vm.definition(), {"vda": Source(head, "qcow2")})
    world.guest.boot()

    revert.run()

    assert world.host.images.exists(head), "the head of a running VM was unlinked"


@pytest.mark.parametrize("folder", ["/images/vm1", "/slow"])
def test_a_disk_that_is_detached_while_another_is_merged_keeps_its_data(folder: str) -> None:
    """A merge of vda takes hours, and vdb, whose turn is next, is detached meanwhile: what it held is there still."""
    world = World(TWO)
    if folder != "/images/vm1":
        with world.machine.world() as inside:
            inside.files[f"{folder}/vdb.qcow2"] = inside.files.pop("/images/vm1/vdb.qcow2")
        world.guest.shut_down()
        vm = world.host.vm(world.guest.uuid)
        vm.define(vm.definition(), {"vdb": Source(f"{folder}/vdb.qcow2", "qcow2")})
        world.guest.boot()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.write("payroll", 1, "vdb")
    head = world.tree().heads["vdb"]
    job = world.delete("s1")
    die_at(world, job, "after finish of unlink:vda:0")
    detach(world, "vdb")
    job.run()
    assert world.host.images.exists(head), "the head of the disk that was put aside was removed"
    assert world.machine.read_back(head)["payroll"] == 1


def test_an_image_that_was_put_on_a_layer_since_is_not_written_under() -> None:
    """Somebody makes an overlay in the VM's folder on a layer that is about to be merged into: it reads as before."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    ok(world.create("s2", "hot").to_the_end())
    layer = world.tree().frozen[world.ids["s2"]]["vda"]
    world.guest.tick()
    job = world.delete("s2")
    overlay = f"{layer.rsplit('/', 1)[0]}/mine.qcow2"
    die_at(world, job, "after finish of plan_collection")
    world.host.images.create_layer(overlay, Source(layer, "qcow2"), 64 << 20)
    before = world.machine.read_back(overlay)
    job.run()
    assert world.machine.read_back(overlay) == before


def test_a_vm_that_cannot_be_read_may_need_anything() -> None:
    """While one VM of the host cannot be read nothing is unlinked or merged: it may stand on it."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.machine.create_vm("strange").change(unreadable="its definition is broken")
    layers = {path for path in world.files() if path.endswith(".qcow2")}

    ok(world.delete("s1").to_the_end())

    assert {path for path in world.files() if path.endswith(".qcow2")} == layers


def _of_two_storages() -> World:
    """Volume vda lies in /images/vm1, vdb in /slow."""
    world = World(TWO)
    with world.machine.world() as inside:
        inside.files["/slow/vdb.qcow2"] = inside.files.pop("/images/vm1/vdb.qcow2")
    world.guest.shut_down()
    vm = world.host.vm(world.guest.uuid)
    vm.define(vm.definition(), {"vdb": Source("/slow/vdb.qcow2", "qcow2")})
    world.guest.boot()
    return world


def test_every_copy_of_a_manifest_says_where_its_layers_went() -> None:
    """The worker dies between the copies of a manifest that a merge changed: none is left that names what was merged away."""
    for nth in range(20):
        world = _of_two_storages()
        for name in ("s1", "s2"):
            world.guest.tick()
            ok(world.create(name, "hot").to_the_end())
        copies = [
            path for path in world.files() if path.endswith(f"{world.ids['s2']}.snapshot/manifest.json")
        ]
        assert len(copies) == 2
        job = world.delete("s1")
        try:
            die_at(world, job, "after images.write_text", nth)
        except AssertionError:
            assert nth > 10, "it was whole before it had written that often"
            return
        ok(job.run())
        first, second = (world.host.images.read_text(path) for path in copies)
        assert first == second, f"died after {nth + 1} files were written"
