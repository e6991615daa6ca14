"""Damage as it is met on hosts: each kind is found, said, put right if that is safe, and not found again."""

import json
from uuid import uuid4

import pytest

from hypervisor import fake_foreign
from hypervisor.fake_world import FakeJob
from hypervisor.port import Source
from models.snapshots.remembered import JobKnown, SnapshotKnown
from stillframe.findings import Kind, Repair
from stillframe.names import layer_path, left_path
from stillframe.states import JobState, SnapshotState, VmState
from tests.workers.fake_world import Death
from tests.workers.reconcile.site import ALL, Site
from workers import manifests, marks


@pytest.fixture
def site() -> Site:
    """A VM with two snapshots and an extracted volume."""
    site = Site({"vda": "qcow2", "vdb": "raw"})
    site.take("s1")
    site.take("s2")
    site.done(site.world.extract("s1"))
    return site


def test_a_vm_that_is_as_it_should_be(site: Site) -> None:
    """Snapshots, an extract and a deletion in the middle leave nothing to be found."""
    site.take("s3", "memory")
    site.done(site.world.delete("s2"))
    site.done(site.world.revert("s1"))
    assert site.look(ALL) == []


def test_a_vm_that_a_job_is_at_work_on_is_not_judged(site: Site) -> None:
    """Whatever lies about then is the job's own."""
    site.rows.left[uuid4()] = JobKnown("create_snapshot", JobState.RUNNING)
    site.images.create_layer(
        layer_path(site.home, "vda", uuid4()), Source("/images/vm1/vda.qcow2", "qcow2"), 1
    )
    assert site.only(Kind.VM_BUSY, ALL).repair is Repair.NONE


def test_a_vm_that_cannot_be_read(site: Site) -> None:
    """The words of libvirt are shown, and nothing else is judged."""
    site.guest.change(unreadable="no such pool")
    assert "no such pool" in site.only(Kind.VM_UNREADABLE, ALL).detail


def test_a_manifest_that_cannot_be_read_stops_every_repair(site: Site) -> None:
    """Which layers it needs is not known: it is said, and no file goes."""
    job = site.ended()
    site.images.create_layer(layer_path(site.home, "vda", job), Source("/images/vm1/vda.qcow2", "qcow2"), 1)
    site.images.write_text(manifests.path_in(site.world.folder(site.world.ids["s1"]) or ""), "{}")
    before = site.world.files()
    assert "manifest" in site.only(Kind.VM_UNREADABLE, ALL).detail
    assert site.world.files() == before


def test_a_frozen_guest_is_told(site: Site) -> None:
    """Whoever froze it will thaw it: it is left as it is."""
    site.guest.change(frozen=True)
    site.only(Kind.GUEST_FROZEN, ALL)
    assert site.world.host.vm(site.guest.uuid).is_frozen()


def test_a_merge_without_a_job_is_ended(site: Site) -> None:
    """The deletion that began it is gone: it is ended before its pivot and the chain stays."""
    head = site.world.tree().heads["vda"]
    base = site.world.tree().layers[head].backing or ""
    marks.write(site.images, marks.Mark(base, head, str(uuid4())))
    with site.world.machine.world() as inside:
        job = FakeJob(head, base, is_head=True, done=0, total=1 << 40)
        inside.vms[str(site.guest.uuid)].jobs["vda"] = job
    found = {one.kind: one for one in site.look(ALL)}
    assert found[Kind.BLOCK_JOB_LEFT].repaired
    assert site.world.host.vm(site.guest.uuid).block_job("vda") is None
    assert site.world.tree().heads["vda"] == head


def test_a_mark_of_a_merge_that_is_over_goes(site: Site) -> None:
    """The layer that was merged down is gone; nothing is half merged."""
    path = f"{layer_path(site.home, 'vda', uuid4())}.merging.json"
    mark = {"base": site.world.tree().heads["vda"], "top": path, "job": str(uuid4())}
    site.images.write_text(path, json.dumps(mark | {"top": "/gone.qcow2", "whole": True}))
    assert site.only(Kind.FILE_PART, {Repair.ITSELF}).repaired
    site.is_well()


