"""Rescans of a host of the fake machine, with real rows: what is found, adopted, repaired and told."""

import json
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select, update

from hypervisor.fake import FakeHost
from hypervisor.fake_world import FakeInternal
from hypervisor.port import Source
from models.hosts.rescans import ask
from models.jobs.tables import Job
from models.session import transaction
from models.snapshots.tables import Snapshot, SnapshotLayer, VolumeSnapshot
from models.tables import Base
from models.tenants.actor import ADMIN
from models.vms.tables import Vm
from stillframe.findings import Kind
from stillframe.names import layer_path
from stillframe.states import JobState, RescanState, SnapshotState, VmState, VolumeSnapshotState
from tests.given import given
from tests.workers.fake_world import ok
from tests.workers.house import House
from tests.world import World as RowWorld
from workers import manifests
from workers.hold import hold
from workers.rescans import Rescans

pytestmark = pytest.mark.postgres


def test_an_empty_database_is_filled_from_the_host(house: House) -> None:
    """Names, types, parents, current, sizes and memory are those of the snapshots; a second rescan finds nothing."""
    house.take("s1")
    house.take("s2", "memory")
    ok(house.world.revert("s1").to_the_end())
    house.take("s3")
    one, two, three = (house.world.ids[name] for name in ("s1", "s2", "s3"))

    assert sorted(house.drift()) == [Kind.SNAPSHOT_UNKNOWN] * 3
    assert house.snapshots() == {}
    found = house.rescan(adopt=True)

    assert [item["done"] for item in found] == ["adopted"] * 3
    rows = house.snapshots()
    assert {rows[id_].name for id_ in (one, two, three)} == {"s1", "s2", "s3"}
    assert {row.state for row in rows.values()} == {SnapshotState.READY}
    assert [rows[id_].type for id_ in (one, two)] == ["hot", "memory"]
    assert [rows[id_].parent_id for id_ in (one, two, three)] == [None, one, one]
    assert [id_ for id_, row in rows.items() if row.current] == [three]
    memory = house.world.host.images.size_bytes(_manifest(house, two).memory_path)
    assert (rows[one].memory_bytes, rows[two].memory_bytes) == (0, memory)
    assert all(row.size_bytes > 0 for row in rows.values())
    assert rows[one].created_at.isoformat() == _manifest(house, one).words["created_at"]
    assert house.drift() == []
    assert len(house.events("snapshot.adopted")) == 3


def test_an_extracted_volume_comes_in_too(house: House) -> None:
    """Also when the snapshot it came out of is deleted since: that one is known as deleted."""
    house.take("s1")
    house.take("s2")
    kept, orphan = house.world.extract("s2"), house.world.extract("s1")
    for job in (kept, orphan):
        ok(job.to_the_end())
    ok(house.world.delete("s1").to_the_end())

    house.rescan(adopt=True)

    with transaction(house.engine) as session:
        rows = {row.id: row for row in session.scalars(select(VolumeSnapshot))}
    assert {rows[job.volume_snapshot].path for job in (kept, orphan)} == {
        job.outputs["sum_up"]["path"] for job in (kept, orphan)
    }
    assert rows[kept.volume_snapshot].sha256 == kept.outputs["sum_up"]["sha256"]
    assert rows[kept.volume_snapshot].target == "vda"
    assert house.snapshots()[house.world.ids["s1"]].state is SnapshotState.DELETED
    assert house.drift() == []


def test_an_old_backup_is_brought_up_to_date(house: House) -> None:
    """A snapshot that is newer comes in; one that was deleted since is said to be lost, and can be deleted."""
    old = house.take("old")
    house.take("kept")
    house.rescan(adopt=True)
    house.take("new")
    ok(house.world.delete("old").to_the_end())

    assert sorted(house.drift()) == [Kind.SNAPSHOT_LOST, Kind.SNAPSHOT_UNKNOWN]
    assert house.snapshots()[old].state is SnapshotState.READY
    house.rescan(adopt=True, repair=True)

    rows = house.snapshots()
    assert rows[old].state is SnapshotState.ERROR
    assert given(rows[old].error)["code"] == "snapshot.lost"
    assert rows[house.world.ids["new"]].state is SnapshotState.READY
    assert rows[house.world.ids["new"]].parent_id == house.world.ids["kept"]
    assert house.drift() == []


def test_a_lost_snapshot_that_is_brought_back_is_ready_again(house: House) -> None:
    """Its folder was moved away by hand, and comes back."""
    id_ = house.take("s1")
    house.rescan(adopt=True)
    folder = house.world.folder(id_) or ""
    house.world.host.images.rename(folder, "/elsewhere")
    house.rescan(repair=True)
    assert house.snapshots()[id_].state is SnapshotState.ERROR
    house.world.host.images.rename("/elsewhere", folder)
    house.rescan(adopt=True)
    row = house.snapshots()[id_]
    assert (row.state, row.error, row.current) == (SnapshotState.READY, None, True)
    assert house.drift() == []


