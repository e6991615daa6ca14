"""The control side, which needs no libvirt: `celery -A tasks.control worker -Q control`.

Flower runs on it too. This module is a composition root: it reads the settings when it is imported.
"""

from functools import cache

from celery import Celery
from sqlalchemy import Engine

from models.session import make_engine
from stillframe.planning import Limits
from stillframe.settings import Settings
from tasks import housekeeping, ticks
from tasks.app import make_app
from tasks.messages import (
    EXPIRE_JOBS,
    EXPIRE_SNAPSHOTS,
    FIRE_POLICIES,
    FORGET_FIRINGS,
    FORGET_KEYS,
    LAPSE_LEASES,
    MEND_CLOCKS,
    PUBLISH_OWED,
)
from tasks.producer import Producer
from tasks.publish import Publisher
from tasks.routing import CONTROL_QUEUE

settings = Settings.from_env()
app: Celery = make_app(settings.broker_url, consumer=CONTROL_QUEUE)


@cache
def _engine() -> Engine:
    """Made by the first tick, hence after the fork."""
    return make_engine(settings.database_url, name="stillframe control")


@cache
def _publisher() -> Publisher:
    return Publisher(_engine(), app)


@cache
def _producer() -> Producer:
    return Producer(
        _engine(), app, settings.start_within_s, Limits(settings.chain_warn, settings.chain_limit)
    )


# Ticks send no events: Flower shows jobs, and would show little else.
@app.task(name=PUBLISH_OWED, send_events=False)
def publish_owed() -> None:
    """Send what is owed."""
    ticks.publish_owed(_engine(), _publisher())


@app.task(name=LAPSE_LEASES, send_events=False)
def lapse_leases() -> None:
    """Wake the hosts of jobs whose workers fell silent."""
    ticks.lapse_leases(_engine(), _publisher())


@app.task(name=EXPIRE_JOBS, send_events=False)
def expire_jobs() -> None:
    """End the jobs that are not waited for any longer."""
    ticks.expire_jobs(_engine(), _publisher(), settings.vm_gone_s)


@app.task(name=FIRE_POLICIES, send_events=False)
def fire_policies() -> None:
    """Let policies fire that are due."""
    ticks.fire_policies(_engine(), _producer())


@app.task(name=EXPIRE_SNAPSHOTS, send_events=False)
def expire_snapshots() -> None:
    """Ask for the deletion of snapshots whose time is over."""
    ticks.expire_snapshots(_engine(), _producer())


@app.task(name=MEND_CLOCKS, send_events=False)
def mend_clocks() -> None:
    """Let schedules that a clock led astray begin again."""
    housekeeping.mend_clocks(_engine())


@app.task(name=FORGET_FIRINGS, send_events=False)
def forget_firings() -> None:
    """Remove firings of long ago."""
    housekeeping.forget_firings(_engine(), settings.keep_firings_days)


@app.task(name=FORGET_KEYS, send_events=False)
def forget_keys() -> None:
    """Remove idempotency keys of long ago."""
    housekeeping.forget_keys(_engine())
