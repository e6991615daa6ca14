"""A VM that is migrated while it has jobs, on two fake hosts that share their storage, with real rows.

Two libvirt daemons with one storage are more than the lab has; what libvirt says of a VM that is gone is in the contracts.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, func, select, update

from hypervisor.fake import FakeHost, FakeMachine
from models.hosts.machine import record_host
from models.hosts.tables import Host
from models.jobs.attempt import Attempt
from models.jobs.journal import Journal
from models.session import transaction
from models.snapshots.tables import SnapshotLayer
from models.tenants.actor import ADMIN
from models.vms.tables import Vm, VmTwin
from stillframe.findings import Finding, Kind
from stillframe.operations import CreateSnapshot
from stillframe.settings import Settings
from stillframe.states import JobState, SnapshotState, VmState
from tasks.app import make_app
from tasks.producer import Producer
from tests.world import World
from workers.reading import read_host
from workers.rescans import Rescans
from workers.run_job import Hands, run_job
from workers.watch_folder import Ward, WatchFolder, now

pytestmark = pytest.mark.postgres

FOLDER = "/images"


class Site:
    """Two hypervisors on one storage, as their keepers and workers see them."""

    def __init__(self, engine: Engine, locks: str) -> None:
        self.engine = engine
        self.machines = {name: FakeMachine() for name in ("h1", "h2")}
        with self.machines["h1"].world() as one, self.machines["h2"].world() as other:
            other.files = one.files
        self.locks, self.watch = locks, f"{locks}/watch"

    def look(self, host: str) -> None:
        """The keeper's look."""
        with transaction(self.engine) as session:
            record_host(session, read_host(FakeHost(self.machines[host], host), FOLDER))

    def run(self, host: str, job: UUID) -> Attempt | None:
        """A message for the job arrives at a worker of this host."""
        settings = Settings(
            host=host,
            lock_folder=f"{self.locks}/{host}",
            watch_folder=self.watch,
            block_layers_folder=FOLDER,
        )
        fake = FakeHost(self.machines[host], host)
        return run_job(job, Hands(settings, Journal(self.engine), lambda: fake, lambda _: None))

    def rescan(self, host: str) -> list[Finding]:
        """What a worker that starts on this host finds."""
        settings = Settings(host=host, lock_folder=f"{self.locks}/{host}", block_layers_folder=FOLDER)
        return Rescans(settings, self.engine, lambda: FakeHost(self.machines[host], host)).first_look()

    def migrate(self, vm: UUID, *, leaves_definition: bool = False) -> None:
        """From h1 to h2, running."""
        with self.machines["h1"].world() as one, self.machines["h2"].world() as other:
            row = one.vms.pop(str(vm))
            other.vms[str(vm)] = row
            if leaves_definition:
                one.vms[str(vm)] = type(row)(row.uuid, row.definition, reason="migrated")

    def when(self, host: str, awaited: str, then: Callable[[], object]) -> None:
        """Lets something happen right after the next such call of a worker on that host."""
        machine = self.machines[host]
        real = machine._maybe_fail

        def maybe_fail(call: str, after: bool) -> None:
            real(call, after)
            if call == awaited and after:
                machine._maybe_fail = real  # type: ignore[method-assign]
                then()

        machine._maybe_fail = maybe_fail  # type: ignore[method-assign]


@pytest.fixture
def site(engine: Engine, tmp_path: Path) -> Site:
    return Site(engine, str(tmp_path))


def asked(site: Site, vm: UUID) -> UUID:
    """A hot snapshot of it, asked for while the broker is away."""
    producer = Producer(site.engine, make_app("redis://127.0.0.1:1/0"))
    return producer.submit(CreateSnapshot(vm=str(vm), name="s", type="hot"), ADMIN).job_id


@pytest.mark.parametrize("leaves_definition", [False, True])
def test_a_job_claimed_where_the_vm_was_runs_where_it_is(
    site: Site, world: World, leaves_definition: bool
) -> None:
    """The old host finds nothing, or a definition left behind, and touches nothing; the new one makes the snapshot."""
    guest = site.machines["h1"].create_vm("web")
    site.look("h1")
    job = asked(site, guest.uuid)
    site.migrate(guest.uuid, leaves_definition=leaves_definition)
    site.run("h1", job)
    assert world.row(job).state is JobState.QUEUED
    assert site.machines["h1"].calls == []
    site.look("h1")
    site.look("h2")
    done = site.run("h2", job)
    assert done is not None
    assert done.state is JobState.SUCCEEDED
    row = world.snapshot_row(world.row(job).snapshot_id)
    assert (row.state, row.host_id) == (SnapshotState.READY, world.host("h2"))


@pytest.mark.parametrize("begun", [False, True])
def test_what_was_left_of_a_vm_that_is_not_here_holds_nothing_up(
    site: Site, world: World, *, begun: bool
) -> None:
    """A pause that another job left would be ended first, and the VM has just moved: the job follows it all the same."""
    guest = site.machines["h1"].create_vm("web")
    site.look("h1")
    job = asked(site, guest.uuid)
    if begun:
        claimed = Journal(site.engine).claim(job, worker="h1/dead", lease_s=30)
        assert claimed is not None
        claimed.start("check_vm")
        world.lapse_now(job)
    left = Ward(
        vm=guest.uuid, name="web", job=uuid4(), kind="pause", began=now(), budget_s=10, holder="h1/dead"
    )
    WatchFolder(site.watch, "h1").write(left)
    site.migrate(guest.uuid)
    site.look("h2")
    site.run("h1", job)
    row = world.row(job)
    assert (row.state, row.worker, row.host_id) == (JobState.QUEUED, None, world.host("h2"))
    done = site.run("h2", job)
    assert done is not None
    assert done.state is JobState.SUCCEEDED


