"""Quotas."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from celery import Celery
from sqlalchemy import update

from models.jobs.journal import Journal
from models.session import transaction
from models.snapshots.tables import Snapshot, VolumeSnapshot
from models.tenants.actor import ADMIN, Actor
from models.tenants.giving import assign_vm
from models.tenants.keep import add_account, add_domain, limit_account, limit_domain
from models.tenants.keys import add_key
from models.tenants.named import find_account
from models.tenants.tables import Account
from models.vms.tables import Vm
from stillframe.errors import BeyondOwn, NotFound, QuotaExceeded, VmHasJobs, VmNotFound
from stillframe.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    DeleteVolume,
    ExtractVolume,
    PruneSnapshots,
    RevertSnapshot,
)
from stillframe.rights import Right, Role
from stillframe.states import SnapshotState
from tasks.producer import Producer
from tests.world import World

pytestmark = pytest.mark.postgres


@pytest.fixture
def producer(world: World) -> Producer:
    return Producer(world.engine, Celery(broker="redis://127.0.0.1:1/0"))


def limit(world: World, account: str, **limits: int | None) -> None:
    with transaction(world.engine) as session:
        limit_account(session, ADMIN, account, limits)


def taken(producer: Producer, vms: list[UUID], actor: Actor = ADMIN) -> list[bool]:
    """Whether each was accepted; all are asked for at the same moment."""
    ready = threading.Barrier(len(vms))

    def ask(vm: UUID) -> bool:
        ready.wait()
        try:
            producer.submit(CreateSnapshot(vm=str(vm)), actor)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(len(vms)) as pool:
        return list(pool.map(ask, vms))


@pytest.mark.parametrize("what", ["snapshots_a_vm", "snapshots", "jobs"])
def test_two_at_once_cannot_both_take_the_last(world: World, producer: Producer, what: str) -> None:
    """Of twelve who ask at the same moment for the last five, five get it, and the rows say five."""
    owner = world.account("acme", "/a")
    limit(world, "acme", **{f"max_{what}": 5})
    vms = (
        [world.vm(account=owner)] * 12
        if what == "snapshots_a_vm"
        else [world.vm(f"vm{number}", account=owner) for number in range(12)]
    )

    assert sum(taken(producer, vms)) == 5
    assert world.count(Snapshot) == 5


def test_a_domain_counts_all_below_it(world: World, producer: Producer) -> None:
    """Accounts of several domains ask at once: together they get what their common domain may have."""
    owners = [world.account(f"acme{number}", f"/a/d{number % 3}") for number in range(6)]
    vms = [world.vm(f"vm{number}", account=owners[number % 6]) for number in range(12)]
    with transaction(world.engine) as session:
        limit_domain(session, ADMIN, "/a", {"max_snapshots": 7})

    assert sum(taken(producer, vms)) == 7


def test_what_failed_counts_for_nothing(world: World, producer: Producer) -> None:
    """Rows in error and deleted ones leave room; the refusal has the figures; a plan tells it beforehand."""
    owner = world.account("acme", "/a")
    vm = world.vm(account=owner)
    for state in (SnapshotState.ERROR, SnapshotState.DELETED, SnapshotState.READY):
        world.snapshot(vm, state=state)
    limit(world, "acme", max_snapshots=2)
    producer.submit(CreateSnapshot(vm=str(vm)), ADMIN)

    with pytest.raises(QuotaExceeded) as refused:
        producer.submit(CreateSnapshot(vm=str(vm)), ADMIN)
    assert "account acme may have 2 snapshots, and has 2" in refused.value.detail
    refusals = producer.plan(CreateSnapshot(vm=str(vm)), ADMIN).refusals
    assert "quota.exceeded" in [error.code for _, error in refusals]
    limit(world, "acme", max_snapshots=None)
    producer.submit(CreateSnapshot(vm=str(vm)), ADMIN)


def test_bytes_are_counted(world: World, producer: Producer) -> None:
    """What is there fills it; raised, there is room again. People read it as a size, programs as a number."""
    vm = world.vm(account=world.account("acme", "/a"))
    with transaction(world.engine) as session:
        session.get_one(Snapshot, world.snapshot(vm)).size_bytes = 3 << 30
    limit(world, "acme", max_bytes=3 << 30)

    with pytest.raises(QuotaExceeded) as refused:
        producer.submit(CreateSnapshot(vm=str(vm)), ADMIN)
    assert "acme may have 3.0 GiB of snapshots and volumes, and has 3.0 GiB" in refused.value.detail
    assert json.loads(json.dumps(refused.value.evidence))["used"] == 3 << 30
    limit(world, "acme", max_bytes=(3 << 30) + 1)
    producer.submit(CreateSnapshot(vm=str(vm)), ADMIN)


def test_a_vm_is_given_with_its_snapshots(world: World, producer: Producer) -> None:
    """Not while it has a job, not where there is no room; afterwards who had it does not see it any more."""
    before, after = world.account("acme", "/a"), world.account("other", "/b")
    vm = world.vm(account=before)
    world.snapshot(vm)
    job = world.job(vm)
    limit(world, "other", max_snapshots=1)

    def give() -> None:
        with transaction(world.engine) as session:
            assign_vm(session, ADMIN, str(vm), "other")

    with pytest.raises(VmHasJobs):
        give()
    Journal(world.engine).request_cancel(job, "kim")
    world.snapshot(vm)
    with pytest.raises(QuotaExceeded):
        give()
    limit(world, "other", max_snapshots=3)
    give()
    with transaction(world.engine) as session:
        owners = {row.account_id for row in session.query(Snapshot)}
        assert owners == {after}
        assert session.get_one(Account, after).name == "other"
    with pytest.raises(VmNotFound):
        producer.submit(CreateSnapshot(vm=str(vm)), Actor("acme", before, Role.USER, "/a"))


def test_a_vm_given_while_snapshots_are_asked_for(world: World, producer: Producer) -> None:
    """Whoever comes first: a snapshot belongs to whoever has its VM, always."""
    owners = [world.account("acme", "/a"), world.account("other", "/b")]
    for number in range(10):
        vm = world.vm(f"vm{number}", account=owners[0])
        ready = threading.Barrier(2)

        def give(vm: UUID = vm, ready: threading.Barrier = ready) -> None:
            ready.wait()
            with transaction(world.engine) as session:
                assign_vm(session, ADMIN, str(vm), "other")

        def ask(vm: UUID = vm, ready: threading.Barrier = ready) -> None:
            ready.wait()
            producer.submit(CreateSnapshot(vm=str(vm)), ADMIN)

        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(give), pool.submit(ask)]
        assert done[1].exception() is None
        assert done[0].exception() is None or isinstance(done[0].exception(), VmHasJobs)
    with transaction(world.engine) as session:
        assert session.query(Snapshot).count() == 10
        for row in session.query(Snapshot):
            assert row.account_id == session.get_one(Vm, row.vm_id).account_id


def test_nobody_gives_more_than_they_have(world: World) -> None:
    """A domain admin makes domains, accounts and keys below its own, with rights that it has, and no limits for itself."""
    acme = Actor("acme", world.account("acme", "/a"), Role.DOMAIN, "/a")
    with transaction(world.engine) as session:
        add_domain(session, acme, "dev", "/a")
        add_account(session, acme, "dev", "/a/dev")
        add_key(session, acme, "dev", Role.USER, "k")
        limit_domain(session, acme, "/a/dev", {"max_snapshots": 3})
        narrow = replace(acme, scopes=frozenset({Right.ACCOUNT, Right.CREATE}))
        add_key(session, narrow, "dev", Role.USER, "k", scopes=[Right.CREATE])
        soon = datetime.now(UTC) + timedelta(hours=1)
        brief = replace(acme, until=soon)
        add_key(session, brief, "dev", Role.USER, "k", expires_at=soon)
        for refused in (
            lambda: add_key(session, brief, "dev", Role.USER, "k"),
            lambda: add_key(session, brief, "dev", Role.USER, "k", expires_at=soon + timedelta(seconds=1)),
            lambda: add_key(session, acme, "dev", Role.ROOT, "k"),
            lambda: add_key(session, narrow, "dev", Role.USER, "k"),
            lambda: limit_domain(session, acme, "/a", {"max_snapshots": None}),
        ):
            with pytest.raises(BeyondOwn):
                refused()


def test_the_quotas_of_others_are_not_told(world: World, producer: Producer) -> None:
    """Who asks about what is not theirs hears that there is none, however full its owner is."""
    vm = world.vm(account=world.account("acme", "/a"))
    snapshot = str(world.snapshot(vm))
    extracted = str(world.row(world.job(vm, "extract_volume")).volume_snapshot_id)
    with transaction(world.engine) as session:
        session.execute(update(VolumeSnapshot).values(account_id=world.account("acme", "/a")))
    limit(world, "acme", max_jobs=0, max_bytes=0)
    mallory = Actor("mallory", world.account("mallory", "/b"), Role.USER, "/b")

    for operation in (
        DeleteSnapshot(snapshot_id=snapshot),
        RevertSnapshot(snapshot_id=snapshot),
        ExtractVolume(snapshot_id=snapshot, target="vda"),
        PruneSnapshots(snapshot_ids=(snapshot,)),
        DeleteVolume(volume_snapshot_id=extracted),
    ):
        with pytest.raises(NotFound):
            producer.submit(operation, mallory)


def test_an_id_means_the_account_that_has_it(world: World) -> None:
    """An account that somebody named with another's id is not taken for it."""
    meant = world.account("acme", "/a")
    world.account(str(meant), "/b")
    with transaction(world.engine) as session:
        session.execute(
            update(Account).where(Account.id == meant).values(name="acme")
        )  # now the last on disk
        assert find_account(session, ADMIN, str(meant))[0].id == meant
