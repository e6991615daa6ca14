"""Two beats that are killed again and again, and a broker that goes away: no instant fires twice, none is lost.

The schedules fire every few seconds, which no person may ask for: the rows are put so after they were made.
"""

import logging
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from lab.daemon import Daemon
from lab.stack import ROOT
from models.jobs.tables import Job
from models.policies.keep import add_policy
from models.policies.tables import Firing, FiringState, PolicySchedule
from models.session import transaction
from models.tenants.actor import ADMIN
from stillframe.policies.as_json import policy_from_json, schedule_from_json
from stillframe.states import OVER
from tests.accounts import check_account
from tests.journeys.site import Site, until

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.postgres, pytest.mark.broker]

#: Seconds between the last instant that was decided about and the end: both beats may have been dead, and Redis away.
BEHIND_S = 60
ROOMY = {
    "max_depth": 200,
    "max_per_host": 1000,
    "max_per_storage": 1000,
    "min_free_bytes": 0,
    "min_free_percent": 0,
}

#: What is fast, by name: seconds between two firings, its VMs, and what becomes of what nobody saw in time.
FAST: dict[str, tuple[int, list[str], dict[str, Any]]] = {
    "all-made-up": (
        3,
        ["vm0", "vm1", "vm2"],
        {"misfire": "run_all", "max_catch_up": 1000, "overlap": "queue"},
    ),
    "one-made-up": (5, ["vm3", "vm4", "vm5", "vm6"], {"misfire": "run_once"}),
    "none-made-up": (7, ["vm7", "vm8"], {"misfire": "skip", "grace_s": 4}),
    "spread": (10, ["vm9", "vm10", "vm11"], {"misfire": "run_once", "jitter_s": 8}),
}


_FASTER = """
    UPDATE policy_schedule SET mark = now(), next_at = now(), spec = policy_schedule.spec || CAST(:fast AS jsonb)
    FROM policy WHERE policy.id = policy_id AND policy.name = :name
"""


@dataclass(frozen=True)
class Outcome:
    """What came of it, for whoever reads the log."""

    seconds: float
    killed: int
    instants: int
    firings: dict[str, int]
    jobs: int


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_beats_for_half_a_minute(site: Site) -> None:
    """Thirty seconds: each instant has its firings or a row that says why not, each firing that asked has one job."""
    told = lived(site, 30, dice=1)
    assert told.killed >= 3


@pytest.mark.chaos
@pytest.mark.timeout(1500)
def test_two_beats_for_five_minutes(site: Site) -> None:
    """Five minutes, with the broker gone for a moment in the middle."""
    told = lived(site, 300, dice=random.randrange(2**32))
    logger.warning("%s", told)
    assert told.killed >= 20


def lived(site: Site, seconds: float, dice: int) -> Outcome:
    """Makes the policies, kills for so long, lets all end, and judges."""
    chance = random.Random(dice)
    logger.warning("dice %d", dice)
    began = _make_fast(site)
    with _second_beat(site) as second:
        killed = _kill(site, second, seconds, chance)
    site.stack.start("beat")
    _until_it_stood_still(site)
    return _judge(site, began, seconds, killed)


def _make_fast(site: Site) -> dict[UUID, datetime]:
    """Policies as anybody makes them, then faster than anybody may; since when each fires."""
    with transaction(site.engine) as session:
        for name, (every_s, vms, more) in FAST.items():
            wish = {"name": name, "selector": {"names": vms}, "retention": {"last": 5}, "guards": ROOMY}
            slow = {"every": "1m", **more}
            add_policy(session, policy_from_json(wish | {"schedules": [slow]}), ADMIN)
            session.execute(text(_FASTER).bindparams(fast=f'{{"every": "{every_s}s"}}', name=name))
    with transaction(site.engine) as session:
        return {row.id: row.mark for row in session.scalars(select(PolicySchedule))}


@contextmanager
def _second_beat(site: Site) -> Iterator[Daemon]:
    var = site.stack.var
    daemon = Daemon("beat-2", var / "beat-2.pid", var / "beat-2.log")
    try:
        yield daemon
    finally:
        daemon.end(signal.SIGKILL)


def _start(site: Site, daemon: Daemon) -> None:
    if daemon.name == "beat":
        return site.stack.start("beat")
    settings = (f"{name}={value}" for name, value in site.stack.addresses().values.items())
    beat = (sys.executable, "-m", "celery", "-A", "tasks.beat", "beat", "--pidfile", "")
    if daemon.pid is None:
        daemon.start(
            ["env", "-C", str(ROOT), *settings, *beat, "--schedule", str(site.stack.var / "beat-2.file")]
        )
    return None


def _kill(site: Site, second: Daemon, seconds: float, chance: random.Random) -> int:
    """Kills either or both, at any time, for any time; and once the broker. How often a beat was killed."""
    beats = [site.stack.daemon("beat"), second]
    killed, end, broker_at = 0, time.monotonic() + seconds, time.monotonic() + seconds / 2
    while time.monotonic() < end:
        for beat in beats:
            _start(site, beat)
        time.sleep(chance.uniform(0, 6))
        for beat in chance.choice([beats[:1], beats[1:], beats]):
            if beat.pid is not None:
                beat.end(signal.SIGKILL)
                killed += 1
        time.sleep(chance.choice([0, 0, 1, 4]))
        if broker_at < time.monotonic():
            broker_at = float("inf")
            site.lab.restart_redis()
    return killed


def _until_it_stood_still(site: Site) -> None:
    """One beat goes on until what is due was decided about; then nothing fires any more, and all that was asked ends."""
    now = site.sql("SELECT now()")[0][0]

    def decided() -> bool:
        with transaction(site.engine) as session:
            return all(row.next_at > now for row in session.scalars(select(PolicySchedule)))

    until(decided, BEHIND_S, "a look at all schedules", every_s=0.2)
    with transaction(site.engine) as session:
        session.execute(text("UPDATE policy_schedule SET next_at = NULL"))
    over = "', '".join(sorted(OVER))
    until(
        lambda: (
            not site.sql(
                "SELECT 1 FROM firing WHERE state IN ('waiting', 'asked') "
                f"UNION ALL SELECT 1 FROM job WHERE state NOT IN ('{over}') LIMIT 1"
            )
        ),
        600,
        "the end of all firings and jobs",
        every_s=0.5,
    )


def _judge(site: Site, began: dict[Any, datetime], seconds: float, killed: int) -> Outcome:
    with transaction(site.engine) as session:
        instants = 0
        for schedule in session.scalars(select(PolicySchedule)):
            spec = schedule_from_json(schedule.spec)
            assert spec.every is not None
            vms = next(vms for every_s, vms, _ in FAST.values() if every_s == spec.every.total_seconds())
            instants += check_account(session, schedule, began[schedule.id], len(vms))
            assert (
                schedule.mark - began[schedule.id]
            ).total_seconds() > seconds - 2 * spec.every.total_seconds()
        firings = list(session.scalars(select(Firing)))
        jobs = list(session.scalars(select(Job.id).where(Job.kind == "create_snapshot")))
        made = session.scalars(select(func.count()).select_from(Job)).one()
    assert all(row.reason for row in firings if row.state in {FiringState.MISSED, FiringState.SKIPPED})
    asked = [row.job_id for row in firings if row.job_id]
    assert Counter(asked) == Counter(jobs)
    assert all(row.job_id for row in firings if row.state in {FiringState.SUCCEEDED, FiringState.FAILED})
    states = Counter(str(row.state) for row in firings)
    assert states["succeeded"] > seconds / 3
    return Outcome(seconds, killed, instants, dict(states), made)
