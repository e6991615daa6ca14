"""Fifty clients ask for snapshots of twenty VMs at once, with the same keys again and again."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest

from lab.lab import Lab
from models.session import DatabaseAway
from stillframe.states import OVER
from tests.journeys.site import Site, until
from tests.storm.crowd import Crowd

pytestmark = [pytest.mark.postgres, pytest.mark.broker]

CLIENTS = 50
AWAY_S = 2.0
#: Snapshots that the account may have: the crowd asks for more.
QUOTA = 60
#: How far two clocks of one machine, Postgres' and ours, may be apart. Seconds.
ASIDE_S = 0.005


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_storm(site: Site) -> None:
    """400 submissions: one job a key, a quota to the last place, VMs each in the order asked, one job of a VM at a time."""
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
    assert most == [QUOTA]
    over = "', '".join(sorted(OVER))
    until(
        lambda: not site.sql(f"SELECT 1 FROM job WHERE state NOT IN ('{over}') LIMIT 1"),
        600,
        "the end of all jobs",
        every_s=0.5,
    )
    return crowd


def _most_at_once(site: Site, storm: threading.Thread) -> int:
    """The most snapshots that counted for the quota at any moment that was looked at."""
    most = 0
    while storm.is_alive():
        with suppress(DatabaseAway):
            (row,) = site.sql("SELECT count(*) AS n FROM snapshot WHERE state NOT IN ('deleted', 'error')")
            most = max(most, row.n)
        time.sleep(0.05)
    return most


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
    assert set(refusals) <= {"quota.exceeded", "snapshot.not_ready"}, refusals
    assert refusals["quota.exceeded"]
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
