"""A VM of which a policy's snapshots keep failing is set aside: it alone, until it is resumed or one succeeds."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, update

from models.events.tables import Event
from models.jobs.tables import Job
from models.policies.keep import add_policy, resume_policy, resume_vm, run_policy
from models.policies.tables import Firing, FiringState, Policy, PolicySchedule, PolicyVm
from models.queries.policy_preview import preview
from models.session import transaction
from models.tenants.actor import ADMIN, Actor
from models.tenants.giving import assign_vm
from stillframe.errors import Cancelled, PolicyVmNotSetAside
from stillframe.policies.as_json import policy_from_json
from stillframe.rights import Role
from stillframe.states import JobState
from tasks import policies
from tasks.app import make_app
from tasks.policies import settle_ended
from tasks.producer import Producer
from tests.world import World

pytestmark = pytest.mark.postgres

WISH: dict[str, Any] = {
    "name": "nightly",
    "selector": {"names": ["*"]},
    "schedules": [{"cron": "0 0 29 2 *"}],
    "retention": {"last": 3},
    "max_failures": 2,
    "guards": {"max_per_host": 1000},
}


def add(engine: Engine, **changes: Any) -> UUID:
    with transaction(engine) as session:
        return add_policy(session, policy_from_json(WISH | changes), ADMIN)


def fire(engine: Engine, policy: UUID, *, by_hand: bool = False) -> list[UUID]:
    """The policy fires for all its VMs, as by its schedule; returns those that have a job by it."""
    with transaction(engine) as session:
        run_policy(session, policy, ADMIN)
        if not by_hand:
            session.execute(update(Firing).values(asked_by=None))
    before = {job.id for job in jobs(engine)}
    policies.let_go(engine, Producer(engine, make_app("redis://127.0.0.1:1/0")))
    return [job.vm_id for job in jobs(engine) if job.id not in before]


def jobs(engine: Engine) -> list[Job]:
    with transaction(engine) as session:
        return list(session.scalars(select(Job).order_by(Job.created_at)))


def end(engine: Engine, states: dict[UUID, JobState], detail: str = "no room") -> None:
    """The jobs of these VMs that are under way end so, and the others well."""
    for job in jobs(engine):
        state = states.get(job.vm_id, JobState.SUCCEEDED)
        error = None if state is JobState.SUCCEEDED else {"code": "x", "detail": detail}
        of = update(Job).where(Job.id == job.id, Job.state == JobState.QUEUED)
        with transaction(engine) as session:
            session.execute(of.values(state=state, error=error))
    settle_ended(engine)


def move(engine: Engine, frm: JobState, to: JobState) -> None:
    """As when a person has decided about what was stuck."""
    with transaction(engine) as session:
        session.execute(update(Job).where(Job.state == frm).values(state=to))
    settle_ended(engine)


def aside(engine: Engine) -> dict[UUID, str | None]:
    of = select(PolicyVm.vm_id, PolicyVm.set_aside_reason).where(PolicyVm.set_aside_at.is_not(None))
    with transaction(engine) as session:
        return {row.vm_id: row.set_aside_reason for row in session.execute(of)}


def suspended(engine: Engine) -> str | None:
    with transaction(engine) as session:
        return session.scalars(select(Policy.suspended_reason)).one()


def newest(engine: Engine, vm: UUID) -> Firing:
    of = select(Firing).where(Firing.vm_id == vm).order_by(Firing.nominal_at.desc()).limit(1)
    with transaction(engine) as session:
        return session.scalars(of).one()


def told(engine: Engine, type_: str) -> list[str]:
    with transaction(engine) as session:
        return list(session.scalars(select(Event.message).where(Event.type == type_)))


def broken(world: World, engine: Engine, **changes: Any) -> tuple[UUID, UUID, UUID]:
    """A policy, a VM that it has set aside, and one that is well."""
    bad, good = world.vm("bad"), world.vm("good")
    policy = add(engine, **changes)
    for _ in range(2):
        fire(engine, policy)
        end(engine, {bad: JobState.FAILED})
    return policy, bad, good


def test_one_broken_vm_keeps_no_other_from_its_snapshots(world: World, engine: Engine) -> None:
    """Of a hundred VMs one fails each time: it is set aside, told once, and skipped with the reason; the others go on."""
    vms = [world.vm(f"web{number:02}") for number in range(100)]
    bad = vms[7]
    policy = add(engine)
    for round_ in range(4):
        assert len(fire(engine, policy)) == (100 if round_ < 2 else 99)
        end(engine, {bad: JobState.FAILED})
    why = "2 snapshots failed one after the other, the last: no room"
    assert aside(engine) == {bad: why}
    assert suspended(engine) is None
    assert (newest(engine, bad).state, newest(engine, bad).reason) == (
        FiringState.SKIPPED,
        f"the VM is set aside: {why}",
    )
    assert told(engine, "policy.vm_set_aside") == [why]


def test_a_policy_all_of_whose_vms_fail_suspends_itself(world: World, engine: Engine) -> None:
    """Three VMs, all broken: the policy stands still and says why; resumed, it fires for all of them again."""
    vms = [world.vm(f"web{number}") for number in range(3)]
    policy = add(engine)
    for _ in range(2):
        assert suspended(engine) is None
        fire(engine, policy)
        end(engine, dict.fromkeys(vms, JobState.FAILED))
    assert suspended(engine) == "all of its 3 VMs are set aside after 2 failures in a row, the last: no room"
    with transaction(engine) as session:
        assert session.scalars(select(PolicySchedule.next_at)).one() is None
        resume_policy(session, policy, ADMIN)
    assert aside(engine) == {}
    assert set(fire(engine, policy)) == set(vms)


def test_a_good_one_in_between_begins_the_count_anew(world: World, engine: Engine) -> None:
    """Bad, good, bad is not twice in a row."""
    vm = world.vm("web1")
    policy = add(engine)
    for state in (JobState.FAILED, JobState.SUCCEEDED, JobState.FAILED):
        fire(engine, policy)
        end(engine, {vm: state})
    assert (aside(engine), suspended(engine)) == ({}, None)


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.EXPIRED])
def test_what_was_not_tried_counts_for_nothing(world: World, engine: Engine, state: JobState) -> None:
    """What a person cancelled, or nobody began since the host was away, is no failure of the VM, nor a success."""
    vm = world.vm("web1")
    policy = add(engine)
    for ended in (JobState.FAILED, state, state, state):
        fire(engine, policy)
        end(engine, {vm: ended}, Cancelled().detail)
    assert aside(engine) == {}
    assert (newest(engine, vm).state, newest(engine, vm).reason) == (FiringState.FAILED, Cancelled().detail)
    fire(engine, policy)
    end(engine, {vm: JobState.FAILED})
    assert set(aside(engine)) == {vm}


def test_a_vm_is_resumed_by_itself(world: World, engine: Engine) -> None:
    """It has its turns again, and failures of before count no more; one that is not set aside is refused."""
    policy, bad, good = broken(world, engine)
    assert fire(engine, policy) == [good]
    with transaction(engine) as session:
        resume_vm(session, policy, "bad", ADMIN)
        with pytest.raises(PolicyVmNotSetAside):
            resume_vm(session, policy, "good", ADMIN)
    end(engine, {})
    assert set(fire(engine, policy)) == {bad, good}
    end(engine, {bad: JobState.FAILED})
    assert aside(engine) == {}
    assert len(told(engine, "policy.vm_resumed")) == 1


def test_a_run_by_hand_tries_those_that_are_set_aside(world: World, engine: Engine) -> None:
    """A person wants to know whether it works again; if it does, the VM is taken back."""
    policy, bad, good = broken(world, engine)
    assert set(fire(engine, policy, by_hand=True)) == {bad, good}
    end(engine, {})
    assert aside(engine) == {}
    assert told(engine, "policy.vm_resumed") == ["what failed was made good"]


def test_the_preview_says_who_is_set_aside(world: World, engine: Engine) -> None:
    """By name and with the reason, as a warning and at its turns."""
    policy, *_ = broken(world, engine)
    with engine.connect() as connection:
        found = preview(connection, policy, 1)
    assert "1 VM (bad) is set aside" in found["warnings"][0]
    turns = {turn["vm"]["name"]: turn["set_aside"] for turn in found["runs"][0]["turns"]}
    assert turns == {"bad": "2 snapshots failed one after the other, the last: no room", "good": None}


@pytest.mark.parametrize("ended", [JobState.SUCCEEDED, JobState.FAILED])
def test_a_firing_follows_its_job_out_of_being_stuck(world: World, engine: Engine, ended: JobState) -> None:
    """It says stuck as long as the job is, and counts as a failure; then it says how the job ended, and counts as that."""
    policy, vm = add(engine), world.vm("web1")
    fire(engine, policy)
    end(engine, {vm: JobState.FAILED})
    fire(engine, policy)
    end(engine, {vm: JobState.STUCK})
    assert newest(engine, vm).state is FiringState.STUCK
    assert set(aside(engine)) == {vm}
    move(engine, JobState.STUCK, JobState.RUNNING)
    assert newest(engine, vm).state is FiringState.ASKED
    assert aside(engine) == {}
    move(engine, JobState.RUNNING, ended)
    assert newest(engine, vm).state == ended.value
    assert set(aside(engine)) == ({vm} if ended is JobState.FAILED else set())
    with transaction(engine) as session:
        due = session.scalars(select(PolicyVm.prune_due_at)).one()
    assert (due is not None) == (ended is JobState.SUCCEEDED)


def test_whoever_is_given_a_vm_hears_nothing_of_how_it_failed(engine: Engine, world: World) -> None:
    """What became of the last job of the old owner's policy is taken note of afterwards, and told to nobody."""
    owner, _ = world.account("acme", "/a"), world.account("heir", "/b")
    vm = world.vm("web", account=owner)
    with transaction(engine) as session:
        own = Actor("acme", owner, Role.USER, "/a")
        policy = add_policy(session, policy_from_json(WISH | {"max_failures": 1}), own)
    fire(engine, policy)
    with transaction(engine) as session:
        session.execute(update(Job).values(state=JobState.FAILED, error={"code": "x", "detail": "no room"}))
        assign_vm(session, ADMIN, str(vm), "heir")
    before = world.events()
    assert settle_ended(engine) == 1
    assert world.events() == before
    assert aside(engine) == {}
