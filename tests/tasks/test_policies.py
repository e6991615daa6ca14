"""Firings become jobs, each exactly once, a few at a time."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, update

from models.jobs.tables import LOW, SCHEDULED, Job
from models.policies import turns
from models.policies.keep import add_policy
from models.policies.tables import Firing, FiringState, Policy, PolicySchedule, PolicyVm
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.tenants.actor import ADMIN
from models.vms.tables import Volume
from stillframe.names import made_up_name
from stillframe.policies.as_json import policy_from_json
from stillframe.states import JobState, VmState
from tasks import policies
from tasks.app import make_app
from tasks.policies import claim, settle_ended
from tasks.producer import Producer
from tests.world import World

pytestmark = pytest.mark.postgres

HOURLY: dict[str, Any] = {
    "name": "hourly",
    "selector": {"names": ["*"]},
    "schedules": [{"every": "1h"}],
    "retention": {"last": 3},
}


def let_go(engine: Engine) -> int:
    """As the tick does; nothing is sent, so no broker is needed."""
    return policies.let_go(engine, Producer(engine, make_app("redis://127.0.0.1:1/0")))


def fire(engine: Engine, **changes: Any) -> UUID:
    """A policy that is due now, claimed."""
    with transaction(engine) as session:
        id_ = add_policy(session, policy_from_json(HOURLY | changes), ADMIN)
    due_again(engine)
    return id_


def due_again(engine: Engine) -> None:
    """An hour goes by."""
    with transaction(engine) as session:
        for row in session.scalars(select(PolicySchedule).where(PolicySchedule.next_at.is_not(None))):
            row.mark -= timedelta(hours=1)
            row.next_at = row.mark
    claim(engine)


def jobs(engine: Engine) -> list[Job]:
    with transaction(engine) as session:
        return list(session.scalars(select(Job).order_by(Job.created_at)))


def states(engine: Engine) -> Counter[FiringState]:
    with transaction(engine) as session:
        return Counter(session.scalars(select(Firing.state).where(Firing.vm_id.is_not(None))))


def test_a_firing_becomes_a_job_of_the_policy(world: World, engine: Engine) -> None:
    """The job is scheduled, not interactive; its snapshot is the policy's, by name and by row."""
    vm = world.vm("web1")
    id_ = fire(engine, tags=["auto"])
    assert let_go(engine) == 1
    (job,) = jobs(engine)
    assert (job.kind, job.priority, job.requested_by) == ("create_snapshot", SCHEDULED, "policy:hourly")
    assert job.vm_id == vm
    with transaction(engine) as session:
        row = session.scalars(select(Snapshot)).one()
        firing = session.scalars(select(Firing).where(Firing.state == FiringState.ASKED)).one()
    assert (row.policy_id, row.tags, row.type) == (id_, ["auto"], "hot")
    assert row.name.startswith("hourly-")
    assert firing.job_id == job.id


def test_a_host_gets_a_stream_and_not_a_storm(world: World, engine: Engine) -> None:
    """Twenty VMs on two hosts: two jobs each at once; as they end, the next have their turn, until all had it."""
    for number in range(20):
        world.vm(f"web{number:02}", host=f"h{number % 2}")
    fire(engine, guards={"max_per_host": 2})
    assert let_go(engine) == 4
    assert let_go(engine) == 0
    waiting = states(engine)[FiringState.WAITING]
    assert waiting == 16
    rounds = 0
    while states(engine)[FiringState.WAITING]:
        _end_all(engine)
        assert let_go(engine) <= 4
        rounds += 1
    assert rounds == 4
    assert len(jobs(engine)) == 20


def _end_all(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(update(Job).values(state=JobState.SUCCEEDED))


def test_a_full_host_keeps_no_other_waiting(world: World, engine: Engine) -> None:
    """Those of a host without room stand at the front of the line, and are passed over once they were told so."""
    for number in range(4):
        world.vm(f"full{number}", host="h1")
    fire(engine, guards={"max_per_host": 1})
    assert let_go(engine) == 1
    late = world.vm("late", host="h2")
    fire(engine, name="of-another", selector={"names": ["late"]})
    with transaction(engine) as session:
        session.execute(update(Firing).where(Firing.vm_id == late).values(due_at=func.now()))
        first = turns.ready(session, turns.BEGIN, limit=1)
    assert [one.vm_id for one in first.ready] == [late]


def test_a_look_through_the_line_goes_on_behind_what_it_has_seen(world: World, engine: Engine) -> None:
    """Each is seen once a tick: those that wait on keep nobody behind them from having their turn."""
    vms = {world.vm(f"web{number}") for number in range(3)}
    fire(engine)
    seen, place = [], turns.BEGIN
    with transaction(engine) as session:
        while (line := turns.ready(session, place, limit=1)).end:
            seen.append(line.ready[0].vm_id)
            place = line.end
    assert sorted(seen) == sorted(vms)


def test_those_who_let_go_at_once_ask_once(world: World, engine: Engine) -> None:
    """Six threads: one job a VM, and never more than the cap."""
    for number in range(12):
        world.vm(f"web{number:02}", host=f"h{number % 4}")
    fire(engine, guards={"max_per_host": 2})
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: let_go(engine), range(6)))
    let_go(engine)
    assert Counter(Counter(job.host_id for job in jobs(engine)).values()) == {2: 4}
    assert len({job.vm_id for job in jobs(engine)}) == 8


