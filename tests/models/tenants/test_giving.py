"""What goes with a VM that is given away."""

import threading

import pytest
from sqlalchemy import func

from models.ids import new_id
from models.policies.keep import add_policy, delete_policy
from models.policies.prune import due
from models.policies.tables import PolicyVm
from models.session import transaction
from models.snapshots.tables import Snapshot, VolumeSnapshot
from models.tenants import quota
from models.tenants.actor import ADMIN, Actor
from models.tenants.giving import Given, assign_vm
from stillframe.policies.as_json import policy_from_json
from stillframe.rights import Role
from stillframe.states import SnapshotState, VolumeSnapshotState
from tests.postgres import until_somebody_waits
from tests.world import World

pytestmark = pytest.mark.postgres


def test_what_goes_with_it_is_told(world: World) -> None:
    """Its snapshots and images, and which policies prune them no more: not those that reach it there, nor deleted ones."""
    owner = world.account("acme", "/a")
    world.account("heir", "/b")
    vm = world.vm(account=owner)
    snapshots = [world.snapshot(vm, f"s{number}") for number in range(4)]
    world.snapshot(vm, "gone", state=SnapshotState.DELETED)
    own = Actor("acme", owner, Role.USER, "/a")

    def wish(name: str) -> dict[str, object]:
        of = {"selector": {"ids": [str(vm)]}, "schedules": [{"every": "1d"}], "retention": {"last": 3}}
        return {"name": name, **of}

    with transaction(world.engine) as session:
        policies = [
            add_policy(session, policy_from_json(wish(name)), actor)
            for name, actor in (("nightly", own), ("weekly", own), ("operators", ADMIN))
        ]
        for snapshot, policy in zip(snapshots, policies, strict=False):
            session.get_one(Snapshot, snapshot).policy_id = policy
        session.add(
            VolumeSnapshot(
                **{"id": new_id(), "name": "v", "state": VolumeSnapshotState.READY, "target": "vda"},
                **{"snapshot_id": snapshots[0], "vm_id": vm, "host_id": world.host(), "account_id": owner},
            )
        )
        delete_policy(session, policies[1], own)
    with transaction(world.engine) as session:
        assert assign_vm(session, ADMIN, str(vm), "heir") == Given(vm, 4, 1, ("nightly",))
    with transaction(world.engine) as session:
        kept = [session.get_one(Snapshot, one).policy_id for one in snapshots]
        assert kept == [None, None, policies[2], None]
        assert assign_vm(session, ADMIN, str(vm), "heir") == Given(vm)


def test_it_waits_for_a_look_through_a_policys_snapshots_and_not_in_a_circle(world: World) -> None:
    """A tick that has the VM's standing under a policy goes on to the VM, and then it is given away."""
    vm = world.vm()
    world.account("heir", "/b")
    with transaction(world.engine) as session:
        wish = {"name": "nightly", "selector": {"ids": [str(vm)]}, "retention": {"last": 3}}
        policy = add_policy(session, policy_from_json(wish | {"schedules": [{"every": "1d"}]}), ADMIN)
        session.add(PolicyVm(policy_id=policy, vm_id=vm, prune_due_at=func.now()))
    given: list[Given] = []

    def give() -> None:
        with transaction(world.engine) as session:
            given.append(assign_vm(session, ADMIN, str(vm), "heir"))

    with transaction(world.engine) as session:
        assert [one.vm_id for one in due(session).items] == [vm]
        beside = threading.Thread(target=give)
        beside.start()
        until_somebody_waits(world.engine)
        quota.take_turn(session, [vm])
        assert given == []
    beside.join(30)
    assert given == [Given(vm)]