def test_a_block_job_of_others_is_left_alone(site: Site) -> None:
    """Somebody's `virsh blockcopy` goes on."""
    site.guest.start_copy("/elsewhere/copy.qcow2")
    assert "copy job" in site.only(Kind.BLOCK_JOB_FOREIGN, ALL).detail
    assert site.world.host.vm(site.guest.uuid).block_job("vda")


@pytest.mark.parametrize("reason", ["save", "snapshot"])
def test_a_pause_that_a_cut_left_is_ended_unasked(site: Site, reason: str) -> None:
    """The VM ran before the cut, so it runs again."""
    site.rows.ran = True
    site.guest.change(state=VmState.PAUSED, reason=reason)
    assert site.only(Kind.VM_PAUSED, {Repair.ITSELF}).repaired
    assert site.world.facts().state is VmState.RUNNING
    site.is_well()


def test_a_pause_of_somebody_elses_save_is_told(site: Site) -> None:
    """No job of ours found the VM running before: it is not resumed."""
    site.guest.change(state=VmState.PAUSED, reason="save")
    site.only(Kind.VM_PAUSED, ALL)
    assert site.world.facts().state is VmState.PAUSED


def test_a_vm_that_a_person_paused_is_as_it_should_be(site: Site) -> None:
    """A user's pause is no finding, even after a cut."""
    site.rows.ran = True
    site.guest.change(state=VmState.PAUSED, reason="user")
    assert site.look(ALL) == []
    assert site.world.facts().state is VmState.PAUSED


def test_a_pause_by_a_full_disk_ends_when_there_is_room(site: Site) -> None:
    """While it is full it is only told; with room, a repair that was asked for lets the VM run."""
    site.guest.change(state=VmState.PAUSED, reason="ioerror")
    site.world.machine.capacity_bytes = 0
    assert site.only(Kind.VM_PAUSED, ALL).repair is Repair.NONE
    site.world.machine.capacity_bytes = 1 << 40
    assert not site.only(Kind.VM_PAUSED, {Repair.ITSELF}).repaired
    assert site.only(Kind.VM_PAUSED, ALL).repaired
    site.is_well()


def test_an_old_definition_put_back_is_told_and_nothing_goes(site: Site) -> None:
    """The head is a frozen layer now. The newest data is in a layer that nothing needs: it stays."""
    site.guest.shut_down()
    newest = site.world.tree().heads["vda"]
    vm = site.world.host.vm(site.guest.uuid)
    vm.define(vm.definition(), {"vda": Source("/images/vm1/vda.qcow2", "qcow2")})
    kinds = [one.kind for one in site.look(ALL)]
    assert kinds[0] is Kind.HEAD_DRIFTED
    assert site.images.exists(newest)


def test_a_definition_that_boots_from_elsewhere_is_told(site: Site) -> None:
    """The VM runs on one image and will boot from another."""
    vm = site.world.host.vm(site.guest.uuid)
    vm.define(vm.definition(), {"vdb": Source("/images/vm1/vdb.raw", "raw")})
    found = site.only(Kind.HEAD_DRIFTED, ALL)
    assert found.subject == "vdb"
    assert "/images/vm1/vdb.raw" in found.detail


def test_a_layer_that_is_gone_is_told_for_each_snapshot_on_it(site: Site) -> None:
    """After a revert to s1 the layer of s2 is in another branch: gone, it breaks s2 and nothing else."""
    site.done(site.world.revert("s1"))
    layer = site.world.tree().frozen[site.world.ids["s2"]]["vda"]
    site.images.remove(layer)
    found = site.only(Kind.CHAIN_BROKEN, ALL)
    assert layer in found.detail


def test_memory_that_is_gone_is_told(site: Site) -> None:
    """A memory snapshot without its RAM cannot be reverted to."""
    id_ = site.take("s3", "memory")
    folder = site.world.folder(id_) or ""
    site.images.remove(manifests.memory_in(folder))
    assert site.only(Kind.SNAPSHOT_DAMAGED, ALL).subject == str(id_)


