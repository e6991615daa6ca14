"""What others do to a VM, its disks and its files while Stillframe keeps snapshots of it, and what must survive that."""

import re

import pytest

from hypervisor import fake_vm, xml
from hypervisor.fake_world import FakeFile, FakeForeign
from hypervisor.port import BlockJob, Source
from stillframe.errors import Cancelled, HostLost, VmBusy
from stillframe.states import VmState
from tests.workers.fake_world import Death, World, ok
from workers.carry import End

TWO = {"vda": "qcow2", "vdb": "qcow2"}


def without(definition: str, target: str) -> str:
    disks = re.findall(r"<disk .*?</disk>", definition, re.S)
    (found,) = [one for one in disks if f'dev="{target}"' in one or f"dev='{target}'" in one]
    return definition.replace(found, "")


def die_at(world: World, job, word: str, nth: int = 0) -> None:
    """Runs the job until the nth point called so, and kills the worker there."""
    mortality = world.machine.mortality
    mortality.points.clear()
    mortality.dies_at = None
    seen = {"n": -1}
    real = mortality.pass_by

    def pass_by(point: str) -> None:
        real(point)
        if point == word:
            seen["n"] += 1
            if seen["n"] == nth:
                raise Death(point)

    mortality.pass_by = pass_by  # type: ignore[method-assign]
    try:
        job.run()
    except Death:
        return
    finally:
        mortality.pass_by = real  # type: ignore[method-assign]
    raise AssertionError(f"never came by {word}: {mortality.points}")


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
    job.folder = folder
    ok(job.to_the_end())
    assert world.machine.read_back(frozen).get("counter") == at, "s1's layer of vdb was written into"


def test_an_old_definition_put_back_loses_nothing() -> None:
    """`virsh define old.xml` (ansible, terraform): the VM boots on its first image again. Nothing may be unlinked."""
    world = World()
    vm = world.host.vm(world.guest.uuid)
    old = vm.definition()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    ok(world.create("s2", "hot").to_the_end())
    world.guest.write("a day of work", True)
    newest = world.tree().heads["vda"]
    world.guest.shut_down()
    vm.define(old, {})

    world.create("s3", "cold").to_the_end()
    world.delete("s3").to_the_end()

    assert world.host.images.exists(newest), "the newest data of the guest was unlinked"


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


