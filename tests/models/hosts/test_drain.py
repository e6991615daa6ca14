"""A drained host begins nothing new, and ends what it has begun."""

from uuid import UUID

import pytest
from sqlalchemy import Engine, func, update

from models.hosts.drain import check_takes_jobs, drain, undrain
from models.hosts.machine import record_host
from models.hosts.tables import Host
from models.jobs.journal import Journal
from models.jobs.outbox import forgotten, owed
from models.jobs.tables import Job
from models.session import transaction
from stillframe.errors import HostDraining, HostNotFound
from stillframe.seen import HostSeen
from stillframe.states import JobState
from tests.world import World, seen_vm

pytestmark = pytest.mark.postgres


def owed_now(engine: Engine) -> list[UUID]:
    with transaction(engine) as session:
        return [message.job_id for message in owed(session, 100)]


def row_of(engine: Engine, host: str) -> Host:
    with transaction(engine) as session:
        return session.query(Host).filter_by(name=host).one()


def test_what_waits_stays_in_the_line(world: World, engine: Engine, journal: Journal) -> None:
    """Its queued job is neither sent nor begun, also if its message was sent before; undrained, it is owed again."""
    job = world.job(world.vm())
    with transaction(engine) as session:
        session.execute(update(Job).values(published_at=func.now()))
    drain(engine, "h1", "kim", "new memory")
    assert journal.claim(job, worker="w", lease_s=30) is None
    assert world.row(job).state is JobState.QUEUED
    assert owed_now(engine) == []
    undrain(engine, "h1", "kim")
    assert owed_now(engine) == [job]
    assert journal.claim(job, worker="w", lease_s=30) is not None


def test_what_was_sent_is_not_sent_again_and_again(world: World, engine: Engine) -> None:
    """A message that lies at a drained host is not taken for lost."""
    world.job(world.vm())
    drain(engine, "h1", "kim")
    with transaction(engine) as session:
        session.execute(update(Job).values(published_at=func.now() - func.make_interval(0, 0, 0, 0, 2)))
        assert forgotten(session) == []


def test_what_was_begun_goes_on(world: World, engine: Engine, journal: Journal) -> None:
    """A job in hand is renewed and ends; one whose worker died is taken over on the drained host."""
    job, other = world.job(world.vm("a")), world.job(world.vm("b"))
    attempt, lost = (journal.claim(one, worker="w", lease_s=30) for one in (job, other))
    assert attempt is not None
    assert lost is not None
    drain(engine, "h1", "kim")
    assert attempt.renew(30) is False
    attempt.succeed({}, None)
    assert journal.release_lost("h1", alive=lambda _: False) == [other]
    assert owed_now(engine) == [other]
    assert journal.claim(other, worker="v", lease_s=30) is not None


def test_a_vm_that_moves_away_takes_its_jobs_along(world: World, engine: Engine, journal: Journal) -> None:
    """That is how a host is emptied: what could not begin here begins where the VM is now."""
    vm = world.vm()
    job = world.job(vm)
    drain(engine, "h1", "kim")
    with transaction(engine) as session:
        record_host(session, HostSeen("h2", "9.0.0", "7.2.0", 8, 1 << 33, (seen_vm(vm),)))
        record_host(session, HostSeen("h1", "9.0.0", "7.2.0", 8, 1 << 33, ()))
    assert owed_now(engine) == [job]
    assert journal.claim(job, worker="w", lease_s=30, host="h2") is not None


def test_twice_is_as_once(world: World, engine: Engine) -> None:
    """Since when, and the event, are those of the first time; another reason is news, no reason is not."""
    world.host("h1")
    drain(engine, "h1", "kim", "new memory")
    first = row_of(engine, "h1")
    drain(engine, "h1", "lee")
    drain(engine, "h1", "lee", "new memory")
    again = row_of(engine, "h1")
    assert (again.drained_at, again.drained_by, again.drain_reason) == (first.drained_at, "kim", "new memory")
    drain(engine, "h1", "lee", "it smells")
    again = row_of(engine, "h1")
    assert (again.drained_at, again.drained_by, again.drain_reason) == (first.drained_at, "lee", "it smells")
    undrain(engine, "h1", "kim")
    undrain(engine, "h1", "kim")
    assert row_of(engine, "h1").drained_at is None
    assert world.events() == ["host.drained", "host.drained", "host.undrained"]


def test_a_host_nobody_knows_cannot_be_drained(engine: Engine) -> None:
    """A name that could not even be kept is no host either."""
    for name in ("nobody", "nul\0"):
        with pytest.raises(HostNotFound):
            drain(engine, name, "kim")


def test_the_refusal_says_who_and_why(world: World, engine: Engine) -> None:
    """Whoever asks for a job there learns whom to ask."""
    host = world.host("h1")
    with transaction(engine) as session:
        check_takes_jobs(session, host)
    drain(engine, "h1", "kim", "new memory")
    with transaction(engine) as session, pytest.raises(HostDraining, match=r"kim \(new memory\)"):
        check_takes_jobs(session, host)