def test_a_snapshot_that_no_row_knows_is_to_be_adopted(site: Site) -> None:
    """Its name, type and bytes are told."""
    row = site.rows.of_snapshots.pop(site.world.ids["s2"])
    found = site.only(Kind.SNAPSHOT_UNKNOWN)
    assert found.repair is Repair.ADOPT
    assert found.subject == str(site.world.ids["s2"])
    assert '"s2" (hot)' in found.detail
    site.rows.of_snapshots[site.world.ids["s2"]] = row
    site.is_well()


def test_a_lost_snapshot_keeps_every_layer(site: Site) -> None:
    """Its manifest is gone: what it needs cannot be told, and even an empty layer of a failed job stays."""
    id_ = site.world.ids["s2"]
    layer = layer_path(site.home, "vda", site.ended())
    site.images.create_layer(layer, Source(site.world.tree().heads["vda"], "qcow2"), 1 << 20)
    site.images.remove(site.world.folder(id_) or "")
    lost = next(one for one in site.look(ALL) if one.kind is Kind.SNAPSHOT_LOST)
    assert (lost.subject, lost.repair) == (str(id_), Repair.REPAIR)
    assert site.images.exists(layer)


def test_a_half_deleted_snapshot_is_told(site: Site) -> None:
    """Its row is in error, and it can be deleted again."""
    manifest = next(one for one in site.world.manifests() if one.id == site.world.ids["s2"])
    manifests.write(site.images, manifest.deleting())
    site.rows.of_snapshots[manifest.id] = SnapshotKnown("s", SnapshotState.ERROR, manifest.folder)
    found = site.only(Kind.SNAPSHOT_DELETING, ALL)
    assert "Delete it again" in found.remedy


def test_a_merge_that_was_stopped_is_told(site: Site) -> None:
    """The mark beside the top says what was merged into what; a job that goes on with it is not disturbed."""
    tree = site.world.tree()
    top, job = tree.heads["vda"], uuid4()
    mark = {"base": tree.layers[top].backing, "top": top, "job": str(job), "whole": False}
    site.images.write_text(f"{top}.merging.json", json.dumps(mark))
    found = next(one for one in site.look(ALL) if one.kind is Kind.LAYER_HALF_MERGED)
    assert found.subject == tree.layers[top].backing
    site.rows.left[job] = JobKnown("delete_snapshot", JobState.STUCK)
    assert Kind.LAYER_HALF_MERGED not in {one.kind for one in site.look(ALL)}


@pytest.mark.parametrize("where", ["layer", "manifest", "copy"])
def test_a_file_that_was_being_written_is_removed_unasked(site: Site, where: str) -> None:
    """Its writer died; nothing reads it."""
    path = {
        "layer": f"{layer_path(site.home, 'vda', site.ended())}.part",
        "manifest": f"{manifests.path_in(site.world.folder(site.world.ids['s1']) or '')}.part",
        "copy": f"{next(iter(site.rows.of_volumes.values())).path}.part",
    }[where]
    site.images.write_text(path, "half")
    found = site.only(Kind.FILE_PART, {Repair.ITSELF})
    assert (found.subject, found.repaired) == (path, True)
    assert not site.images.exists(path)
    site.is_well()


def test_a_layer_that_was_left_is_told_and_stays(site: Site) -> None:
    """A guest wrote to it, and its VM was started without: whatever a rescan may do, a person decides."""
    path = left_path(layer_path(site.home, "vda", site.ended()))
    site.images.write_text(path, "what a guest wrote")
    assert site.only(Kind.LAYER_LEFT, ALL).subject == path
    assert site.images.exists(path)


