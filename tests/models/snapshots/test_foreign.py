"""Snapshots that other tools made become rows, are kept true, and are never in the way of ours."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select

from models.hosts.machine import record_host
from models.jobs.journal import Journal
from models.session import transaction
from models.snapshots.tables import Snapshot, SnapshotLayer
from stillframe.layers import Layer as LayerSeen
from stillframe.layers import Tree
from stillframe.seen import ForeignSeen, HostSeen, VmSeen
from stillframe.states import SnapshotOrigin, SnapshotState, SnapshotType
from tests.world import World, seen_vm

pytestmark = pytest.mark.postgres

WEB = UUID("11111111-1111-4111-8111-111111111111")


def foreign(name: str = "virsh1", **more: object) -> ForeignSeen:
    """An internal snapshot with RAM, as a worker sees it."""
    known = {
        "kind": "internal",
        "with_memory": True,
        "state": "running",
        "created_at": 1_700_000_000,
        "volumes": {"vda": "/images/vda"},
    }
    return ForeignSeen(name=name, **{**known, **more})  # type: ignore[arg-type]


def look(engine: Engine, *found: ForeignSeen, tree: Tree | None = None, unreadable: bool = False) -> None:
    """A worker looks at its host."""
    vm: VmSeen = replace(seen_vm(WEB), foreign=None if unreadable else found, tree=tree)
    with transaction(engine) as session:
        record_host(session, HostSeen("h1", "9.0.0", "7.2.0", 8, 1 << 33, (vm,)))


def rows(engine: Engine) -> dict[str, Snapshot]:
    """The foreign snapshots that are not deleted, by name."""
    with transaction(engine) as session:
        found = session.scalars(
            select(Snapshot).where(
                Snapshot.origin == SnapshotOrigin.FOREIGN, Snapshot.state != SnapshotState.DELETED
            )
        )
        return {row.name: row for row in found}


def test_a_foreign_snapshot_becomes_a_row_once(world: World, engine: Engine) -> None:
    """It is shown ready, of the type it is, with its images and what else is known; looking again changes nothing."""
    one = foreign(
        "any name: 한글/..", description="before the upgrade", memory_bytes=5, cannot={"revert": "no"}
    )
    look(engine, one)
    (row,) = rows(engine).values()
    assert (row.name, row.state, row.type, row.consistency) == (one.name, "ready", "memory", None)
    assert (row.description, row.memory_bytes, row.folder) == ("before the upgrade", 5, None)
    assert row.created_at.timestamp() == one.created_at
    assert row.foreign is not None
    assert row.foreign["cannot"] == {"revert": "no"}
    with transaction(engine) as session:
        (volume,) = session.scalars(select(SnapshotLayer).where(SnapshotLayer.snapshot_id == row.id))
    assert (volume.target, volume.path, volume.virtual_bytes) == ("vda", "/images/vda", 1 << 30)
    before = world.events()
    look(engine, one)
    assert world.events() == before
    assert before[-1] == "snapshot.found"
    assert rows(engine)[one.name].id == row.id


@pytest.mark.parametrize(
    ("more", "type_"),
    [
        ({"state": "paused"}, SnapshotType.MEMORY),
        ({"state": "shutoff", "with_memory": False}, SnapshotType.COLD),
        ({"state": "disk-snapshot", "with_memory": False, "kind": "external"}, SnapshotType.HOT),
        ({"state": "unknown", "with_memory": False, "known_to_libvirt": False}, SnapshotType.COLD),
    ],
)
def test_its_type_is_what_it_holds(engine: Engine, more: dict[str, Any], type_: SnapshotType) -> None:
    """With RAM memory, else hot or cold by the VM's state then."""
    look(engine, foreign(**more))
    assert rows(engine)["virsh1"].type is type_


def test_one_that_is_gone_is_deleted_and_told(world: World, engine: Engine) -> None:
    """What another tool deleted is deleted by the next look; what could not be looked at stays."""
    look(engine, foreign("a"), foreign("b", parent="a", current=True))
    assert rows(engine)["b"].parent_id == rows(engine)["a"].id
    assert rows(engine)["b"].current
    look(engine, unreadable=True)
    assert set(rows(engine)) == {"a", "b"}
    look(engine, foreign("a", current=True))
    assert set(rows(engine)) == {"a"}
    assert rows(engine)["a"].current
    told = world.last_event()
    assert (told.type, told.actor) == ("snapshot.deleted", "host")


