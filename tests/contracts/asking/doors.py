"""The ways in by which a service asks: each does the same, so each passes the same tests."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from models.tenants.actor import ADMIN
from stillframe import AsyncProducer
from stillframe import Producer as HttpProducer
from stillframe.client.answers import Job
from stillframe.operations import Operation
from tasks.app import make_app
from tasks.producer import Producer
from tests.web.conftest import Api


@dataclass(frozen=True)
class Made:
    """What a request became, by ids."""

    job: str
    vm: str
    snapshot: str | None
    volume: str | None


class Door(Protocol):
    """The verbs that all have."""

    def submit(self, operation: Operation, key: str | None = None) -> Made: ...

    def plan(self, operation: Operation) -> dict[str, Any]: ...

    def delete(self, *snapshots: str, key: str | None = None) -> list[str]:
        """Many together; the ids of their jobs."""


class InProcess:
    """`tasks.producer.Producer`, for the account of the key that the others have."""

    def __init__(self, api: Api) -> None:
        self.producer = Producer(api.engine, make_app(api.lab.broker_url))

    def submit(self, operation: Operation, key: str | None = None) -> Made:
        made = self.producer.submit(operation, ADMIN, idempotency_key=key)
        snapshot, volume = made.snapshot_id, made.volume_snapshot_id
        return Made(
            str(made.job_id),
            str(made.vm_id),
            str(snapshot) if snapshot else None,
            str(volume) if volume else None,
        )

    def plan(self, operation: Operation) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(
            json.dumps(self.producer.plan(operation, ADMIN).to_json(), default=str)
        )
        return plain

    def delete(self, *snapshots: str, key: str | None = None) -> list[str]:
        """As all do."""
        return [str(one.job_id) for one in self.producer.delete_snapshots(snapshots, ADMIN, key)]


class Threads:
    """`stillframe.Producer`."""

    def __init__(self, producer: HttpProducer) -> None:
        self.producer = producer

    def submit(self, operation: Operation, key: str | None = None) -> Made:
        return _made(self.producer.submit(operation, key))

    def plan(self, operation: Operation) -> dict[str, Any]:
        return dict(self.producer.plan(operation))

    def delete(self, *snapshots: str, key: str | None = None) -> list[str]:
        """As all do."""
        return [one["id"] for one in self.producer.delete_snapshots(snapshots, idempotency_key=key)["items"]]


class Loop:
    """`stillframe.AsyncProducer`."""

    def __init__(self, producer: AsyncProducer, runner: asyncio.Runner) -> None:
        self.producer, self.runner = producer, runner

    def submit(self, operation: Operation, key: str | None = None) -> Made:
        return _made(self.runner.run(self.producer.submit(operation, key)))

    def plan(self, operation: Operation) -> dict[str, Any]:
        return dict(self.runner.run(self.producer.plan(operation)))

    def delete(self, *snapshots: str, key: str | None = None) -> list[str]:
        """As all do."""
        asked = self.producer.delete_snapshots(snapshots, idempotency_key=key)
        return [one["id"] for one in self.runner.run(asked)["items"]]


@contextmanager
def opened(name: str, api: Api) -> Iterator[Door]:
    """The way in of that name."""
    if name == "in process":
        door = InProcess(api)
        yield door
        door.producer.publisher.close()
    elif name == "threads":
        with HttpProducer(api.url, api.key) as producer:
            yield Threads(producer)
    else:
        with asyncio.Runner() as runner:
            loops = AsyncProducer(api.url, api.key)
            yield Loop(loops, runner)
            runner.run(loops.close())


def _made(job: Job) -> Made:
    return Made(job["id"], job["vm"]["id"], job["snapshot_id"], job["volume_snapshot_id"])