def test_what_a_stuck_job_has_left_is_its_own(site: Site) -> None:
    """A person decides about it: its layers, folders and partial files are not even told."""
    job, snapshot = uuid4(), uuid4()
    site.rows.left[job] = JobKnown("create_snapshot", JobState.STUCK, frozenset({snapshot}))
    head = Source(site.world.tree().heads["vda"], "qcow2")
    site.images.create_layer(layer_path(site.home, "vda", job), head, 1 << 20)
    site.images.write_text(f"{layer_path(site.home, 'vdb', job)}.part", "half")
    site.images.write_text(f"{site.home}/{job}.before.xml", "<domain/>")
    site.images.write_text(f"{site.home}/{snapshot}.snapshot/memory.save", "half")
    before = site.world.files()
    assert [one for one in site.look(ALL) if one.is_drift] == []
    assert site.world.files() == before


def test_a_copy_of_another_vm_is_left_alone(site: Site) -> None:
    """Images of several VMs share a folder for volume snapshots: a copy under way there is not ours to judge."""
    folder = f"{site.home.rsplit('/', 1)[0]}/volumes"
    site.images.write_text(f"{folder}/{uuid4()}.qcow2.part", "half")
    site.images.write_text(f"{folder}/{uuid4()}.json", json.dumps({"vm": str(uuid4())}))
    assert site.look(ALL) == []


def test_memory_of_a_snapshot_that_never_came_to_be_is_removed(site: Site) -> None:
    """Its creation failed by its row, and its folder has no manifest."""
    id_ = uuid4()
    folder = f"{site.home}/{id_}.snapshot"
    site.images.write_text(manifests.memory_in(folder), "x" * 1000)
    assert site.only(Kind.FOLDER_ORPHAN).repair is Repair.NONE
    site.rows.of_snapshots[id_] = SnapshotKnown("s", SnapshotState.ERROR, was_ready=False)
    found = site.only(Kind.FOLDER_ORPHAN, ALL)
    assert (found.repaired, found.bytes) == (True, 1000)
    assert not site.images.exists(folder)
    site.is_well()


def test_memory_of_a_snapshot_that_is_lost_stays(site: Site) -> None:
    """Somebody may bring its manifest back."""
    id_ = site.take("s3", "memory")
    folder = site.world.folder(id_) or ""
    site.images.remove(manifests.path_in(folder))
    site.rows.of_snapshots[id_] = SnapshotKnown("s", SnapshotState.ERROR, folder)
    site.look(ALL)
    assert site.images.exists(manifests.memory_in(folder))


def test_an_empty_layer_of_a_failed_job_is_removed(site: Site) -> None:
    """Nothing was ever written to it, and nobody needs it."""
    layer = layer_path(site.home, "vda", site.ended())
    for below in (site.world.tree().heads["vda"], site.world.tree().frozen[site.world.ids["s1"]]["vda"]):
        site.images.create_layer(layer, Source(below, "qcow2"), 1 << 20)
        assert site.only(Kind.LAYER_ORPHAN, {Repair.ITSELF}).repaired
        assert not site.images.exists(layer)
        site.is_well()


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.SUCCEEDED, None])
def test_a_layer_with_data_is_never_removed(site: Site, state: JobState | None) -> None:
    """A guest wrote to it, whatever became of its job: it is told with its bytes."""
    job = uuid4()
    if state:
        site.rows.jobs[job] = state
    layer = layer_path(site.home, "vda", job)
    site.images.create_layer(
        layer, Source(site.world.tree().frozen[site.world.ids["s1"]]["vda"], "qcow2"), 1 << 20
    )
    with site.world.machine.world() as inside:
        inside.files[layer].content["payroll"] = 1
    found = site.only(Kind.LAYER_ORPHAN, ALL)
    assert (found.repair, found.repaired) == (Repair.NONE, False)
    assert found.bytes > 0
    assert site.images.exists(layer)


def test_an_empty_layer_that_another_vm_took_up_stays(site: Site) -> None:
    """The host is asked once more before the file goes."""
    layer = layer_path(site.home, "vda", site.ended())
    site.images.create_layer(
        layer, Source(site.world.tree().frozen[site.world.ids["s1"]]["vda"], "qcow2"), 1 << 20
    )
    other = site.world.machine.create_vm("vm2", state=VmState.OFF)
    vm2 = site.world.host.vm(other.uuid)
    vm2.define(vm2.definition(), {"vda": Source(layer, "qcow2")})
    found = site.only(Kind.LAYER_ORPHAN, ALL)
    assert not found.repaired
    assert "vm2" in found.done
    assert site.images.exists(layer)