def test_what_cannot_be_is_skipped_with_its_reason(world: World, engine: Engine) -> None:
    """A memory policy and a VM that is off: no job, and a row that says why."""
    world.vm("web1", state=VmState.OFF)
    fire(engine, mode="memory")
    assert let_go(engine) == 0
    with transaction(engine) as session:
        row = session.scalars(select(Firing).where(Firing.vm_id.is_not(None))).one()
    assert row.state is FiringState.SKIPPED
    assert row.reason == "the VM is off, and the policy takes memory snapshots"


def test_one_that_is_not_over_keeps_the_next_from_beginning(world: World, engine: Engine) -> None:
    """Overlap is skipped by default, with the job that is in the way."""
    world.vm("web1")
    fire(engine)
    assert let_go(engine) == 1
    with transaction(engine) as session:
        first = session.scalars(select(Firing).where(Firing.state == FiringState.ASKED)).one()
        again = Firing(
            policy_id=first.policy_id,
            schedule_id=first.schedule_id,
            vm_id=first.vm_id,
            nominal_at=first.nominal_at.replace(year=2020),
            due_at=first.nominal_at.replace(year=2020),
            state=FiringState.WAITING,
        )
        session.add(again)
    assert let_go(engine) == 0
    with transaction(engine) as session:
        row = session.get_one(Firing, again.id)
    assert row.state is FiringState.SKIPPED
    assert str(jobs(engine)[0].id) in (row.reason or "")


def test_a_turn_that_does_not_come_in_time_is_missed(world: World, engine: Engine) -> None:
    """What waits longer than `start_within_s` ends as a row that says what it waited for."""
    for name in ("web1", "web2"):
        world.vm(name)
    fire(engine, guards={"max_per_host": 1})
    assert let_go(engine) == 1
    with transaction(engine) as session:
        session.execute(update(Firing).values(give_up_at=Firing.due_at))
    let_go(engine)
    with transaction(engine) as session:
        row = session.scalars(
            select(Firing).where(Firing.state == FiringState.MISSED, Firing.vm_id.is_not(None))
        ).one()
    assert "under way on its host" in (row.reason or "")


def test_how_a_job_ended_is_taken_down(world: World, engine: Engine) -> None:
    """A firing whose job succeeded says so; one whose job failed says why."""
    world.vm("web1"), world.vm("web2")
    fire(engine)
    let_go(engine)
    good, bad = jobs(engine)
    with transaction(engine) as session:
        session.execute(update(Job).where(Job.id == good.id).values(state=JobState.SUCCEEDED))
        error = {"code": "x", "detail": "the disk was full"}
        session.execute(update(Job).where(Job.id == bad.id).values(state=JobState.FAILED, error=error))
    assert settle_ended(engine) == 2
    assert settle_ended(engine) == 0
    with transaction(engine) as session:
        found = {row.job_id: row for row in session.scalars(select(Firing).where(Firing.job_id.is_not(None)))}
        (vm,) = session.scalars(select(PolicyVm).where(PolicyVm.prune_due_at.is_not(None)))
    assert found[good.id].state is FiringState.SUCCEEDED
    assert (found[bad.id].state, found[bad.id].reason) == (FiringState.FAILED, "the disk was full")
    assert vm.vm_id == good.vm_id


def _on_storage(engine: Engine, vm: UUID, *names: str, free: int = 1 << 40) -> None:
    with transaction(engine) as session:
        for number, name in enumerate(names):
            session.add(
                Volume(
                    **{"vm_id": vm, "target": f"vd{'abc'[number]}", "path": "/x", "format": "qcow2"},
                    **{"storage": "file", "virtual_bytes": 1, "size_bytes": 1, "depth": 1, "home": "/h"},
                    **{"free_bytes": free, "total_bytes": 1 << 41, "storage_id": name},
                )
            )