def test_one_that_comes_back_is_another(engine: Engine) -> None:
    """A snapshot whose record libvirt loses and gets again is deleted and found again, as often as that happens."""
    ids = set()
    for _ in range(3):
        look(engine, foreign())
        ids.add(rows(engine)["virsh1"].id)
        look(engine)
        assert rows(engine) == {}
    assert len(ids) == 3


def test_names_and_marks_of_ours_are_not_disturbed(world: World, engine: Engine) -> None:
    """One of ours may have the same name, and stays the current one, whatever libvirt calls current."""
    look(engine)
    ours = world.snapshot(WEB, "same")
    paths = {
        path: LayerSeen(path, "vda", "qcow2", below, 1, 1) for path, below in (("/a", None), ("/b", "/a"))
    }
    tree = Tree(layers=paths, heads={"vda": "/b"}, frozen={ours: {"vda": "/a"}})
    for _ in range(2):
        look(engine, foreign("same", current=True), tree=tree)
        assert world.snapshot_row(ours).current
        assert not rows(engine)["same"].current
    look(engine, foreign("same", current=True), tree=replace(tree, heads={"vda": "/a"}))
    assert not world.snapshot_row(ours).current
    look(engine, foreign("same", current=True))
    assert rows(engine)["same"].current


def test_names_that_no_index_takes_are_cut_for_showing(engine: Engine) -> None:
    """A name of any length is kept whole beside a shorter one that is shown, and two like it are one row each look."""
    long = foreign("x" * 60_000)
    for _ in range(2):
        look(engine, long, long)
    (row,) = rows(engine).values()
    assert len(row.name) == 255
    assert row.foreign is not None
    assert row.foreign["name"] == long.name


def test_a_job_gets_what_is_known_of_it(world: World, engine: Engine) -> None:
    """Who takes up a job about it hears its name in libvirt; while it is held, a look does not end it."""
    look(engine, foreign())
    row = rows(engine)["virsh1"]
    job = world.job(WEB, "delete_snapshot", snapshot=row.id)
    attempt = Journal(engine).claim(job, worker="h1/boot/1/2", lease_s=30)
    assert attempt is not None
    assert attempt.foreign is not None
    assert attempt.foreign["name"] == "virsh1"
    look(engine)
    assert world.snapshot_row(row.id).state is SnapshotState.DELETING
    attempt.succeed({"freed_bytes": 0}, replace(seen_vm(WEB), foreign=()))
    assert world.snapshot_row(row.id).state is SnapshotState.DELETED


def test_a_deletion_that_failed_leaves_it_as_it_is_seen(world: World, engine: Engine) -> None:
    """Still there it is ready again; gone all the same it is deleted."""
    for found, state in (((foreign(),), SnapshotState.READY), ((), SnapshotState.DELETED)):
        look(engine, foreign())
        row = rows(engine)["virsh1"]
        job = world.job(WEB, "delete_snapshot", snapshot=row.id)
        attempt = Journal(engine).claim(job, worker="h1/boot/1/2", lease_s=30)
        assert attempt is not None
        attempt.turn_back({"code": "x", "detail": "x"})
        seen = replace(seen_vm(WEB), foreign=found, tree=Tree({}, {}, {}))
        attempt.fail({"code": "x", "detail": "x"}, seen, cancelled=False)
        assert world.snapshot_row(row.id).state is state


@pytest.mark.parametrize("begun", [False, True])
def test_a_deletion_that_failed_unseen_leaves_no_ready_one_that_may_be_gone(
    begun: bool, world: World, engine: Engine
) -> None:
    """Nobody could look at the VM afterwards: once it was being removed it is in error, and before that it is whole."""
    look(engine, foreign())
    row = rows(engine)["virsh1"]
    job = world.job(WEB, "delete_snapshot", snapshot=row.id)
    attempt = Journal(engine).claim(job, worker="h1/boot/1/2", lease_s=30)
    assert attempt is not None
    attempt.start("check_snapshot")
    if begun:
        attempt.finish("check_snapshot", {"there": True}, "remove_internal")
    attempt.fail({"code": "x", "detail": "x"}, None, cancelled=False)
    assert world.snapshot_row(row.id).state is (SnapshotState.ERROR if begun else SnapshotState.READY)
