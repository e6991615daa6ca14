"""What a real Celery worker, with the settings and flags of a host's, makes of the messages."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.lab import Lab
from models.jobs.tables import SCHEDULED
from models.tenants.actor import ADMIN
from stillframe.operations import CreateSnapshot
from tasks import ticks
from tasks.producer import Producer
from tests.tasks.conftest import Queues
from tests.world import World

pytestmark = [pytest.mark.postgres, pytest.mark.broker]

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["-Q", "host.h1", "-n", "snap@h1", "-c", "1", "-P", "prefork", "-E", "-l", "WARNING"]
FLAGS += ["--without-gossip", "--without-mingle", "--heartbeat-interval", "30"]


@pytest.fixture
def worker(stores: Lab, queues: Queues, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that is to be started after the messages are there; stopped at the end with all its children."""
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tests.tasks.listening", "worker", *FLAGS],
        cwd=ROOT,
        env=os.environ
        | {"STILLFRAME_BROKER_URL": stores.broker_url, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def heard(queues: Queues, count: int) -> list[str]:
    until = time.monotonic() + 60
    while queues.redis.llen("heard") < count and time.monotonic() < until:
        time.sleep(0.05)
    return [line.decode() for line in queues.redis.lrange("heard", 0, -1)]


def test_messages_sent_alone_and_in_batches_are_heard(
    world: World, producer: Producer, deaf: Producer, queues: Queues, worker: subprocess.Popen[bytes]
) -> None:
    """Each message arrives once with its job, VM and snapshot, and none is left in anybody's hands."""
    for name in ("a", "b", "c"):
        world.vm(name)
    first = producer.submit(CreateSnapshot(vm="a", name="s"), ADMIN)
    assert heard(queues, 1) == [f"{first.job_id} a s"]
    late = [deaf.submit(CreateSnapshot(vm=vm, name="s"), ADMIN, priority=SCHEDULED) for vm in ("b", "c")]
    assert ticks.publish_owed(world.engine, producer.publisher) == 2
    assert sorted(heard(queues, 3)[1:]) == sorted(
        f"{one.job_id} {vm} s" for one, vm in zip(late, ("b", "c"), strict=True)
    )
    assert queues.redis.hlen("unacked.h1") == 0
    assert queues.redis.llen("unrouted") == 0