def test_a_mirror_of_somebody_else_is_not_pivoted(monkeypatch) -> None:
    """`virsh blockcopy vda /backup/copy` without --pivot stands ready. A delete must not end it, nor unlink anything."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    ok(world.create("s2", "hot").to_the_end())
    world.guest.tick()
    with world.machine.world() as inside:
        inside.files["/backup/copy.qcow2"] = FakeFile(
            "image",
            format="qcow2",
            virtual_bytes=64 << 20,
            content=inside.reads_as(world.tree().heads["vda"]),
        )
    mirror = {"there": True}

    def block_job(self, target):
        return BlockJob("copy", 1, 1, ready=True) if mirror["there"] else None

    def pivot(self, target):
        mirror["there"] = False
        with world.machine.world() as inside:
            row = inside.vms[str(world.guest.uuid)]
            swap = {target: Source("/backup/copy.qcow2", "qcow2")}
            row.definition, row.live = (
                xml.with_sources(row.definition, swap),
                xml.with_sources(row.present, swap),
            )

    monkeypatch.setattr(fake_vm.FakeVm, "block_job", block_job)
    monkeypatch.setattr(fake_vm.FakeVm, "pivot", pivot)
    ending = world.delete("s1").to_the_end()
    assert mirror["there"], f"somebody else's mirror was pivoted, job {ending.end}"


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


def test_an_undo_done_half_does_not_write_old_data_over_new() -> None:
    """Cold snapshot of two volumes, cancelled after the cut; the worker dies between two volumes of the undo; the user
    boots, works, shuts down; the job is taken up.
    """
    world = World(TWO)
    world.guest.tick()
    world.guest.shut_down()
    job = world.create("s1", "cold")
    real = job.journal.finish

    def finish(step, output, then, no_return=False):
        job.journal.cancel_asked = step == "cut"  # in the last moment before keep_snapshot is begun
        return real(step, output, then, no_return)

    job.journal.finish = finish
    die_at(world, job, "after finish of cut")
    # the guest ran a moment on the new layers
    world.guest.boot()
    world.guest.write("note", "old")
    world.guest.shut_down()
    die_at(world, job, "before images.commit", 1)
    world.guest.boot()
    world.guest.write("note", "new")
    world.guest.shut_down()

    ending = job.run()

    assert world.guest.read("note") == "new", f"old data came back over new; job {ending.end}"


def test_a_guest_frozen_by_a_daemon_that_died_is_thawed(monkeypatch) -> None:
    """A libvirtd is restarted in the freeze window of a quiesced cut (C6); the worker lives."""
    world = World()
    real, first = fake_vm.FakeVm.cut, {"one": True}

    def cut(self, layers, memory, quiesce, pulse):
        if quiesce and first.pop("one", None):
            world.guest.change(frozen=True)
            world.machine.kill_daemon()
            world.machine.start_daemon()
            raise HostLost(detail="End of file while reading data")
        return real(self, layers, memory, quiesce, pulse)

    monkeypatch.setattr(fake_vm.FakeVm, "cut", cut)
    ending = world.create("s1", "hot").to_the_end()
    with world.machine.world() as inside:
        assert not inside.vms[str(world.guest.uuid)].frozen, f"job {ending.end}, and the guest stays frozen"


def test_a_fork_at_the_top_of_a_live_merge_is_carried_on() -> None:
    """O(s1) <- L1(s2) <- {L2(s3), head}. Delete s1; the worker dies when QEMU has merged and before it re-points L2."""
    world = World()
    for name in ("s1", "s2", "s3"):
        world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    ok(world.revert("s2").to_the_end())
    world.guest.tick()
    job = world.delete("s1")
    die_at(world, job, "before images.rebase")
    ending = job.run()
    assert ending.end is End.SUCCEEDED, ending.error


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


def test_a_uefi_vm_that_never_ran_can_be_reverted() -> None:
    """A snapshot taken before there was any NVRAM does not ask for a copy of it."""
    world = World(nvram=True, state=VmState.OFF)
    with world.machine.world() as inside:
        del inside.files["/images/vm1/nvram.fd"]
    ok(world.create("s1", "cold").to_the_end())
    with world.machine.world() as inside:
        inside.files["/images/vm1/nvram.fd"] = FakeFile("text", text="variables")
    world.guest.boot()
    ending = world.revert("s1").to_the_end()
    assert ending.end is not End.STUCK, (ending.error, world.facts().state)
    assert world.facts().state == VmState.RUNNING


def test_a_revert_whose_other_disk_is_missing_is_refused_before_the_vm_is_stopped() -> None:
    """The ISO that was in the drive when the snapshot was taken has been deleted since."""
    world = World()
    vm = world.host.vm(world.guest.uuid)
    world.guest.shut_down()
    with world.machine.world() as inside:
        inside.files["/iso/x.iso"] = FakeFile("image")
    cd = (
        "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='/iso/x.iso'/>"
        "<target dev='sda' bus='sata'/><readonly/></disk></devices>"
    )
    bare = vm.definition()
    vm.define(bare.replace("</devices>", cd), {})
    world.guest.boot()
    ok(world.create("s1", "hot").to_the_end())
    head = world.tree().heads["vda"]
    world.guest.shut_down()
    vm.define(bare, {"vda": Source(head, "qcow2")})
    with world.machine.world() as inside:
        del inside.files["/iso/x.iso"]
    world.guest.boot()

    ending = world.revert("s1").to_the_end()

    assert (ending.end, world.facts().state) == (End.FAILED, VmState.RUNNING), ending.error


def test_a_manifest_that_cannot_be_read_is_met_before_the_reference_is_dropped() -> None:
    """What would stop the collection stops the delete before it has begun; the snapshot stays."""
    world = World()
    for name in ("s1", "s2"):
        world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    folder = world.folder(world.ids["s2"])
    job = world.delete("s1")
    with world.machine.world() as inside:
        inside.files[f"{folder}/manifest.json"].text = "{}"
    ending = job.to_the_end()
    assert ending.end is End.FAILED, (ending.end, ending.error)


def test_an_undo_done_half_can_be_ended() -> None:
    """One volume is merged back live, the worker dies, the guest shuts down: the rest is merged back as well."""
    world = World(TWO)
    world.guest.tick()
    job = world.create("s1", "hot")
    real = job.journal.finish

    def finish(step, output, then, no_return=False):
        real(step, output, then)
        if step == "cut":
            job.progress.cancel_asked = True

    job.journal.finish = finish
    die_at(world, job, "after images.remove", 0)
    world.guest.tick()
    world.guest.shut_down()
    ending = job.run()
    assert ending.end is End.CANCELLED, (ending.end, ending.error)


def test_an_undo_done_half_while_off_does_not_bring_old_data_back() -> None:
    """Two deaths between the volumes of an undo, and a guest that works in between: its newest data stays."""
    world = World(TWO)
    world.guest.tick()
    job = world.create("s1", "hot")
    real = job.journal.finish

    def finish(step, output, then, no_return=False):
        real(step, output, then)
        if step == "cut":
            job.progress.cancel_asked = True

    job.journal.finish = finish
    die_at(world, job, "after turning back")
    world.guest.write("note", "old")
    world.guest.shut_down()
    die_at(world, job, "before images.commit", 1)
    world.guest.boot()
    world.guest.write("note", "new")
    world.guest.shut_down()
    ending = job.run()
    assert world.guest.read("note") == "new", ending.end


def test_a_vm_that_cannot_be_read_may_need_anything() -> None:
    """While one VM of the host cannot be read nothing is unlinked or merged: it may stand on it."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.machine.create_vm("strange").change(unreadable="its definition is broken")
    layers = {path for path in world.files() if path.endswith(".qcow2")}

    ok(world.delete("s1").to_the_end())

    assert {path for path in world.files() if path.endswith(".qcow2")} == layers