@pytest.mark.parametrize("leaves_definition", [False, True])
@pytest.mark.parametrize("seen_first", [False, True])
def test_a_job_half_done_is_carried_on_by_the_new_host(
    site: Site, world: World, seen_first: bool, leaves_definition: bool
) -> None:
    """The VM goes away between two steps: nothing is undone on the old host, and the new one goes on from there."""
    guest = site.machines["h1"].create_vm("web")
    site.look("h1")
    job = asked(site, guest.uuid)

    def away() -> None:
        site.migrate(guest.uuid, leaves_definition=leaves_definition)
        if seen_first:
            site.look("h2")

    site.when("h1", "images.create_layer", away)
    site.run("h1", job)
    row = world.row(job)
    assert (row.state, row.worker) == (JobState.RUNNING, None)
    before = {path for path in site.machines["h1"]._world.files if path.endswith(".qcow2")}
    assert len(before) == 2
    site.look("h1")
    site.look("h2")
    done = site.run("h2", job)
    assert done is not None
    assert done.state is JobState.SUCCEEDED
    assert {path for path in site.machines["h2"]._world.files if path.endswith(".qcow2")} == before
    assert world.row(job).attempt == 2
    assert "step.undone" not in world.events(job)


def test_a_job_that_turned_back_is_walked_back_where_the_vm_is(site: Site, world: World) -> None:
    """A cancel was asked for behind the cut, and the VM went away before the undo: the new host takes the layers away."""
    guest = site.machines["h1"].create_vm("web")
    guest.write("work", 1)
    site.look("h1")
    job = asked(site, guest.uuid)
    real = Attempt.turn_back

    def turn_back(self: Attempt, error: dict[str, Any]) -> None:
        real(self, error)
        site.migrate(guest.uuid, leaves_definition=True)

    site.when("h1", "cut", lambda: Journal(site.engine).request_cancel(job, "kim"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Attempt, "turn_back", turn_back)
        site.run("h1", job)
    assert world.row(job).state is JobState.UNDOING
    assert site.machines["h1"].calls == ["images.create_layer", "cut"]
    site.look("h2")
    done = site.run("h2", job)
    assert done is not None
    assert done.state is JobState.CANCELLED
    with site.machines["h2"].world() as there:
        assert [path for path in there.files if path.endswith(".qcow2")] == ["/images/web/vda.qcow2"]
        assert there.vms[str(guest.uuid)].state is VmState.RUNNING
    assert site.machines["h2"].read_back("/images/web/vda.qcow2") == {"work": 1}


def test_jobs_of_a_vm_that_runs_on_two_hosts_touch_neither(site: Site, world: World) -> None:
    """A copy with its uuid was started on h2: no host begins the job, a rescan of either says it, and one stop mends it."""
    guest = site.machines["h1"].create_vm("web")
    site.look("h1")
    job = asked(site, guest.uuid)
    with site.machines["h1"].world() as one, site.machines["h2"].world() as other:
        other.vms[str(guest.uuid)] = replace(one.vms[str(guest.uuid)])
    site.look("h2")
    with transaction(site.engine) as session:
        session.execute(update(VmTwin).values(since=VmTwin.since - timedelta(minutes=1)))
    site.look("h1")
    for host in ("h1", "h2"):
        site.look(host)
        assert site.run(host, job) is None
        (found,) = site.rescan(host)
        assert (found.kind, found.is_drift) == (Kind.VM_ON_TWO_HOSTS, True)
        assert "host h1 and, under the same uuid, on host h2" in found.detail
        assert site.machines[host].calls == []
    assert world.row(job).state is JobState.QUEUED
    FakeHost(site.machines["h2"], "h2").vm(guest.uuid).stop()
    site.look("h2")
    assert [one.kind for host in ("h1", "h2") for one in site.rescan(host)] == [Kind.VM_ELSEWHERE] * 2
    done = site.run("h1", job)
    assert done is not None
    assert done.state is JobState.SUCCEEDED


@pytest.mark.parametrize("how", ["the host is down", "its libvirtd hangs"])
def test_a_definition_that_was_left_takes_no_vm_whose_host_is_not_heard_for_a_while(
    site: Site, world: World, how: str
) -> None:
    """It is off on h1, and left on h2: it stays with h1, and a snapshot made meanwhile keeps what it froze."""
    guest = site.machines["h1"].create_vm("web")
    guest.shut_down()
    with site.machines["h1"].world() as one, site.machines["h2"].world() as other:
        other.vms[str(guest.uuid)] = replace(one.vms[str(guest.uuid)])
    for host in ("h1", "h2", "h1"):
        site.look(host)
    with transaction(site.engine) as session:
        past = timedelta(minutes=5)
        session.execute(update(Vm).values(seen_at=Vm.seen_at - past))
        if how == "the host is down":
            session.execute(update(Host).where(Host.name == "h1").values(last_seen_at=func.now() - past))
    for host in ("h2", "h1", "h2"):
        site.look(host)
    with transaction(site.engine) as session:
        assert session.get_one(Vm, guest.uuid).host_id == world.host("h1")

    producer = Producer(site.engine, make_app("redis://127.0.0.1:1/0"))
    job = producer.submit(CreateSnapshot(vm=str(guest.uuid), name="nightly"), ADMIN).job_id
    assert site.run("h1", job)
    with transaction(site.engine) as session:
        of = select(SnapshotLayer.path).where(SnapshotLayer.snapshot_id == world.row(job).snapshot_id)
        frozen = session.scalars(of).one()
    before = site.machines["h1"].read_back(frozen)
    guest.boot()
    guest.write("payroll", 1)
    assert site.machines["h1"].read_back(frozen) == before
