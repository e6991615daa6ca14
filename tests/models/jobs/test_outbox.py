"""Who is owed a message, and that two who publish never send the same."""

import pytest
from sqlalchemy import Engine, func, update
from sqlalchemy.orm import Session

from models.hosts.tables import Host
from models.jobs.journal import Journal
from models.jobs.outbox import forgotten, mark_published, owed
from models.jobs.tables import INTERACTIVE, SCHEDULED, Job
from models.session import transaction
from tests.world import World

pytestmark = pytest.mark.postgres


def owed_now(engine: Engine) -> list[object]:
    with transaction(engine) as session:
        return [message.job_id for message in owed(session, 100)]


def test_only_the_next_of_each_vm_is_owed(world: World, engine: Engine) -> None:
    """What waits for its VM is not sent; the most urgent goes first."""
    a, b = world.vm("a"), world.vm("b")
    scheduled, _behind, urgent = (
        world.job(a, priority=SCHEDULED),
        world.job(a, priority=SCHEDULED),
        world.job(b, priority=INTERACTIVE),
    )
    assert owed_now(engine) == [urgent, scheduled]


def test_a_host_sends_what_is_its_own(world: World, engine: Engine) -> None:
    """Asked for one host, what is owed to others stays owed."""
    ours, _theirs = world.job(world.vm("a")), world.job(world.vm("b", host="h2"))
    with transaction(engine) as session:
        assert [message.job_id for message in owed(session, 10, host="h1")] == [ours]


def test_what_is_sent_is_no_longer_owed(world: World, engine: Engine) -> None:
    """The mark is part of the transaction: rolled back, the message is owed as before."""
    job = world.job(world.vm())
    with Session(engine) as session:
        mark_published(session, [message.job_id for message in owed(session, 10)])
        session.rollback()
    assert owed_now(engine) == [job]
    with transaction(engine) as session:
        mark_published(session, [message.job_id for message in owed(session, 10)])
    assert owed_now(engine) == []
    assert world.row(job).publish_count == 1


def test_two_publishers_take_different_messages(world: World, engine: Engine) -> None:
    """Rows that one is sending are passed over by the other."""
    jobs = {world.job(world.vm(f"vm{n}")) for n in range(4)}
    with Session(engine) as one, Session(engine) as other:
        first = {message.job_id for message in owed(one, 2)}
        second = {message.job_id for message in owed(other, 10)}
    assert first.isdisjoint(second)
    assert first | second == jobs


def test_a_lost_message_is_owed_again_unless_the_host_is_silent(world: World, engine: Engine) -> None:
    """A queued job that nobody took up in time is published again, and each time later."""
    job = world.job(world.vm())
    two_minutes_ago = func.now() - func.make_interval(0, 0, 0, 0, 0, 2)
    with transaction(engine) as session:
        session.execute(update(Job).values(published_at=two_minutes_ago, publish_count=1))
        session.execute(update(Host).values(last_seen_at=func.now() - func.make_interval(0, 0, 0, 0, 1)))
    with transaction(engine) as session:
        assert forgotten(session) == []
        session.execute(update(Host).values(last_seen_at=func.now()))
        session.execute(update(Job).values(publish_count=3))
        assert forgotten(session) == []
        session.execute(update(Job).values(publish_count=1))
        assert forgotten(session) == [job]


def test_a_job_that_waits_for_its_vm_is_not_forgotten(world: World, engine: Engine, journal: Journal) -> None:
    """While its VM is held by another job, a queued job is left alone."""
    vm = world.vm()
    held, _waiting = world.job(vm), world.job(vm)
    assert journal.claim(held, worker="w", lease_s=30) is not None
    with transaction(engine) as session:
        session.execute(update(Job).values(published_at=func.now() - func.make_interval(0, 0, 0, 0, 2)))
        assert forgotten(session) == []
