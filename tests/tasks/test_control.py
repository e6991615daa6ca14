"""The control side: what beat sends, and that it starts where there is no libvirt."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import beat_schedule
from lab.lab import Lab
from models.tenants.actor import ADMIN
from stillframe.operations import CreateSnapshot
from stillframe.trace import REQUEST_ID, current
from tasks.app import make_app
from tasks.producer import Producer
from tests.nonsense import NONSENSE
from tests.tasks.conftest import Queues
from tests.world import World

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("module", ["beat_schedule", "tasks.producer", "tasks.control", "tasks.beat"])
def test_neither_libvirt_nor_workers_are_loaded(module: str) -> None:
    """Beat, Flower and the API start on a machine that has no libvirt."""
    code = (
        f"import sys, {module}; print([m for m in sys.modules if m in ('libvirt', 'workers', 'hypervisor')])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=_environment()
    )
    assert ended.stdout.strip() == "[]"


def test_every_tick_has_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """The messages of the schedule are those that the control side answers to, on its queue."""
    monkeypatch.setenv("STILLFRAME_BROKER_URL", "redis://127.0.0.1:1/0")
    from tasks import beat, control  # they read the settings

    assert {tick.message for tick in beat_schedule.SCHEDULE.values()} <= set(control.app.tasks)
    assert len(beat.app.conf.beat_schedule) == len(beat_schedule.SCHEDULE)
    for entry in beat.app.conf.beat_schedule.values():
        assert entry["options"]["queue"] == "control"
        assert entry["options"]["expires"] <= entry["schedule"]


def test_each_tick_is_a_request_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a tick does, logs and asks for carries the tick's name and an id that no other run has; outside there is none."""
    monkeypatch.setenv("STILLFRAME_BROKER_URL", "redis://127.0.0.1:1/0")
    from tasks import control, ticks  # they read the settings

    seen: list[str] = []

    def look(*_: object) -> int:
        found = current()
        seen.append(found.request_id if found else "")
        return 0

    for part in ("_engine", "_publisher", "_producer"):
        monkeypatch.setattr(control, part, lambda: None)
    monkeypatch.setattr(ticks, "publish_owed", look)
    monkeypatch.setattr(ticks, "fire_policies", look)
    for tick in (control.publish_owed, control.publish_owed, control.fire_policies):
        tick()

    assert [one.partition("-")[0] for one in seen] == ["publish_owed", "publish_owed", "fire_policies"]
    assert len(set(seen)) == 3
    assert all(REQUEST_ID.fullmatch(one) for one in seen)
    assert current() is None


def test_each_host_keeps_what_it_has_in_hand_under_its_own_keys() -> None:
    """Two hosts share no key, so none can see or restore the other's messages."""
    one, other = (make_app("redis://x", consumer=name).conf.broker_transport_options for name in ("h1", "h2"))
    keys = [key for key in one if key.startswith("unacked_")]
    assert len(keys) == 3
    assert {one[key] for key in keys}.isdisjoint({other[key] for key in keys})


@pytest.mark.postgres
@pytest.mark.broker
def test_beat_and_the_control_worker_publish_what_is_owed(
    world: World, database_url: str, stores: Lab, deaf: Producer, queues: Queues, tmp_path: Path
) -> None:
    """A job asked for while the broker was away is sent to its host within seconds, by real processes."""
    world.vm()
    job = deaf.submit(CreateSnapshot(vm="web"), ADMIN).job_id
    with control_side(database_url, stores.broker_url, tmp_path):
        _wait(lambda: queues.jobs("host.h1") == [str(job)])


@pytest.mark.postgres
@pytest.mark.broker
def test_nonsense_in_the_control_queue_stops_nothing(
    world: World, database_url: str, stores: Lab, deaf: Producer, queues: Queues, tmp_path: Path
) -> None:
    """Whatever lies there is taken away, nothing of it stays in the worker's hands, and the ticks go on."""
    world.vm()
    job = deaf.submit(CreateSnapshot(vm="web"), ADMIN).job_id
    queues.redis.rpush("control", *NONSENSE.values())
    with control_side(database_url, stores.broker_url, tmp_path) as running:
        _wait(lambda: queues.jobs("host.h1") == [str(job)])
        _wait(lambda: queues.redis.llen("control") == 0 and queues.redis.hlen("unacked.control") == 0)
        assert [process.poll() for process in running] == [None, None]


@contextmanager
def control_side(database_url: str, broker_url: str, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The control worker and beat, as processes."""
    worker = ["tasks.control", "worker", "-Q", "control", "-P", "threads", "-c", "1", "-n", "control@test"]
    worker += ["--without-gossip", "--without-mingle"]
    beat = ["tasks.beat", "beat", "-s", str(folder / "beat"), "--pidfile="]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", *arguments, "-l", "WARNING"],
            cwd=ROOT,
            env=_environment(database_url, broker_url),
        )
        for arguments in (worker, beat)
    ]
    try:
        yield running
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)


def _wait(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.1)


def _environment(database_url: str = "", broker_url: str = "redis://127.0.0.1:1/0") -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STILLFRAME_")}
    return kept | {
        "STILLFRAME_DATABASE_URL": database_url,
        "STILLFRAME_BROKER_URL": broker_url,
        "PYTHONPATH": str(ROOT),
    }
