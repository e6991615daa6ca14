"""What workers see becomes rows; only differences are told."""

from dataclasses import replace
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select

from models.hosts.machine import heartbeat, record_host, record_vm
from models.hosts.tables import Host
from models.jobs.journal import Journal
from models.session import transaction
from models.snapshots.tables import SnapshotLayer
from models.vms.tables import Layer, Vm, Volume
from stillframe.layers import Layer as LayerSeen
from stillframe.layers import Tree
from stillframe.seen import HostSeen, VmSeen, VolumeSeen
from stillframe.states import SnapshotState, VmState
from tests.world import World, seen_vm

pytestmark = pytest.mark.postgres

WEB = UUID("11111111-1111-4111-8111-111111111111")
DB = UUID("22222222-2222-4222-8222-222222222222")


Row = TypeVar("Row")


def seen_host(*vms: VmSeen, name: str = "h1") -> HostSeen:
    return HostSeen(name, "9.0.0", "7.2.0", 8, 1 << 33, vms)


def record(engine: Engine, seen: HostSeen) -> UUID:
    with transaction(engine) as session:
        return record_host(session, seen)


def all_of(engine: Engine, table: type[Row]) -> list[Row]:
    with transaction(engine) as session:
        return list(session.scalars(select(table)))


def layer(path: str, backing: str | None, size: int = 10) -> LayerSeen:
    return LayerSeen(path, "vda", "qcow2", backing, 1 << 30, size)


def test_a_first_look_registers_the_host_and_its_vms(world: World, engine: Engine) -> None:
    """Each new VM is told once; looking again with nothing changed tells nothing."""
    seen = seen_host(seen_vm(WEB, "web"), seen_vm(DB, "db", VmState.OFF))
    record(engine, seen)
    assert world.events() == ["host.registered", "vm.seen", "vm.seen"]
    record(engine, seen)
    assert world.events() == ["host.registered", "vm.seen", "vm.seen"]
    (host,) = all_of(engine, Host)
    assert (host.name, host.libvirt_version, host.cpus) == ("h1", "9.0.0", 8)
    assert {(vm.name, vm.state) for vm in all_of(engine, Vm)} == {("web", "running"), ("db", "off")}
    assert [volume.path for volume in all_of(engine, Volume)] == ["/images/vda", "/images/vda"]


def test_a_change_is_told_with_what_changed(world: World, engine: Engine) -> None:
    """A state that changed and a volume whose file changed are one event with both values."""
    record(engine, seen_host(seen_vm(WEB)))
    record(engine, seen_host(seen_vm(WEB, state=VmState.OFF, path="/images/other")))
    event = world.last_event()
    assert event.type == "vm.changed"
    assert event.data == {
        "state": {"from": "running", "to": "off"},
        "vda": {"from": "/images/vda", "to": "/images/other"},
    }


def test_a_volume_that_was_detached_leaves_its_row(engine: Engine) -> None:
    """A VM without volumes has no rows of volumes."""
    record(engine, seen_host(seen_vm(WEB)))
    record(engine, seen_host(replace(seen_vm(WEB), volumes=())))
    assert all_of(engine, Volume) == []


def test_a_vm_that_vanished_is_gone_until_it_is_seen_again(world: World, engine: Engine) -> None:
    """Going and coming back are told once each."""
    record(engine, seen_host(seen_vm(WEB)))
    record(engine, seen_host())
    record(engine, seen_host())
    (vm,) = all_of(engine, Vm)
    assert (vm.gone, vm.state) == (True, VmState.GONE)
    record(engine, seen_host(seen_vm(WEB)))
    (vm,) = all_of(engine, Vm)
    assert (vm.gone, vm.state) == (False, VmState.RUNNING)
    assert world.events() == ["host.registered", "vm.seen", "vm.gone", "vm.changed"]


def test_a_vm_that_moved_belongs_to_its_new_host(engine: Engine) -> None:
    """The old host, looking later, does not mark it gone."""
    record(engine, seen_host(seen_vm(WEB)))
    new = record(engine, seen_host(seen_vm(WEB), name="h2"))
    record(engine, seen_host())
    (vm,) = all_of(engine, Vm)
    assert (vm.host_id, vm.gone) == (new, False)


