"""Fifty clients ask for snapshots of twenty VMs at once, with the same keys again and again."""

import os
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from lab.daemon import Daemon
from lab.lab import Lab
from lab.places import free_port
from lab.stack import ROOT, Stack
from stillframe.states import OVER
from tests.journeys.site import Site, until
from tests.storm.crowd import NAMES, Crowd

pytestmark = [pytest.mark.postgres, pytest.mark.broker]

PROGRAMS = ("api", "control", "beat")
CLIENTS = 50
AWAY_S = 2.0
#: How far two clocks of one machine, Postgres' and ours, may be apart. Seconds.
ASIDE_S = 0.005


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The real programs, with a worker whose machine never was."""
    monkeypatch.setenv("STILLFRAME_LIBVIRT_URI", "none: the worker of this stack has a fake machine")
    (tmp_path / "stack.env").write_text(f"STILLFRAME_LISTEN=127.0.0.1:{free_port()}\n")
    stack = Stack(tmp_path, f"storm-{uuid.uuid4().hex[:8]}")
    worker = Daemon("fake-worker", tmp_path / "worker.pid", tmp_path / "worker.log")
    try:
        addresses = stack.up(PROGRAMS)
        settings = addresses.values | {
            "STILLFRAME_LOCK_FOLDER": str(tmp_path / "locks"),
            "STILLFRAME_CHAIN_LIMIT": "200",
        }
        worker.start(
            [
                *("env", "-C", str(ROOT), *(f"{name}={value}" for name, value in settings.items())),
                *(sys.executable, "-m", "celery", "-A", "tests.storm.fake_worker", "worker"),
                *("-n", f"snap@{stack.host}", "-Q", f"host.{stack.host}", "-P", "threads", "-c", "4"),
                *("--without-gossip", "--without-mingle", "--heartbeat-interval", "30", "--loglevel", "INFO"),
            ]
        )
        site = Site(stack)
        until(
            lambda: len(site.client.vms(limit=100)["items"]) == len(NAMES), 60, "the worker's look at its VMs"
        )
        yield site
        site.close()
    finally:
        worker.end(signal.SIGKILL)
        for name in PROGRAMS:
            stack.stop(name, signal.SIGKILL)
        stack.lab.remove()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_storm(site: Site) -> None:
    """400 submissions: one job a key, VMs each in the order asked, one job of a VM at a time."""
    judge(site, weathered(site, 400))


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("away", ["nobody", "postgres", "redis"])
def test_a_long_storm(site: Site, away: str) -> None:
    """2,000 submissions, with Postgres or Redis killed in the middle: none is lost, and none is done twice."""
    strikes: dict[str, Callable[[Lab], None]] = {"postgres": _postgres_away, "redis": _redis_away}
    judge(site, weathered(site, 2000, strikes.get(away)))


def _postgres_away(lab: Lab) -> None:
    lab.kill_postgres()
    time.sleep(AWAY_S)
    lab.start_postgres()


def _redis_away(lab: Lab) -> None:
    lab.kill_redis()
    time.sleep(AWAY_S)
    lab.start_redis()


def weathered(site: Site, requests: int, strike: Callable[[Lab], None] | None = None) -> Crowd:
    """The storm, a strike in its middle, and the end of all that was asked for."""
    crowd = Crowd(site.url, site.key, CLIENTS, requests, dice=int.from_bytes(os.urandom(4)))
    storm = threading.Thread(target=crowd.storm)
    storm.start()
    if strike:
        until(lambda: len(crowd.requests) > requests // 3, 600, "a third of the storm")
        strike(site.lab)
    storm.join()
    over = "', '".join(sorted(OVER))
    until(
        lambda: not site.sql(f"SELECT 1 FROM job WHERE state NOT IN ('{over}') LIMIT 1"),
        600,
        "the end of all jobs",
        every_s=0.5,
    )
    return crowd


def judge(site: Site, crowd: Crowd) -> None:
    """What was answered against what the rows say."""
    asked = {request.key: request for request in crowd.requests}
    assert [request.strange for request in asked.values() if request.strange] == []
    jobs = site.sql(
        "SELECT id::text, idempotency_key, vm_id, state, started_at, finished_at, created_at FROM job"
    )

    of_key = Counter(job.idempotency_key for job in jobs)
    assert [key for key, count in of_key.items() if count != 1 or key not in asked] == []
    assert {key: request.jobs for key, request in asked.items() if request.jobs} == {
        job.idempotency_key: {job.id} for job in jobs
    }
    refusals = Counter(code for request in asked.values() for code in request.refusals)
    assert set(refusals) <= {"snapshot.not_ready", "snapshot.busy", "snapshot.not_found"}, refusals
    assert Counter(job.state for job in jobs).keys() <= {"succeeded", "failed"}

    for vm in {job.vm_id for job in jobs}:
        ran = sorted(
            (job for job in jobs if job.vm_id == vm and job.started_at), key=lambda job: job.started_at
        )
        for before, after in pairwise(ran):
            assert before.finished_at <= after.started_at
            sure, began = asked[after.idempotency_key].sure, asked[before.idempotency_key].began
            assert sure + ASIDE_S > began, (
                f"{after.id} was sure before {before.id} was asked for, and ran after it"
            )
