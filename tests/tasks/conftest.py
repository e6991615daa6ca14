"""A broker for the tests of asking, and a look into its queues."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from redis import Redis
from sqlalchemy import Engine

from lab.lab import Lab
from tasks.app import make_app
from tasks.producer import Producer
from tasks.routing import PRIORITY_STEPS


class Queues:
    """The broker's queues as they lie in Redis."""

    def __init__(self, redis: Redis) -> None:
        #: Asked without `decode_responses`, so that all that comes is bytes; its types leave that open.
        self.redis: Any = redis

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """The messages of a queue in the order in which a worker would read them."""
        found = []
        for step in PRIORITY_STEPS:
            key = f"{queue}\x06\x16{step}" if step else queue
            for raw in reversed(self.redis.lrange(key, 0, -1)):
                message = json.loads(raw)
                message["body"] = json.loads(base64.b64decode(message["body"]))
                found.append(message)
        return found

    def jobs(self, queue: str) -> list[str]:
        """The ids of the jobs that a queue's messages name."""
        return [message["body"][1]["job_id"] for message in self.messages(queue)]


@pytest.fixture
def queues(stores: Lab) -> Iterator[Queues]:
    with Redis.from_url(stores.broker_url) as redis:
        redis.flushall()
        yield Queues(redis)


@pytest.fixture
def app(stores: Lab, queues: Queues) -> Celery:
    return make_app(stores.broker_url)


@pytest.fixture
def producer(engine: Engine, app: Celery) -> Iterator[Producer]:
    producer = Producer(engine, app)
    yield producer
    producer.publisher.close()


@pytest.fixture
def deaf(engine: Engine) -> Iterator[Producer]:
    """A producer whose broker is down."""
    producer = Producer(engine, make_app("redis://127.0.0.1:1/0"))
    yield producer
    producer.publisher.close()
