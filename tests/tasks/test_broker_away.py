"""Requests while the broker is down, deaf or was flushed."""

import socket
import time
from contextlib import suppress

import pytest
from sqlalchemy import Engine, func, update

from models.jobs.journal import Journal
from models.jobs.tables import Job
from models.session import transaction
from models.tenants.actor import ADMIN
from stillframe.operations import CreateSnapshot
from tasks import ticks
from tasks.app import make_app
from tasks.broker import Broker, BrokerAway
from tasks.messages import control
from tasks.producer import Producer
from tests.tasks.conftest import Queues
from tests.world import World

pytestmark = [pytest.mark.postgres, pytest.mark.broker]


def test_a_request_is_taken_quickly_and_its_message_sent_later(
    world: World, engine: Engine, deaf: Producer, producer: Producer, queues: Queues
) -> None:
    """With the broker down submit answers within a second, the job stays owed, and the tick sends it."""
    for name in ("a", "b", "c"):
        world.vm(name)
    began = time.monotonic()
    jobs = [str(deaf.submit(CreateSnapshot(vm=name), ADMIN).job_id) for name in ("a", "b", "c")]
    assert time.monotonic() - began < 1
    assert ticks.publish_owed(engine, deaf.publisher) == 0
    assert queues.jobs("host.h1") == []
    assert ticks.publish_owed(engine, producer.publisher) == 3
    assert queues.jobs("host.h1") == jobs
    assert ticks.publish_owed(engine, producer.publisher) == 0


def test_a_broker_that_never_answers_costs_less_than_a_second() -> None:
    """A connection that is taken and then silent is given up, and then left alone for a while."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = Broker(make_app(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"))
        began = time.monotonic()
        with pytest.raises(BrokerAway):
            broker.send([control("x")])
        assert time.monotonic() - began < 1
        assert connections(silent) > 0
        with pytest.raises(BrokerAway):
            broker.send([control("x")])
        assert connections(silent) == 0
        broker.close()


def connections(server: socket.socket) -> int:
    """How many came since it was asked last."""
    server.setblocking(False)
    taken = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            taken += 1
    return taken


def test_a_flushed_broker_loses_no_job(
    world: World, engine: Engine, producer: Producer, queues: Queues
) -> None:
    """A queued job whose message vanished is published again by the tick, under an id of its own."""
    world.vm()
    job = producer.submit(CreateSnapshot(vm="web"), ADMIN).job_id
    queues.redis.flushall()
    assert ticks.publish_owed(engine, producer.publisher) == 0
    with transaction(engine) as session:
        session.execute(update(Job).values(published_at=func.now() - func.make_interval(0, 0, 0, 0, 0, 2)))
    assert ticks.publish_owed(engine, producer.publisher) == 1
    (message,) = queues.messages("host.h1")
    assert message["body"][1]["job_id"] == str(job)
    assert message["headers"]["id"] == f"{job}.1"
    assert world.row(job).publish_count == 2


def test_a_lapsed_lease_wakes_the_host(
    world: World, engine: Engine, producer: Producer, queues: Queues
) -> None:
    """The job of a worker that fell silent is sent to its host again, and can be taken over there."""
    world.vm()
    job = producer.submit(CreateSnapshot(vm="web"), ADMIN).job_id
    journal = Journal(engine)
    assert journal.claim(job, worker="w1", lease_s=30) is not None
    assert ticks.lapse_leases(engine, producer.publisher) == 0
    queues.redis.flushall()
    world.lapse_now(job)
    with transaction(engine) as session:
        session.execute(update(Job).values(published_at=func.now() - func.make_interval(0, 0, 0, 0, 0, 1)))
    assert ticks.lapse_leases(engine, producer.publisher) == 1
    assert queues.jobs("host.h1") == [str(job)]
    assert ticks.lapse_leases(engine, producer.publisher) == 0
    assert journal.claim(job, worker="w2", lease_s=30) is not None


def test_a_producer_survives_a_restart_of_the_broker(
    world: World, producer: Producer, queues: Queues
) -> None:
    """A connection that was cut is made anew by the next message."""
    for name in ("a", "b"):
        world.vm(name)
    producer.submit(CreateSnapshot(vm="a"), ADMIN)
    queues.redis.client_kill_filter(_type="normal", skipme=True)
    second = producer.submit(CreateSnapshot(vm="b"), ADMIN)
    assert queues.jobs("host.h1")[-1] == str(second.job_id)
