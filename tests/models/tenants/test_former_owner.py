"""What who had a VM once sees of it."""

from uuid import UUID

import pytest
from sqlalchemy import update

from models.jobs.tables import Job
from models.moves import Told, tell
from models.queries import events, jobs
from models.queries.paging import Wanted
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.tenants.actor import ADMIN, Actor
from models.tenants.giving import assign_vm
from models.vms.tables import Vm
from stillframe.events import EventType
from stillframe.rights import Role
from stillframe.states import JobState
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