def test_what_waits_for_a_vm_goes_with_it(world: World, engine: Engine, journal: Journal) -> None:
    """A queued job and the snapshots of a VM that moved belong to the new host, and only there can it be claimed."""
    record(engine, seen_host(seen_vm(WEB)))
    job = world.job(WEB)
    new = record(engine, seen_host(seen_vm(WEB), name="h2"))
    record(engine, seen_host())
    row = world.row(job)
    assert (row.host_id, world.snapshot_row(row.snapshot_id).host_id) == (new, new)
    assert journal.claim(job, worker="w", lease_s=30, host="h1") is None
    assert journal.claim(job, worker="w", lease_s=30, host="h2") is not None


def test_a_definition_left_behind_by_a_migration_is_no_sighting(engine: Engine) -> None:
    """A VM that runs on one host does not hop back to another that still has it defined and off."""
    record(engine, seen_host(seen_vm(WEB, state=VmState.OFF)))
    new = record(engine, seen_host(seen_vm(WEB), name="h2"))
    record(engine, seen_host(seen_vm(WEB, state=VmState.OFF)))
    (vm,) = all_of(engine, Vm)
    assert (vm.host_id, vm.state) == (new, VmState.RUNNING)


def test_an_old_look_does_not_undo_what_was_recorded_since(engine: Engine) -> None:
    """A VM that a job recorded after the look began is left as the job saw it."""
    host = record(engine, seen_host(seen_vm(WEB)))
    with transaction(engine) as session:
        looked_at = heartbeat(session, "h1")
    with transaction(engine) as session:
        record_vm(session, host, seen_vm(WEB, state=VmState.OFF))
    with transaction(engine) as session:
        record_host(session, seen_host(seen_vm(WEB)), looked_at)
    (vm,) = all_of(engine, Vm)
    assert vm.state is VmState.OFF


def test_the_tree_becomes_rows(world: World, engine: Engine) -> None:
    """Layers stand on each other, snapshots point at what they froze, and one of them is current."""
    host = record(engine, seen_host(seen_vm(WEB)))
    first, second = (world.snapshot(WEB, targets=()) for _ in range(2))
    tree = Tree(
        layers={"/a": layer("/a", None, 100), "/b": layer("/b", "/a", 20), "/c": layer("/c", "/b", 3)},
        heads={"vda": "/c"},
        frozen={first: {"vda": "/a"}, second: {"vda": "/b"}, DB: {"vda": "/a"}},
    )
    with transaction(engine) as session:
        record_vm(session, host, replace(seen_vm(WEB), tree=tree))
    layers = {row.path: row for row in all_of(engine, Layer)}
    assert layers["/c"].parent_id == layers["/b"].id
    assert [path for path, row in layers.items() if row.is_head] == ["/c"]
    assert {(row.snapshot_id, row.layer_id) for row in all_of(engine, SnapshotLayer)} == {
        (first, layers["/a"].id),
        (second, layers["/b"].id),
    }
    assert [(world.snapshot_row(s).current, world.snapshot_row(s).size_bytes) for s in (first, second)] == [
        (False, 100),
        (True, 20),
    ]
    assert world.snapshot_row(second).parent_id == first


def test_current_moves_and_merged_layers_leave_their_rows(world: World, engine: Engine) -> None:
    """After a revert the other snapshot is current; a snapshot follows its layer into the one that took it up."""
    host = record(engine, seen_host(seen_vm(WEB)))
    first, second = (world.snapshot(WEB, targets=()) for _ in range(2))
    layers = {
        "/a": layer("/a", None),
        "/b": layer("/b", "/a"),
        "/c": layer("/c", "/b"),
        "/d": layer("/d", "/a"),
    }
    frozen = {first: {"vda": "/a"}, second: {"vda": "/b"}}
    before = Tree(layers, {"vda": "/c"}, frozen)
    reverted = Tree(layers, {"vda": "/d"}, frozen)
    merged = Tree({"/a": layer("/a", None, 30)}, {"vda": "/a"}, {second: {"vda": "/a"}})
    for tree, current in ((before, second), (reverted, first), (before, second)):
        with transaction(engine) as session:
            record_vm(session, host, replace(seen_vm(WEB), tree=tree))
        assert [s for s in (first, second) if world.snapshot_row(s).current] == [current]
    with transaction(engine) as session:
        record_vm(session, host, replace(seen_vm(WEB), tree=merged))
    assert [row.path for row in all_of(engine, Layer)] == ["/a"]
    assert {row.path for row in all_of(engine, SnapshotLayer) if row.snapshot_id == second} == {"/a"}


