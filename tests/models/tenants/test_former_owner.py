"""What who had a VM once sees of it."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, update

from models.ids import new_id
from models.jobs.tables import Job
from models.moves import Told, tell
from models.policies.keep import add_policy
from models.policies.tables import PolicyVm
from models.queries import events, jobs, webhooks
from models.queries.paging import Wanted
from models.queries.policy_preview import preview
from models.session import transaction
from models.snapshots.tables import Snapshot, VolumeSnapshot
from models.tenants.actor import ADMIN, Actor
from models.tenants.giving import assign_vm
from models.vms.tables import Vm
from models.webhooks.keep import add_webhook
from stillframe.events import EventType
from stillframe.policies.as_json import policy_from_json
from stillframe.rights import Role
from stillframe.states import JobState, VolumeSnapshotState
from tasks.app import make_app
from tasks.extracting import prune_volumes
from tasks.producer import Producer
from tasks.pruning import prune
from tests.world import World

pytestmark = pytest.mark.postgres


def give(world: World, vm: UUID, heir: str) -> None:
    """Its jobs are over; it goes to another account, who calls everything otherwise."""
    with transaction(world.engine) as session:
        session.execute(update(Job).where(Job.vm_id == vm).values(state=JobState.SUCCEEDED))
        assign_vm(session, ADMIN, str(vm), heir)
    with transaction(world.engine) as session:
        session.execute(update(Vm).where(Vm.id == vm).values(name="secret-vm"))
        session.execute(update(Snapshot).where(Snapshot.vm_id == vm).values(name="secret-" + Snapshot.name))


def test_names_that_came_later_are_not_seen(world: World) -> None:
    """Old jobs and events say what was so then, or nothing; the new owner's words are in none of them."""
    owner, _ = world.account("acme", "/a"), world.account("heir", "/b")
    vm = world.vm("web", account=owner)
    snapshot = world.snapshot(vm, "s1")
    job = world.job(vm, "revert_snapshot", snapshot=snapshot)
    together = world.prune(vm, world.snapshot(vm, "s2"))
    with transaction(world.engine) as session:
        session.get_one(Job, together).account_id = owner
        tell(session, Told(EventType.VM_SEEN, "h1"), vm=vm, snapshot=snapshot)
        tell(session, Told(EventType.JOB_QUEUED, "acme"), vm=vm, job=job, snapshot=snapshot)
    own = Actor("acme", owner, Role.USER, "/a")

    def seen(actor: Actor) -> str:
        with world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            told = events.events(connection, actor, events.Filters(), Wanted())["items"]
            asked = jobs.jobs(connection, actor, jobs.Filters(), Wanted())["items"]
            return str([told, asked, [jobs.job(connection, actor, one["id"]) for one in asked]])

    before = seen(own)
    assert "'web'" in before
    assert "'s1'" in before
    assert "'s2'" in before
    give(world, vm, "heir")
    after = seen(own)
    assert "secret" not in after
    assert "'web'" in after  # as the job knew it
    assert str(job) in after


def test_a_policy_has_no_part_in_what_was_given_away(world: World) -> None:
    """It neither shows nor judges the images it had made, nor says how the VM fared; its new owner hears nothing of it."""
    owner, heir = world.account("acme", "/a"), world.account("heir", "/b")
    vm, other = world.vm("web", account=owner), world.vm("web2", account=owner)
    own = Actor("acme", owner, Role.USER, "/a")
    wish = {
        **{"name": "nightly", "selector": {"names": ["*"]}, "schedules": [{"every": "1d"}]},
        **{"retention": {"last": 1}, "extract": {"targets": ["vda"], "retention": {"last": 1}}},
    }
    with transaction(world.engine) as session:
        policy = add_policy(session, policy_from_json(wish), own)
        for one in (vm, other):
            failing = {"failures": 4, "set_aside_at": func.now(), "set_aside_reason": "4 snapshots failed"}
            due = {"prune_due_at": func.now(), "volumes_due_at": func.now()}
            session.add(PolicyVm(policy_id=policy, vm_id=one, **failing, **due))
    images = [image(world, vm, owner, policy) for _ in range(2)]
    with transaction(world.engine) as session:
        given = assign_vm(session, ADMIN, str(vm), "heir")
    assert (given.volumes, given.policies) == (2, ("nightly",))
    with transaction(world.engine) as session:
        session.execute(update(Vm).where(Vm.id == vm).values(name="secret-vm"))
        session.execute(
            update(VolumeSnapshot)
            .where(VolumeSnapshot.vm_id == vm)
            .values(name="secret-" + VolumeSnapshot.name)
        )
    with world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        shown = preview(connection, policy, 1)
    assert "secret" not in str(shown)
    assert "VM (web2) is set aside" in str(shown["warnings"])
    assert shown["volumes"] == []
    before = world.events()
    producer = Producer(world.engine, make_app("redis://127.0.0.1:1/0"))
    prune(world.engine, producer)
    prune_volumes(world.engine, producer)
    assert world.events() == before
    assert {world.volume_row(one).account_id for one in images} == {heir}


def image(world: World, vm: UUID, account: UUID, policy: UUID) -> UUID:
    """One that the policy had made of a snapshot of the VM."""
    of = {"snapshot_id": world.snapshot(vm), "vm_id": vm, "host_id": world.host(), "account_id": account}
    row = VolumeSnapshot(
        id=new_id(),
        name=f"v-{new_id()}",
        state=VolumeSnapshotState.READY,
        target="vda",
        policy_id=policy,
        **of,
    )
    with transaction(world.engine) as session:
        session.add(row)
    return row.id


def test_a_webhook_does_not_tell_what_a_vm_is_called_now(world: World) -> None:
    """One for a VM that was given away stays, and is silent; the new owner's name for the VM is not in it."""
    owner, _ = world.account("acme", "/a"), world.account("heir", "/b")
    vm = world.vm("web", account=owner)
    own = Actor("acme", owner, Role.USER, "/a")
    with transaction(world.engine) as session:
        add_webhook(session, own, 0, {"url": "https://ops.example.com", "vm_id": vm})

    def shown(actor: Actor) -> Any:
        with world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            (one,) = webhooks.webhooks(connection, actor, Wanted())["items"]
        return one["vm"]

    above = Actor("above", owner, Role.DOMAIN, "/a")
    assert shown(own) == shown(above) == {"id": vm, "name": "web"}
    give(world, vm, "heir")
    assert shown(own) == shown(above) == {"id": vm, "name": ""}
    assert shown(ADMIN) == {"id": vm, "name": "secret-vm"}