def test_a_restore_that_goes_on_without_its_worker_is_waited_for() -> None:
    """Libvirt goes on with a restore whose worker died: the next attempt waits for its end before it does anything."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "memory").to_the_end())
    job = world.revert("s1")
    die_at(world, job, "after finish of stop_vm")
    world.machine.calls.clear()
    world.machine.fail_next("note", VmBusy(vm="vm1", detail="a restore goes on"))

    ok(job.run())

    assert world.machine.calls.index("note") < world.machine.calls.index("restore")


def test_a_revert_that_is_walked_back_leaves_a_vm_that_was_started_meanwhile_its_head() -> None:
    """Somebody starts the VM while its definition names the new layer, and the job is cancelled: it stays under it."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.shut_down()
    job = world.revert("s1")
    die_at(world, job, "after define")
    world.guest.boot()
    job.cancel()
    assert job.run().end is End.CANCELLED
    assert world.host.images.exists(world.facts().volumes[0].path)


def detach(world: World, target: str) -> None:
    """Somebody takes a disk out of the running VM and its definition (`virsh detach-disk --live --config`)."""
    with world.machine.world() as inside:
        row = inside.vms[str(world.guest.uuid)]
        row.definition = without(row.definition, target)
        row.live = row.live and without(row.live, target)


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


@pytest.mark.parametrize("kind", ["revert", "extract"])
def test_a_snapshot_that_is_half_deleted_is_not_used(kind: str) -> None:
    """Its deletion was stopped once the reference was dropped, and its row says ready: the job is refused, nothing goes."""
    world = World()
    at = world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    layer = world.tree().frozen[world.ids["s1"]]["vda"]
    world.guest.tick()
    job = world.delete("s1")
    die_at(world, job, "after finish of drop_reference")
    job.cancel()
    assert job.run().end is End.CANCELLED
    ending = getattr(world, kind)("s1").to_the_end()
    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "snapshot.deletion_unfinished")
    assert world.machine.read_back(layer)["counter"] == at


def test_a_vm_started_in_the_middle_of_a_revert_that_is_cancelled_stays_on_what_it_writes_to() -> None:
    """Off, its definition already names the snapshot's heads, somebody boots it and works; then the revert is cancelled."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.shut_down()
    job = world.revert("s1")
    real = job.journal.finish

    def finish(step, output, then, no_return=False):
        job.journal.cancel_asked = step == "switch_definition"
        return real(step, output, then, no_return)

    job.journal.finish = finish
    die_at(world, job, "before finish of switch_definition")
    world.guest.boot()
    world.guest.write("note", "mine")
    ending = job.run()
    assert ending.end is End.CANCELLED, (ending.end, ending.error)
    assert world.guest.read("note") == "mine"
    world.guest.shut_down()
    world.guest.boot()
    assert world.guest.read("note") == "mine", "its next start was on other images"


@pytest.mark.parametrize("on", [True, False])
def test_an_old_definition_put_back_in_the_middle_of_a_merge_loses_nothing(on: bool) -> None:
    """The worker dies in a merge, and `virsh define old.xml` says that the VM boots from the half merged image.

    Who takes the job up must not take that for the merge's end, and free the layer that has all the rest.
    """
    world = World()
    vm = world.host.vm(world.guest.uuid)
    old = vm.definition()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.write("payroll", 1)
    if not on:
        world.guest.shut_down()
    head = world.tree().heads["vda"]
    job = world.delete("s1")
    die_at(world, job, "after start_commit" if on else "before images.commit")
    if on:
        world.guest.crash()
    vm.define(old, {})
    assert job.run().end is End.STUCK
    assert world.host.images.exists(head)
    assert world.machine.read_back(head)["payroll"] == 1
    vm.define(vm.definition(), {"vda": Source(head, "qcow2")})
    ok(job.run())
    assert world.machine.read_back(world.tree().heads["vda"])["payroll"] == 1