def test_the_end_of_a_job_records_what_was_seen(world: World, engine: Engine, journal: Journal) -> None:
    """A finished creation makes its snapshot current and gives it its size, in the job's last transaction."""
    record(engine, seen_host(seen_vm(WEB)))
    job = world.job(WEB)
    attempt = journal.claim(job, worker="w", lease_s=30)
    assert attempt is not None
    assert attempt.snapshot_id is not None
    tree = Tree(
        {"/a": layer("/a", None, 77), "/b": layer("/b", "/a")},
        {"vda": "/b"},
        {attempt.snapshot_id: {"vda": "/a"}},
    )
    attempt.succeed({}, replace(seen_vm(WEB), tree=tree))
    row = world.snapshot_row(attempt.snapshot_id)
    assert (row.state, row.current, row.size_bytes) == (SnapshotState.READY, True, 77)


def test_a_failed_deletion_is_ready_only_if_it_is_still_whole(
    world: World, engine: Engine, journal: Journal
) -> None:
    """Its references were being dropped: with its manifest on the host it is ready again, without it is in error."""
    record(engine, seen_host(seen_vm(WEB)))
    for whole, state in ((True, SnapshotState.READY), (False, SnapshotState.ERROR)):
        job = world.job(WEB, "delete_snapshot")
        attempt = journal.claim(job, worker="w", lease_s=30)
        assert attempt is not None
        assert attempt.snapshot_id is not None
        attempt.start("drop_reference")
        frozen = {attempt.snapshot_id: {"vda": "/a"}} if whole else {}
        tree = Tree({"/a": layer("/a", None), "/b": layer("/b", "/a")}, {"vda": "/b"}, frozen)
        attempt.fail({"code": "x", "detail": "why"}, replace(seen_vm(WEB), tree=tree))
        assert world.snapshot_row(attempt.snapshot_id).state is state


def test_a_heartbeat_keeps_a_host_alive_and_registers_one(world: World, engine: Engine) -> None:
    """A worker that has not looked yet is known by its heartbeat."""
    with transaction(engine) as session:
        first = heartbeat(session, "h9")
    with transaction(engine) as session:
        second = heartbeat(session, "h9")
    assert second > first
    assert world.events() == ["host.registered"]
    assert [host.last_seen_at for host in all_of(engine, Host)] == [second]


def test_one_vm_that_cannot_be_a_row_keeps_no_other_from_being_seen(world: World, engine: Engine) -> None:
    """A name that Postgres cannot hold, of a new VM or of a known one, leaves all others of the host recorded."""
    record(engine, seen_host(seen_vm(WEB, "web"), seen_vm(DB, "db")))
    for name in ("nul\x00", "half \ud800"):
        other = uuid4()
        record(
            engine, seen_host(seen_vm(uuid4(), name), seen_vm(DB, name), seen_vm(WEB, "web2"), seen_vm(other))
        )
        known = {vm.id: vm for vm in all_of(engine, Vm)}
        assert (known[WEB].name, known[DB].name, other in known) == ("web2", "db", True)
        assert not known[DB].gone
        record(engine, seen_host(seen_vm(WEB, "web"), seen_vm(DB, "db")))
    assert "vm.gone" in world.events()


def test_storage_has_one_name_for_all_that_share_it(world: World, engine: Engine) -> None:
    """A device of two hosts is two storages, a filer that both have is one."""
    names = []
    for host, path in (
        ("h1", "local:/dev/sda"),
        ("h2", "local:/dev/sda"),
        ("h1", "net:f:/v"),
        ("h2", "net:f:/v"),
    ):
        vm = uuid4()
        volume = VolumeSeen(
            "vda", "/images/vda", "qcow2", "file", 1 << 30, 1 << 20, storage_id=path, total_bytes=1 << 40
        )
        with transaction(engine) as session:
            seen = VmSeen(vm, f"web-{vm}", VmState.RUNNING, "", 1 << 29, (volume,))
            record_host(session, HostSeen(host, "9.0.0", "7.2.0", 8, 1 << 33, (seen,)))
        with transaction(engine) as session:
            row = session.scalars(select(Volume).where(Volume.vm_id == vm)).one()
            names.append(row.storage_id)
            assert row.total_bytes == 1 << 40
    assert len(set(names)) == 3
    assert names[2] == names[3] == "net:f:/v"
