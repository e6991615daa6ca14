"""Fifty clients ask for snapshots of twenty VMs at once, with the same keys again and again."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

import pytest

from lab.lab import Lab
from models.session import DatabaseAway
from stillframe.states import OVER
from tests.journeys.site import Site, until
from tests.storm.crowd import Crowd
from tests.storm.judge import Evidence, Ran, faults

pytestmark = [pytest.mark.postgres, pytest.mark.broker]

CLIENTS = 50
#: How long the last jobs may take once all are asked for.
DRAINED_S = 120
AWAY_S = 2.0
#: Snapshots that the account may have: the crowd asks for more.
QUOTA = 60


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_storm(site: Site) -> None:
    """400 submissions: one job a key, a quota to the last place, VMs each in the order asked, one job of a VM at a time."""
    assert faults(weathered(site, 400)) == []


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("away", ["nobody", "postgres", "redis"])
def test_a_long_storm(site: Site, away: str) -> None:
    """2,000 submissions, with Postgres or Redis killed in the middle: none is lost, and none is done twice."""
    strikes: dict[str, Callable[[Lab], None]] = {"postgres": _postgres_away, "redis": _redis_away}
    assert faults(weathered(site, 2000, strikes.get(away))) == []


def _postgres_away(lab: Lab) -> None:
    lab.kill_postgres()
    time.sleep(AWAY_S)
    lab.start_postgres()


def _redis_away(lab: Lab) -> None:
    lab.kill_redis()
    time.sleep(AWAY_S)
    lab.start_redis()


def weathered(site: Site, requests: int, strike: Callable[[Lab], None] | None = None) -> Evidence:
    """The storm, a strike in its middle, and the end of all that was asked for."""
    most: list[int] = []
    crowd = Crowd(site.url, site.key, CLIENTS, requests, dice=int.from_bytes(os.urandom(4)))
    site.client.limit_account("admin", max_snapshots=QUOTA)
    storm = threading.Thread(target=crowd.storm)
    storm.start()
    counting = threading.Thread(target=lambda: most.append(_most_at_once(site, storm)))
    counting.start()
    if strike:
        until(lambda: len(crowd.requests) > requests // 3, 600, "a third of the storm")
        strike(site.lab)
    storm.join()
    counting.join()
    over = "', '".join(sorted(OVER))
    with suppress(AssertionError):  # what is not over by then the judge tells by name
        until(
            lambda: not site.sql(f"SELECT 1 FROM job WHERE state NOT IN ('{over}') LIMIT 1"),
            DRAINED_S,
            "the end of all jobs",
            every_s=0.5,
        )
    return seen(site, crowd, *most)


def _most_at_once(site: Site, storm: threading.Thread) -> int:
    """The most snapshots that counted for the quota at any moment that was looked at."""
    most = 0
    while storm.is_alive():
        with suppress(DatabaseAway):
            (row,) = site.sql("SELECT count(*) AS n FROM snapshot WHERE state NOT IN ('deleted', 'error')")
            most = max(most, row.n)
        time.sleep(0.05)
    return most


def seen(site: Site, crowd: Crowd, most: int) -> Evidence:
    """What the judge needs to know, as the rows have it now."""
    jobs = site.sql(
        "SELECT id::text, idempotency_key, kind, vm_id::text, state, started_at, finished_at FROM job"
    )
    events: dict[str, list[str]] = defaultdict(list)
    for job, type_ in site.sql("SELECT job_id::text, type FROM event WHERE job_id IS NOT NULL ORDER BY id"):
        events[job].append(type_)
    return Evidence(crowd.requests, [Ran(*job) for job in jobs], events, QUOTA, most)