def test_a_storage_gets_a_stream_too(world: World, engine: Engine) -> None:
    """Eight VMs of four hosts on one filer: two jobs at once; one with a disk elsewhere waits for the filer as well."""
    for number in range(8):
        vm = world.vm(f"web{number}", host=f"h{number % 4}")
        _on_storage(engine, vm, "net:filer:/vms", *(("h/local:/dev/sda",) if number == 1 else ()))
    _on_storage(engine, world.vm("web8", host="h0"), "h0/local:/dev/sda")
    fire(engine, guards={"max_per_host": 10, "max_per_storage": 2})
    assert let_go(engine) == 3
    assert let_go(engine) == 0
    with transaction(engine) as session:
        waiting = session.scalars(select(Firing.reason).where(Firing.state == FiringState.WAITING)).all()
    assert set(waiting) == {"2 scheduled jobs are under way on its storage, and 2 may be"}
    for _ in range(3):
        _end_all(engine)
        assert let_go(engine) == 2
    assert len(jobs(engine)) == 9


def test_a_storage_that_is_nearly_full_is_left_alone(world: World, engine: Engine) -> None:
    """So many per cent have to be free: the firing is skipped, and says how many are."""
    _on_storage(engine, world.vm("web1"), "net:filer:/vms", free=(1 << 41) // 50)
    fire(engine)
    assert let_go(engine) == 0
    with transaction(engine) as session:
        row = session.scalars(select(Firing).where(Firing.vm_id.is_not(None))).one()
    assert (row.state, row.reason) == (
        FiringState.SKIPPED,
        "2.0 % are free on its storage, and the guard wants 5 %",
    )


def test_a_name_that_is_taken_stops_nobody(world: World, engine: Engine) -> None:
    """A person has named a snapshot as the policy would: that firing is refused, with the reason, and the others go."""
    vm = world.vm("web1")
    world.vm("web2")
    fire(engine)
    with transaction(engine) as session:
        firing = session.scalars(select(Firing).where(Firing.vm_id == vm)).one()
    name = made_up_name("hourly", firing.nominal_at.astimezone(UTC), firing.id)
    world.snapshot(vm, name)
    assert let_go(engine) == 1
    with transaction(engine) as session:
        row = session.get_one(Firing, firing.id)
    assert row.state is FiringState.REFUSED
    assert row.reason == f'VM "web1" already has a snapshot named "{name}".'


def test_a_timezone_that_is_gone_stops_one_policy(world: World, engine: Engine) -> None:
    """As after an update of the host's timezones: that policy suspends itself and says why; the others fire and go."""
    vm = world.vm("web1")
    gone = fire(engine, name="gone", schedules=[{"cron": "0 * * * *"}])
    with transaction(engine) as session:
        of = update(PolicySchedule).where(PolicySchedule.policy_id == gone)
        session.execute(of.values(spec=PolicySchedule.spec.op("||")({"timezone": "US/Gone"})))
    fire(engine, name="other", guards={"max_per_host": 9})
    assert let_go(engine) == 1
    with transaction(engine) as session:
        row = session.get_one(Policy, gone)
        mine = session.scalars(select(Firing).where(Firing.policy_id == gone, Firing.vm_id == vm)).all()
    assert row.suspended_at is not None
    assert "US/Gone" in (row.suspended_reason or "")
    assert FiringState.WAITING not in {one.state for one in mine}


def test_what_waits_of_a_timezone_that_is_gone_is_refused(world: World, engine: Engine) -> None:
    """It was written down before: it holds up nobody who stands behind it."""
    world.vm("web1")
    gone = fire(engine, name="gone", guards={"max_per_host": 9})
    fire(engine, name="other", guards={"max_per_host": 9})
    with transaction(engine) as session:
        of = update(PolicySchedule).where(PolicySchedule.policy_id == gone)
        session.execute(of.values(spec=PolicySchedule.spec.op("||")({"timezone": "US/Gone"})))
    assert let_go(engine) > 0
    with transaction(engine) as session:
        mine = set(session.scalars(select(Firing.state).where(Firing.policy_id == gone)))
    assert mine == {FiringState.REFUSED}


def test_a_low_policy_comes_after_the_others(world: World, engine: Engine) -> None:
    """Its snapshots have the last place in their queue; the others that of scheduled ones."""
    world.vm("a")
    fire(engine, name="first")
    fire(engine, name="last", priority="low")
    let_go(engine)
    with transaction(engine) as session:
        jobs = session.execute(select(Job.requested_by, Job.priority).order_by(Job.priority)).all()
    assert [tuple(job) for job in jobs] == [("policy:first", SCHEDULED), ("policy:last", LOW)]
