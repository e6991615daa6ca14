"""One uuid on two hosts: nothing goes back and forth, and nothing is done with a VM of which it is not known which is meant."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, update

from models.events.tables import Event
from models.hosts.drain import drain
from models.hosts.machine import heartbeat, record_host, record_vm
from models.hosts.tables import Host
from models.hosts.twins import elsewhere
from models.jobs.journal import Journal
from models.jobs.outbox import owed
from models.jobs.waiting import waiting
from models.session import transaction
from models.tenants.actor import ADMIN
from models.vms.tables import Vm, VmTwin
from stillframe.errors import VmOnTwoHosts
from stillframe.operations import CreateSnapshot
from stillframe.seen import HostSeen, VmSeen
from stillframe.states import JobState, VmState
from tasks.app import make_app
from tasks.producer import Producer
from tests.world import World, seen_vm

pytestmark = pytest.mark.postgres


def look(engine: Engine, host: str, *vms: VmSeen) -> None:
    """The keeper of a host looks."""
    with transaction(engine) as session:
        began = heartbeat(session, host)
    with transaction(engine) as session:
        record_host(session, HostSeen(host, "9.0.0", "7.2.0", 8, 1 << 33, vms), began)


def of(vm: UUID, state: VmState = VmState.RUNNING, reason: str = "booted") -> VmSeen:
    """The VM as a host shows it."""
    seen = seen_vm(vm, state=state)
    return VmSeen(seen.uuid, seen.name, state, reason, seen.memory_bytes, seen.volumes)


def pass_by(engine: Engine, time: timedelta) -> None:
    """What was seen was seen that much longer ago."""
    with transaction(engine) as session:
        session.execute(update(VmTwin).values(since=VmTwin.since - time, seen_at=VmTwin.seen_at - time))
        session.execute(update(Vm).values(seen_at=Vm.seen_at - time))


def host_of(engine: Engine, vm: UUID) -> str:
    with transaction(engine) as session:
        return session.scalars(select(Host.name).join(Vm, Vm.host_id == Host.id).where(Vm.id == vm)).one()


def alarms(engine: Engine) -> list[str]:
    with transaction(engine) as session:
        told = (
            select(Event.type).where(Event.type.in_(["vm.on_two_hosts", "vm.on_one_host"])).order_by(Event.id)
        )
        return list(session.scalars(told))


def on_two(engine: Engine, vm: UUID) -> None:
    """It runs on h1, where it belongs, and on h2."""
    look(engine, "h1", of(vm))
    look(engine, "h2", of(vm))
    pass_by(engine, timedelta(minutes=1))
    look(engine, "h1", of(vm))


def test_a_vm_that_runs_on_two_hosts_stays_where_it_was(engine: Engine, world: World) -> None:
    """However often both are looked at its row does not move, and one alarm names both hosts."""
    vm = world.vm()
    on_two(engine, vm)
    for host in ("h2", "h1", "h2", "h2", "h1"):
        pass_by(engine, timedelta(minutes=1))
        look(engine, host, of(vm))
        assert host_of(engine, vm) == "h1"
    assert alarms(engine) == ["vm.on_two_hosts"]
    assert world.events().count("vm.changed") == 1  # its volumes, with the first look
    with transaction(engine) as session:
        event = session.scalars(select(Event).where(Event.type == "vm.on_two_hosts")).one()
        assert (event.level, event.data["hosts"]) == ("error", ["h1", "h2"])
        (one,) = elsewhere(session, vm)
        assert (one.host, one.other, one.state, one.both_run) == ("h1", "h2", VmState.RUNNING, True)


def test_no_job_of_it_is_accepted_or_begun(engine: Engine, world: World, journal: Journal) -> None:
    """What is asked for is refused, what waits waits with that reason, what lost its worker is not taken up."""
    vm = world.vm()
    begun, waits = world.job(vm), world.job(vm)
    assert journal.claim(begun, worker="h1/w", lease_s=30, host="h1") is not None
    on_two(engine, vm)
    with pytest.raises(VmOnTwoHosts, match="on host h1 and, under the same uuid, on host h2"):
        Producer(engine, make_app("redis://127.0.0.1:1/0")).submit(
            CreateSnapshot(vm=str(vm), name="s"), ADMIN
        )
    assert journal.release_lost("h1", alive=lambda _: False) == [begun]
    assert journal.claim(begun, worker="h1/v", lease_s=30, host="h1") is None
    with transaction(engine) as session:
        assert owed(session, 10) == []
        assert {one["code"] for one in waiting(session, [begun, waits]).values()} == {"vm_on_two_hosts"}
    look(engine, "h2")
    assert alarms(engine) == ["vm.on_two_hosts", "vm.on_one_host"]
    with transaction(engine) as session:
        assert [message.job_id for message in owed(session, 10)] == [begun]
    assert journal.claim(begun, worker="h1/v", lease_s=30, host="h1") is not None


def test_a_queued_job_is_not_begun_by_a_message_that_was_sent_before(
    engine: Engine, world: World, journal: Journal
) -> None:
    """It goes back to be owed, and is once the VM is on one host."""
    vm = world.vm()
    job = world.job(vm)
    on_two(engine, vm)
    assert journal.claim(job, worker="h1/w", lease_s=30, host="h1") is None
    assert world.row(job).state is JobState.QUEUED
    look(engine, "h2", of(vm, VmState.OFF, "destroyed"))
    assert alarms(engine) == ["vm.on_two_hosts", "vm.on_one_host"]
    assert journal.claim(job, worker="h1/w", lease_s=30, host="h1") is not None


@pytest.mark.parametrize("left", [(), (VmState.OFF, "destroyed")])
def test_the_one_that_goes_on_running_has_it(engine: Engine, world: World, left: tuple[VmState, str]) -> None:
    """Where the row said it was, it was stopped: it is on the other host, with its jobs, and may be worked on."""
    vm = world.vm()
    job = world.job(vm)
    on_two(engine, vm)
    look(engine, "h1", *([of(vm, *left)] if left else []))
    assert host_of(engine, vm) == "h2"
    assert alarms(engine) == ["vm.on_two_hosts", "vm.on_one_host"]
    with transaction(engine) as session:
        assert [(message.job_id, message.host) for message in owed(session, 10)] == [(job, "h2")]
        assert [one.other for one in elsewhere(session, vm)] == (["h1"] if left else [])


@pytest.mark.parametrize("order", [("h1", "h2"), ("h2", "h1")])
def test_a_migration_is_no_alarm(engine: Engine, world: World, order: tuple[str, str]) -> None:
    """Whichever host is looked at first, at its beginning and at its end, the VM arrives with the second look."""
    vm = world.vm()
    at: dict[str, list[VmSeen | None]] = {
        "h1": [of(vm), of(vm, VmState.PAUSED, "migration"), None],
        "h2": [of(vm, VmState.PAUSED, "migration"), of(vm, VmState.RUNNING, "migrated"), of(vm)],
    }
    for stage in range(3):
        pass_by(engine, timedelta(seconds=30))
        for host in order:
            seen = at[host][stage]
            look(engine, host, *([seen] if seen else []))
        assert host_of(engine, vm) == ("h1" if stage == 0 else "h2")
    assert alarms(engine) == []
    with transaction(engine) as session:
        assert elsewhere(session, vm) == []


def test_a_moment_in_which_both_seem_to_run_is_no_alarm(engine: Engine, world: World) -> None:
    """A look at each within a second: one of them saw what was over a moment later."""
    vm = world.vm()
    look(engine, "h2", of(vm))
    look(engine, "h1", of(vm))
    assert alarms(engine) == []
    look(engine, "h1")
    assert host_of(engine, vm) == "h2"
    assert "vm.gone" not in world.events()


def test_a_definition_that_is_off_takes_nothing_over(engine: Engine, world: World) -> None:
    """The VM runs on h2 and is defined on h1, and each is looked at: it stays, and that h1 has it is known."""
    vm = world.vm(state=VmState.OFF)
    look(engine, "h2", of(vm))
    for host, state in [("h1", VmState.OFF), ("h2", VmState.RUNNING)] * 3:
        look(engine, host, of(vm, state))
        pass_by(engine, timedelta(minutes=10))
        assert host_of(engine, vm) == "h2"
    with transaction(engine) as session:
        (one,) = elsewhere(session, vm)
        assert (one.other, one.state, one.both_run) == ("h1", VmState.OFF, False)
    look(engine, "h1")
    with transaction(engine) as session:
        assert elsewhere(session, vm) == []


def test_one_that_is_defined_anew_on_its_own_host_stays_there(engine: Engine, world: World) -> None:
    """It is off on h2, h1 has an old definition of it, and for a moment h2 has nothing: h1 does not take it."""
    vm = world.vm(state=VmState.OFF)
    look(engine, "h2", of(vm))
    look(engine, "h2", of(vm, VmState.OFF))
    look(engine, "h1", of(vm, VmState.OFF))
    pass_by(engine, timedelta(hours=1))
    look(engine, "h2", of(vm, VmState.OFF))
    look(engine, "h2")
    look(engine, "h1", of(vm, VmState.OFF))
    assert (host_of(engine, vm), world.events()[-1]) == ("h2", "vm.gone")
    look(engine, "h2", of(vm, VmState.OFF))
    look(engine, "h1", of(vm, VmState.OFF))
    assert host_of(engine, vm) == "h2"


def test_one_that_stays_away_from_its_host_is_where_an_old_definition_is(
    engine: Engine, world: World
) -> None:
    """After three minutes, with its jobs, which were not given up before that."""
    vm = world.vm(state=VmState.OFF)
    look(engine, "h2", of(vm))
    look(engine, "h1", of(vm, VmState.OFF))
    pass_by(engine, timedelta(hours=1))
    look(engine, "h2", of(vm, VmState.OFF))
    job = world.job(vm)
    look(engine, "h2")
    pass_by(engine, timedelta(minutes=4))
    look(engine, "h1", of(vm, VmState.OFF))
    assert host_of(engine, vm) == "h1"
    with transaction(engine) as session:
        assert [(message.job_id, message.host) for message in owed(session, 10)] == [(job, "h1")]


@pytest.mark.parametrize("order", [("h1", "h2"), ("h2", "h1")])
def test_one_that_is_moved_while_it_is_off_is_followed_at_once(
    engine: Engine, world: World, order: tuple[str, str]
) -> None:
    """`virsh migrate --offline --persistent --undefinesource`, whichever host is looked at first in the middle and after."""
    vm = world.vm(state=VmState.OFF)
    look(engine, "h1", of(vm, VmState.OFF))
    for stage in ({"h1", "h2"}, {"h2"}, {"h2"}):
        for host in order:
            look(engine, host, *([of(vm, VmState.OFF)] if host in stage else []))
    assert host_of(engine, vm) == "h2"


def test_a_host_that_came_up_elsewhere_takes_over_from_a_silent_one(engine: Engine, world: World) -> None:
    """After two minutes of silence; if the silent one comes back and runs it too, nothing moves any more."""
    vm = world.vm()
    look(engine, "h1", of(vm))
    look(engine, "h2", of(vm))
    assert host_of(engine, vm) == "h1"
    _silence(engine, "h1")
    look(engine, "h2", of(vm))
    assert host_of(engine, vm) == "h2"
    look(engine, "h1", of(vm))
    pass_by(engine, timedelta(minutes=1))
    look(engine, "h2", of(vm))
    look(engine, "h1", of(vm))
    assert host_of(engine, vm) == "h2"
    assert alarms(engine) == ["vm.on_two_hosts"]


@pytest.mark.parametrize("lost", ["h1", "h2"])
def test_a_host_that_is_drained_and_silent_has_nothing(engine: Engine, world: World, lost: str) -> None:
    """Silence alone ends nothing: it may still run there. That a person drained the host does."""
    vm = world.vm()
    on_two(engine, vm)
    left = "h2" if lost == "h1" else "h1"
    _silence(engine, lost)
    pass_by(engine, timedelta(minutes=10))
    look(engine, left, of(vm))
    assert (host_of(engine, vm), alarms(engine)) == ("h1", ["vm.on_two_hosts"])
    drain(engine, lost, "kim", "it burned")
    look(engine, left, of(vm))
    assert (host_of(engine, vm), alarms(engine)) == (left, ["vm.on_two_hosts", "vm.on_one_host"])


def test_one_that_is_off_is_given_up_once_its_silent_host_is_drained(engine: Engine, world: World) -> None:
    """It is off on h1, which is heard no more, and defined on h2: it is there as soon as a person gave h1 up."""
    vm = world.vm(state=VmState.OFF)
    drain(engine, "h1", "kim", "to be emptied")
    pass_by(engine, timedelta(minutes=10))
    look(engine, "h2", of(vm, VmState.OFF))
    assert host_of(engine, vm) == "h1"
    _silence(engine, "h1")
    look(engine, "h2", of(vm, VmState.OFF))
    assert host_of(engine, vm) == "h2"


def test_a_paused_one_runs_too(engine: Engine, world: World) -> None:
    """A person paused it: its QEMU has the images open. One that waits for a migration is not meant."""
    vm = world.vm()
    look(engine, "h1", of(vm, VmState.PAUSED, "user"))
    look(engine, "h2", of(vm))
    pass_by(engine, timedelta(minutes=1))
    look(engine, "h1", of(vm, VmState.PAUSED, "user"))
    assert (host_of(engine, vm), alarms(engine)) == ("h1", ["vm.on_two_hosts"])
    look(engine, "h1", of(vm, VmState.PAUSED, "postcopy"))
    assert host_of(engine, vm) == "h2"


def test_a_job_that_ends_where_the_vm_was_moves_nothing(engine: Engine, world: World) -> None:
    """What its worker saw last is a twin's."""
    vm = world.vm()
    look(engine, "h1", of(vm))
    with transaction(engine) as session:
        record_vm(session, world.host("h2"), of(vm))
    assert host_of(engine, vm) == "h1"


def _silence(engine: Engine, host: str) -> None:
    with transaction(engine) as session:
        past = func.now() - func.make_interval(0, 0, 0, 0, 0, 5)
        session.execute(update(Host).where(Host.name == host).values(last_seen_at=past))
