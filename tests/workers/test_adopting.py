"""What a rescan found lost, and finds again: it comes back, whatever happened to its row meanwhile."""

from uuid import UUID

import pytest

from hypervisor.fake_images import FakeImages
from models.hosts.rescans import ask
from models.jobs.journal import Journal
from models.jobs.recovery import recover
from models.session import transaction
from models.snapshots.tables import VolumeSnapshot
from models.tenants.actor import ADMIN
from stillframe.errors import HypervisorFailed
from stillframe.findings import Kind
from stillframe.recovering import Way
from stillframe.states import JobState, SnapshotState, VolumeSnapshotState
from tests.workers.fake_world import ok
from tests.workers.house import House
from tests.world import World as RowWorld
from workers.reconcile import rows

pytestmark = pytest.mark.postgres


def test_a_lost_snapshot_whose_name_was_taken_comes_back(house: House) -> None:
    """It was lost, another has its name by now, its folder is there again: it is ready, with a piece of its id."""
    old = house.take("nightly")
    house.rescan(adopt=True)
    folder = house.lose(old)
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
    """A worker claims it between the rescan's look and its change of the row: the deletion goes on to its end.

    That is a refusal if the folder is still away.
    """
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
        jobs.append(house.ask_to_delete(id_))
        assert Journal(house.engine).claim(jobs[0], worker="h1/boot/1/1", lease_s=30, host="h1")
        return real(*args)  # type: ignore[arg-type]

    with transaction(house.engine) as session:
        ask(session, "h1", None, ADMIN, adopt=what == "adopt", repair=what == "repair")
    with monkeypatch.context() as patched:
        patched.setattr("workers.rescans.rows.put_right", put_right)
        assert house.rescans.run_next()
    assert house.snapshots()[id_].state is SnapshotState.DELETING
    world.lapse_now(jobs[0])
    there = what == "adopt"
    assert house.run(jobs[0]) is (JobState.SUCCEEDED if there else JobState.FAILED)
    assert house.snapshots()[id_].state is (SnapshotState.DELETED if there else SnapshotState.READY)


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("names", [("s1", "s2"), ("s1", "s2", "s3")])
def test_a_lost_snapshot_that_was_merged_over_stays_lost(
    house: House, names: tuple[str, ...], is_told: bool
) -> None:
    """Its layer is the VM's head by now, or another's, by a job that is in the rows or not: it can only be deleted."""
    for name in names:
        house.take(name)
    house.rescan(adopt=True)
    lost = house.world.ids["s1"]
    folder = house.lose(lost)
    if is_told:
        house.delete(house.world.ids["s2"])
    else:
        ok(house.world.delete("s2").to_the_end())
    _stays_lost(house, lost, folder)


def test_a_lost_snapshot_that_two_branches_were_merged_over_stays_lost(house: House) -> None:
    """What its layer holds now is nobody's snapshot and no head: that it was merged into, only the jobs tell."""
    for name in ("s1", "s2", "s3"):
        house.take(name)
    ok(house.world.revert("s2").to_the_end())
    house.rescan(adopt=True)
    lost = house.world.ids["s1"]
    folder = house.lose(lost)
    house.delete(house.world.ids["s2"])
    assert house.world.tree().is_idle("/images/vm1/vda.qcow2")
    _stays_lost(house, lost, folder)


def _stays_lost(house: House, lost: UUID, folder: str) -> None:
    house.world.host.images.rename("/elsewhere", folder)
    others = set(house.world.known(lost))
    found = [one for one in house.rescan(adopt=True, repair=True) if one["subject"] == str(lost)]
    assert [one["kind"] for one in found] == [Kind.SNAPSHOT_DAMAGED]
    assert house.snapshots()[lost].state is SnapshotState.ERROR
    house.delete(lost)
    assert house.snapshots()[lost].state is SnapshotState.DELETED
    assert set(house.world.known()) == others
    assert Kind.HEAD_DRIFTED not in house.drift()


def test_a_lost_snapshot_comes_back_though_others_were_merged(house: House) -> None:
    """Two branches stand on its layer, and a deletion merged in one of them: its own layer is as it was."""
    house.take("s1")
    house.take("s2")
    ok(house.world.revert("s1").to_the_end())
    for name in ("s3", "s4"):
        house.take(name)
    house.rescan(adopt=True)
    lost, counter = house.world.ids["s1"], house.world.counter_in("s1")
    folder = house.lose(lost)
    house.delete(house.world.ids["s3"])
    house.world.host.images.rename("/elsewhere", folder)
    house.rescan(adopt=True)
    assert (house.snapshots()[lost].state, house.world.counter_in("s1")) == (SnapshotState.READY, counter)


def test_a_lost_snapshot_whose_layer_was_merged_away_stays_lost(house: House) -> None:
    """The one below it was deleted meanwhile, and all that was idle went down with it."""
    for name in ("s1", "s2", "s3"):
        house.take(name)
    house.rescan(adopt=True)
    lost = house.world.ids["s2"]
    folder = house.lose(lost)
    house.delete(house.world.ids["s1"])
    house.world.host.images.rename("/elsewhere", folder)
    house.rescan(adopt=True)
    assert house.snapshots()[lost].state is SnapshotState.ERROR
    house.delete(lost)
    assert house.drift() == []


def test_a_lost_snapshot_over_what_is_half_merged_stays_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion began to merge through its layer into what that stands on, and failed in the middle."""
    for name in ("s1", "s2", "s3"):
        house.take(name)
    house.world.guest.crash()
    house.rescan(adopt=True)
    first, lost = house.world.ids["s1"], house.world.ids["s2"]
    folder = house.lose(lost)
    with monkeypatch.context() as patched:

        def commit(_: FakeImages, top: str, *__: object) -> None:
            raise HypervisorFailed(detail=f"no room in the middle of {top}")

        patched.setattr(FakeImages, "commit", commit)
        job = house.ask_to_delete(first)
        assert house.run(job) is JobState.STUCK
    house.world.host.images.rename("/elsewhere", folder)
    house.rescan(adopt=True)
    assert house.snapshots()[lost].state is SnapshotState.ERROR
    recover(house.engine, job, Way.RESUME, "kim")
    assert house.run(job) is JobState.SUCCEEDED
    house.delete(lost)
    assert house.drift() == []