def test_a_detached_disk_stays(site: Site) -> None:
    """Volume vdb was detached and put aside, its head still empty: nothing of it goes."""
    site.take("s3")
    vm = site.world.host.vm(site.guest.uuid)
    site.guest.shut_down()
    definition = vm.definition()
    begin = definition.index("<disk", definition.index("<disk") + 1)
    vm.define(definition[:begin] + definition[definition.rindex("</disk>") + 7 :], {})
    site.rows.jobs = dict.fromkeys(site.rows.jobs, JobState.FAILED)
    before = site.world.files()
    assert [one.kind for one in site.look(ALL) if one.repaired] == []
    assert site.world.files() == before


def test_a_layer_with_two_branches_is_kept_on_purpose(site: Site) -> None:
    """Its snapshot is deleted and two others grew out of it: it is told, and is no drift."""
    site.done(site.world.revert("s1"))
    site.take("s3")
    site.done(site.world.delete("s1"))
    (found,) = [one for one in site.look(ALL) if one.subject == "/images/vm1/vda.qcow2"]
    assert (found.kind, found.is_drift) == (Kind.LAYER_HIDDEN, False)
    assert found.bytes > 0


def test_a_volume_snapshot_whose_image_is_gone(site: Site) -> None:
    """Somebody removed the file by hand: its row is to say so."""
    (row,) = site.rows.of_volumes.values()
    site.images.remove(row.path or "")
    assert site.only(Kind.VOLUME_SNAPSHOT_LOST).repair is Repair.REPAIR


def test_a_volume_snapshot_that_no_row_knows(site: Site) -> None:
    """What lies beside the image says whose it is."""
    ((id_, row),) = site.rows.of_volumes.items()
    site.rows.of_volumes.clear()
    found = site.only(Kind.VOLUME_SNAPSHOT_UNKNOWN)
    assert (found.repair, found.subject) == (Repair.ADOPT, row.path)
    assert str(id_) in found.subject


def test_snapshots_of_others_are_listed() -> None:
    """Those of virsh, and those inside an image that libvirt does not know: no drift."""
    site = Site()
    with site.world.machine.world() as inside:
        row = inside.vms[str(site.guest.uuid)]
        for name in ("by-virsh", "forgotten"):
            fake_foreign.take_internal(inside, row, name)
        fake_foreign.forget(row, "forgotten")
    found = [one for one in site.look(ALL) if one.kind is Kind.FOREIGN_SNAPSHOT]
    assert [one.subject for one in found] == ["by-virsh", "forgotten"]
    assert "libvirt does not know" in found[1].detail
    site.is_well()


def test_a_definition_that_a_revert_kept_goes_when_the_revert_is_over(site: Site) -> None:
    """It is removed by a repair only if a row says that the job has ended."""
    unknown, over = f"{site.home}/{uuid4()}.before.xml", f"{site.home}/{site.ended()}.before.xml"
    for path in (unknown, over):
        site.images.write_text(path, "<domain/>")
    site.look(ALL)
    assert (site.images.exists(unknown), site.images.exists(over)) == (True, False)


def test_after_any_death_and_its_next_attempt_nothing_is_found() -> None:
    """A job that died anywhere and was carried on leaves nothing that a look finds: every point of every plan."""
    for kind in ("create", "delete", "revert"):
        point = 0
        while True:
            site = Site()
            site.take("s1")
            site.take("s2", "memory")
            job = site.world.create("s3", "memory") if kind == "create" else getattr(site.world, kind)("s1")
            mortality = site.world.machine.mortality
            mortality.points.clear()
            mortality.dies_at = point
            try:
                job.run()
                break
            except Death:
                mortality.dies_at = None
            site.done(job)
            found = [one for one in site.look() if one.is_drift]
            assert found == [], (kind, mortality.points[point], found)
            point += 1
