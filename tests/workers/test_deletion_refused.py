"""A deletion that ends before it touched anything, with real rows."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from hypervisor.fake import FakeHost
from hypervisor.fake_world import FakeFile
from hypervisor.port import Source
from models.tenants.actor import ADMIN
from stillframe.operations import DeleteSnapshot
from stillframe.states import JobState, SnapshotState
from tasks.app import make_app
from tasks.producer import Producer
from tests.given import given
from tests.workers.house import House
from tests.workers.test_moves import Site, asked
from tests.world import World
from workers import manifests

pytestmark = pytest.mark.postgres


def test_a_snapshot_in_a_former_home_is_as_ready_as_before(
    engine: Engine, world: World, tmp_path: Path
) -> None:
    """The VM's disk moved to another storage and its snapshot stayed: a deletion that is refused leaves it ready."""
    site = Site(engine, str(tmp_path))
    machine = site.machines["h1"]
    guest = machine.create_vm("web")
    site.look("h1")
    job = asked(site, guest.uuid)
    site.run("h1", job)
    snapshot = world.row(job).snapshot_id

    vm = FakeHost(machine, "h1").vm(guest.uuid)
    guest.shut_down()
    with machine.world() as inside:
        content = inside.reads_as(vm.facts().volumes[0].path)
        inside.files["/new/vda.qcow2"] = FakeFile(
            "image", format="qcow2", virtual_bytes=64 << 20, content=content
        )
    vm.define(vm.definition(), {"vda": Source("/new/vda.qcow2", "qcow2")})
    guest.boot()
    site.look("h1")

    producer = Producer(engine, make_app("redis://127.0.0.1:1/0"))
    deletion = producer.submit(DeleteSnapshot(snapshot_id=str(snapshot)), ADMIN).job_id
    guest.shut_down()
    guest.change(managed_save=True)
    site.run("h1", deletion)
    assert world.row(deletion).state is JobState.FAILED
    row = world.snapshot_row(snapshot)
    manifest = manifests.read(FakeHost(machine, "h1").images, row.folder or "")
    assert manifest is not None
    assert manifest.state == "ready"
    assert (row.state, row.error) == (SnapshotState.READY, None)


@pytest.mark.parametrize("gone", ["its folder", "all of its storage"])
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_ready_snapshot_whose_storage_is_away_is_not_deleted(
    house: House, world: World, comes_back: bool, gone: str
) -> None:
    """The VM stands elsewhere by now, so nothing else is amiss. It goes once it is back, or once a rescan called it lost."""
    snapshot = house.take("s1")
    house.rescan(adopt=True)
    folder = house.world.folder(snapshot) or ""
    vm = house.world.host.vm(house.world.guest.uuid)
    house.world.guest.shut_down()
    with house.world.machine.world() as inside:
        content = inside.reads_as(vm.facts().volumes[0].path)
        inside.files["/new/vda.qcow2"] = FakeFile("image", format="qcow2", virtual_bytes=1, content=content)
    vm.define(vm.definition(), {"vda": Source("/new/vda.qcow2", "qcow2")})
    away = folder if gone == "its folder" else "/images/vm1"
    house.world.host.images.rename(away, "/elsewhere")
    house.drift()

    job = house.ask_to_delete(snapshot)
    assert house.run(job) is JobState.FAILED
    assert given(world.row(job).error)["code"] == "vm.manifest_missing"
    row = world.snapshot_row(snapshot)
    assert (row.state, row.error) == (SnapshotState.READY, None)

    if comes_back:
        house.world.host.images.rename("/elsewhere", away)
    else:
        house.rescan(repair=True)
    house.delete(snapshot)
    assert world.snapshot_row(snapshot).state is SnapshotState.DELETED
    assert not house.world.host.images.exists(manifests.path_in(folder))