def test_names_that_meet_are_told_apart(house: House) -> None:
    """A name that another snapshot has by now gets a piece of the id; what is no name is not believed."""
    first = house.take("same")
    house.rescan(adopt=True)
    second, third = house.take("again"), house.take("third")
    for id_, name in ((second, "same"), (third, "../../etc")):
        _edit_words(house, id_, name=name)
    house.rescan(adopt=True)
    rows = house.snapshots()
    assert rows[first].name == "same"
    assert rows[second].name == f"same-{second.hex[-6:]}"
    assert rows[third].name == f"adopted-{third.hex[-6:]}"


def test_a_half_deleted_snapshot_comes_in_as_one_to_be_deleted(house: House) -> None:
    """It can not be reverted to, and its deletion can be asked for."""
    id_ = house.take("s1")
    manifests.write(house.world.host.images, _manifest(house, id_).deleting())
    house.rescan(adopt=True)
    row = house.snapshots()[id_]
    assert row.state is SnapshotState.ERROR
    assert row.error is not None
    assert row.error["code"] == "snapshot.deletion_unfinished"
    ok(house.world.delete("s1").to_the_end())


def test_a_ready_row_of_a_half_deleted_snapshot_is_put_right(house: House) -> None:
    """The rows are those of an old backup: nobody may revert to it any more."""
    id_ = house.take("s1")
    house.rescan(adopt=True)
    manifests.write(house.world.host.images, _manifest(house, id_).deleting())
    house.rescan(repair=True)
    assert house.snapshots()[id_].state is SnapshotState.ERROR


def test_a_volume_snapshot_whose_file_went_and_came_back(house: House) -> None:
    """Its row says so, and says it is ready again."""
    house.take("s1")
    job = house.world.extract("s1")
    ok(job.to_the_end())
    house.rescan(adopt=True)
    path = job.outputs["sum_up"]["path"]
    house.world.host.images.rename(path, "/elsewhere")

    def state() -> VolumeSnapshotState:
        with transaction(house.engine) as session:
            return session.get_one(VolumeSnapshot, job.volume_snapshot).state

    assert house.drift() == [Kind.VOLUME_SNAPSHOT_LOST]
    house.rescan(repair=True)
    assert state() is VolumeSnapshotState.ERROR
    house.world.host.images.rename("/elsewhere", path)
    house.rescan(adopt=True)
    assert state() is VolumeSnapshotState.READY
    assert house.drift() == []


def test_the_first_look_of_a_worker_mends_and_tells(house: House) -> None:
    """What is safe is put right unasked; what is left is one event of its VM."""
    house.take("s1")
    house.take("s2")
    part = f"{layer_path(house.home, 'vda', uuid4())}.part"
    house.world.host.images.write_text(part, "half")
    house.rescans.first_look()
    assert not house.world.host.images.exists(part)
    assert [event.message for event in house.events("vm.mended")] == ["file.part"]
    (told,) = house.events("vm.drifted")
    assert (told.message, told.vm_id) == ("snapshot.unknown", house.world.guest.uuid)
    assert len(told.data["findings"]) == 2


def test_a_look_changes_nothing(house: House) -> None:
    """Without --adopt and --repair files and rows stay as they are."""
    house.take("s1")
    house.world.host.images.write_text(f"{layer_path(house.home, 'vda', uuid4())}.part", "half")
    before = house.world.files()
    assert sorted(house.drift()) == [Kind.FILE_PART, Kind.SNAPSHOT_UNKNOWN]
    assert (house.world.files(), house.snapshots()) == (before, {})


def test_a_vm_that_a_process_works_on_is_skipped(house: House) -> None:
    """Its lock is held: the others are looked at."""
    house.take("s1")
    guest = house.world.guest
    with hold(house.settings.lock_folder, guest.uuid, "vm1", 1):
        (found,) = house.rescan(adopt=True)
    assert (found["kind"], found["vm"]) == (Kind.VM_BUSY, "vm1")
    assert house.snapshots() == {}


def test_one_vm_is_looked_at_alone(house: House) -> None:
    """The other VM's snapshots stay unknown."""
    house.take("s1")
    house.world.machine.create_vm("vm2")
    assert house.rescan(vm="vm2", adopt=True) == []
    assert house.snapshots() == {}
    assert len(house.rescan(vm="vm1", adopt=True)) == 1


def test_what_is_left_of_a_vm_that_moved_away_is_not_judged(house: House, world: RowWorld) -> None:
    """Its rows belong to its new host, and so does the judgement; that something of it is here is said."""
    house.take("s1")
    house.world.guest.shut_down()
    house.drift()
    other = world.host("h2")
    with transaction(house.engine) as session:
        session.execute(update(Vm).values(host_id=other, state=VmState.RUNNING))
    (found,) = house.rescan(adopt=True, repair=True)
    assert (found["kind"], found["drift"], found["repaired"]) == (Kind.VM_ELSEWHERE, False, False)


