"""What a rescan found lost, and finds again: it comes back, whatever happened to its row meanwhile."""

from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine

from hypervisor.fake import FakeHost
from models.hosts.rescans import ask
from models.jobs.journal import Journal
from models.session import transaction
from models.snapshots.tables import VolumeSnapshot
from models.tenants.actor import ADMIN
from stillframe.operations import DeleteSnapshot
from stillframe.states import JobState, SnapshotState, VolumeSnapshotState
from tasks.app import make_app
from tasks.producer import Producer
from tests.workers.fake_world import ok
from tests.workers.test_rescans import House
from tests.world import World as RowWorld
from workers.reconcile import rows
from workers.run_job import Hands, run_job

pytestmark = pytest.mark.postgres


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> House:
    return House(engine, tmp_path)


def test_a_lost_snapshot_whose_name_was_taken_comes_back(house: House) -> None:
    """It was lost, another has its name by now, its folder is there again: it is ready, with a piece of its id."""
    old = house.take("nightly")
    house.rescan(adopt=True)
    folder = house.world.folder(old) or ""
    house.world.host.images.rename(folder, "/elsewhere")
    house.rescan(repair=True)
    new = house.take("nightly")
    house.rescan(adopt=True)
    house.world.host.images.rename("/elsewhere", folder)
    house.rescan(adopt=True)
    found = house.snapshots()
    assert {found[id_].state for id_ in (old, new)} == {SnapshotState.READY}
    assert (found[new].name, found[old].name) == ("nightly", f"nightly-{old.hex[-6:]}")


def test_a_lost_volume_whose_name_was_taken_comes_back(house: House) -> None:
    """Another volume snapshot of the account got its name while its image was away."""
    house.take("s1")
    old, new = house.world.extract("s1"), house.world.extract("s1")
    for job in (old, new):
        ok(job.to_the_end())
    house.rescan(adopt=True)
    path = old.outputs["sum_up"]["path"]
    house.world.host.images.rename(path, "/elsewhere")
    house.rescan(repair=True)
    with transaction(house.engine) as session:
        lost = session.get_one(VolumeSnapshot, old.volume_snapshot)
        session.get_one(VolumeSnapshot, new.volume_snapshot).name = name = lost.name
    house.world.host.images.rename("/elsewhere", path)
    house.rescan(adopt=True)
    with transaction(house.engine) as session:
        row = session.get_one(VolumeSnapshot, old.volume_snapshot)
        assert row.state is VolumeSnapshotState.READY
        assert row.name == f"{name}-{row.id.hex[-6:]}"


@pytest.mark.parametrize("what", ["adopt", "repair"])
def test_a_snapshot_whose_deletion_begins_in_a_rescan_is_left_to_it(
    house: House, world: RowWorld, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A worker claims it between the rescan's look and its change of the row: the deletion goes on to its end."""
    id_ = house.take("s1")
    house.rescan(adopt=True)
    folder = house.world.folder(id_) or ""
    images = house.world.host.images
    images.rename(folder, "/elsewhere")
    if what == "adopt":
        house.rescan(repair=True)
        images.rename("/elsewhere", folder)
    jobs: list[UUID] = []
    real = rows.put_right

    def put_right(*args: object) -> object:
        producer = Producer(house.engine, make_app("redis://127.0.0.1:1/0"))
        jobs.append(producer.submit(DeleteSnapshot(snapshot_id=str(id_)), ADMIN).job_id)
        assert Journal(house.engine).claim(jobs[0], worker="h1/boot/1/1", lease_s=30, host="h1")
        return real(*args)  # type: ignore[arg-type]

    with transaction(house.engine) as session:
        ask(session, "h1", None, ADMIN, adopt=what == "adopt", repair=what == "repair")
    with monkeypatch.context() as patched:
        patched.setattr("workers.rescans.rows.put_right", put_right)
        assert house.rescans.run_next()
    assert house.snapshots()[id_].state is SnapshotState.DELETING
    world.lapse_now(jobs[0])
    host = FakeHost(house.world.machine, "h1")
    run_job(jobs[0], Hands(house.settings, Journal(house.engine), lambda: host, lambda _: None))
    assert (world.row(jobs[0]).state, house.snapshots()[id_].state) == (
        JobState.SUCCEEDED,
        SnapshotState.DELETED,
    )
