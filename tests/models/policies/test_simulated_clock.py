"""Years on a simulated clock, by the SQL that claims: restarts, clocks put forward and back, two beats at once.

All that is asked of time below is asked of the clock of the test (tests/clock.py), and the code under test knows nothing
of it.
"""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, update

from models.jobs.tables import Job
from models.policies.keep import add_policy
from models.policies.tables import Firing, FiringState, Policy, PolicySchedule
from models.session import transaction
from models.tenants.actor import ADMIN
from stillframe.policies.as_json import policy_from_json
from stillframe.states import JobState
from tasks.app import make_app
from tasks.policies import claim, let_go, settle_ended
from tasks.producer import Producer
from tests.accounts import check_account
from tests.clock import Clock
from tests.world import World

pytestmark = pytest.mark.postgres

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

SCHEDULES: list[dict[str, Any]] = [
    {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "misfire": "run_once"},
    {"cron": "30 1,13 * * *", "timezone": "America/New_York", "misfire": "run_all", "max_catch_up": 3},
    {"cron": "15 2 * * *", "timezone": "Australia/Lord_Howe", "misfire": "skip", "grace_s": 3600},
    {"every": "7h", "anchor": "2026-02-11T05:00:00Z", "misfire": "run_all", "max_catch_up": 200},
    {"cron": "0 4 * * SUN", "start_at": "2026-04-01T00:00:00Z", "end_at": "2026-10-25T04:00:00Z"},
]


def ask(engine: Engine) -> None:
    policies = [
        {
            "name": f"p{number}",
            "selector": {"names": ["web*"]},
            "schedules": [schedule | {"overlap": "queue"}],
            "retention": {"last": 3},
            "start_within_s": 30 * 86400,
        }
        for number, schedule in enumerate(SCHEDULES)
    ]
    with transaction(engine) as session:
        for wish in policies:
            add_policy(session, policy_from_json(wish), ADMIN)


def live(engine: Engine, clock: Clock, seed: int, days: int, *, jobs: bool) -> None:
    """Two beats tick at once, at any times; sometimes nobody does for long, and sometimes the clock is set."""
    chance = random.Random(seed)
    producer = Producer(engine, make_app("redis://127.0.0.1:1/0"))
    now, astray = BEGIN, timedelta(0)

    def tick(_: int) -> None:
        settle_ended(engine)
        claim(engine)
        if jobs:
            let_go(engine, producer)

    with ThreadPoolExecutor(2) as beats:
        while now < BEGIN + timedelta(days=days):
            now += chance.choice([HOUR, 6 * HOUR, 20 * HOUR, 9 * DAY]) * chance.random()
            if chance.random() < 0.2:
                astray = chance.uniform(-1, 1) * HOUR
            clock.set(now + astray)
            list(beats.map(tick, range(2)))
            if jobs and chance.random() < 0.7:
                _end_jobs(engine)
        clock.set(now + 2 * HOUR)
        tick(0)


def _end_jobs(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(update(Job).values(state=JobState.SUCCEEDED))


def check_all_is_accounted_for(engine: Engine, vms: set[UUID]) -> None:
    """Of each schedule each instant between its first mark and its last."""
    with transaction(engine) as session:
        for schedule in session.scalars(select(PolicySchedule)):
            check_account(session, schedule, BEGIN, len(vms))


@pytest.mark.parametrize("seed", range(2))
def test_each_instant_of_a_year_is_accounted_for(
    world: World, engine: Engine, clock: Clock, seed: int
) -> None:
    """Through both changes of clocks: each instant of each schedule has its firings, or a row that says why not."""
    vms = {world.vm("web1"), world.vm("web2")}
    ask(engine)
    live(engine, clock, seed, 370, jobs=False)
    check_all_is_accounted_for(engine, vms)


def test_each_firing_is_one_job_at_most(world: World, engine: Engine, clock: Clock) -> None:
    """A quarter with all that follows: who was asked has one job of its own, and the others say why they have none."""
    vms = {world.vm("web1"), world.vm("web2")}
    ask(engine)
    live(engine, clock, 7, 90, jobs=True)
    _end_jobs(engine)
    settle_ended(engine)
    check_all_is_accounted_for(engine, vms)
    with transaction(engine) as session:
        rows = list(session.scalars(select(Firing)))
        jobs = Counter(session.scalars(select(Job.id)))
    with_job = [row.job_id for row in rows if row.job_id]
    assert Counter(with_job) == jobs
    assert all(row.job_id or row.reason for row in rows if row.state is not FiringState.WAITING)
    assert sum(row.state is FiringState.SUCCEEDED for row in rows) > 50


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("years", [5, pytest.param(20, marks=pytest.mark.chaos)])
def test_each_instant_of_many_years_is_accounted_for(
    world: World, engine: Engine, clock: Clock, years: int
) -> None:
    """As above, through ten changes of clocks or forty."""
    vms = {world.vm("web1")}
    ask(engine)
    live(engine, clock, 3, years * 366, jobs=False)
    check_all_is_accounted_for(engine, vms)
    with transaction(engine) as session:
        assert session.scalars(select(Policy.suspended_at)).all() == [None] * len(SCHEDULES)