def test_the_home_of_a_vm_that_is_gone_is_told_with_its_bytes(house: House) -> None:
    """It is no drift: somebody may define the VM again."""
    house.take("s1")
    house.rescan(adopt=True)
    left = f"{house.home.rsplit('/', 1)[0]}/{uuid4()}"
    house.world.host.images.write_text(f"{left}/vda.qcow2", "x" * 100)
    (found,) = house.rescan()
    assert (found["kind"], found["subject"], found["bytes"], found["drift"]) == (
        Kind.HOME_LEFT,
        left,
        100,
        False,
    )


def test_a_rescan_whose_keeper_died_is_done_by_the_next(house: House) -> None:
    """It stands at running, and is taken up again."""
    house.drift()
    with transaction(house.engine) as session:
        id_ = ask(session, "h1", None, ADMIN, adopt=False, repair=False)
    with transaction(house.engine) as session:
        session.execute(update(Base.metadata.tables["rescan"]).values(state="running"))
    again = Rescans(house.settings, house.engine, lambda: FakeHost(house.world.machine, "h1"))
    while again.run_next():
        pass
    assert house.row(id_)["state"] is RescanState.DONE
    assert not again.run_next()


def test_a_libvirt_that_was_started_anew_is_looked_at(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a new connection; while it is away the rescan fails and says so."""
    house.take("s1")
    house.drift()
    house.world.machine.kill_daemon()
    monkeypatch.setattr("workers.rescans.RECONNECT_S", 0.05)
    with transaction(house.engine) as session:
        id_ = ask(session, "h1", None, ADMIN, adopt=False, repair=False)
    assert house.rescans.run_next()
    failed = house.row(id_)
    assert (failed["state"], failed["error"]["code"]) == (RescanState.FAILED, "host.connection_lost")
    house.world.machine.start_daemon()
    assert house.drift() == [Kind.SNAPSHOT_UNKNOWN]


def test_the_end_of_a_rescan_is_told_with_its_counts(house: House) -> None:
    """How many findings, how many put right, how many left."""
    house.take("s1")
    house.world.host.images.write_text(f"{layer_path(house.home, 'vda', uuid4())}.part", "half")
    house.rescan(repair=True)
    told = house.events("host.rescanned")[-1]
    assert {name: told.data[name] for name in ("findings", "repaired", "left")} == {
        "findings": 2,
        "repaired": 1,
        "left": 1,
    }
    assert told.level == "warning"


def test_an_orphan_of_a_failed_job_goes(house: House, world: RowWorld) -> None:
    """The row of its job says that it failed."""
    house.take("s1")
    house.rescan(adopt=True)
    job = world.job(house.world.guest.uuid)
    with transaction(house.engine) as session:
        session.execute(update(Job).where(Job.id == job).values(state=JobState.FAILED))
        session.execute(delete(SnapshotLayer).where(SnapshotLayer.snapshot_id == world.row(job).snapshot_id))
        session.execute(
            update(Snapshot)
            .where(Snapshot.id == world.row(job).snapshot_id)
            .values(state=SnapshotState.ERROR)
        )
    layer = layer_path(house.home, "vda", job)
    below = Source(house.world.tree().heads["vda"], "qcow2")
    house.world.host.images.create_layer(layer, below, 1 << 20)
    (found,) = house.rescan(repair=True)
    assert (found["kind"], found["done"]) == (Kind.LAYER_ORPHAN, "removed")
    assert house.drift() == []


def _manifest(house: House, id_: UUID) -> manifests.Manifest:
    return next(one for one in house.world.manifests() if one.id == id_)


def _edit_words(house: House, id_: UUID, **words: str) -> None:
    path = manifests.path_in(house.world.folder(id_) or "")
    said = json.loads(house.world.host.images.read_text(path) or "")
    said["words"] |= words
    house.world.host.images.write_text(path, json.dumps(said))


def test_a_finding_that_cannot_be_kept_holds_up_no_other_rescan(house: House) -> None:
    """An internal snapshot whose name has a NUL is found: the rescan ends, and so does the next one."""
    house.take("s1")
    with house.world.machine.world() as inside:
        head = house.world.tree().heads["vda"]
        inside.files[head].internal["a\0b"] = FakeInternal(1, {})
    for _ in range(2):
        assert "foreign.snapshot" in [one["kind"] for one in house.rescan()]


def test_a_file_whose_name_is_no_text_holds_up_nobody(house: House) -> None:
    """Its name is not UTF-8, and it lies among the layers: the host is looked at, and it is told."""
    house.take("s1")
    with house.world.machine.world() as inside:
        layer = inside.files[house.world.tree().heads["vda"]]
        inside.files[f"{house.home}/\udcff.qcow2"] = replace(layer, content={})
    for _ in range(2):
        assert "layer.orphan" in [one["kind"] for one in house.rescan()]
