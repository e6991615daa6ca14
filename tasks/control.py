"""The control side, which needs no libvirt: `celery -A tasks.control worker -Q control`.

Flower runs on it too. This module is a composition root: it reads the settings when it is imported.
"""

from collections.abc import Callable
from functools import cache, wraps

from celery import Celery
from sqlalchemy import Engine

from models.session import make_engine
from stillframe.planning import Limits
from stillframe.settings import Settings
from stillframe.trace import Trace, in_logs, tracing
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
app.conf.worker_log_format = "[%(asctime)s: %(levelname)s/%(processName)s]%(trace)s %(message)s"
in_logs()


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


def _tick(message: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Binds a body to its message. Each run is a request of its own: what it tells, asks for and logs goes back to it."""

    def bound(body: Callable[[], None]) -> Callable[[], None]:
        @wraps(body)
        def run() -> None:
            with tracing(Trace.of_tick(body.__name__)):
                body()

        # Without events: Flower shows jobs, and would show little else.
        tick: Callable[[], None] = app.task(name=message, send_events=False)(run)
        return tick

    return bound


@_tick(PUBLISH_OWED)
def publish_owed() -> None:
    """Send what is owed."""
    ticks.publish_owed(_engine(), _publisher())


@_tick(LAPSE_LEASES)
def lapse_leases() -> None:
    """Wake the hosts of jobs whose workers fell silent."""
    ticks.lapse_leases(_engine(), _publisher())


@_tick(EXPIRE_JOBS)
def expire_jobs() -> None:
    """End the jobs that are not waited for any longer."""
    ticks.expire_jobs(_engine(), _publisher(), settings.vm_gone_s)


@_tick(FIRE_POLICIES)
def fire_policies() -> None:
    """Let policies fire that are due."""
    ticks.fire_policies(_engine(), _producer())


@_tick(EXPIRE_SNAPSHOTS)
def expire_snapshots() -> None:
    """Ask for the deletion of snapshots whose time is over."""
    ticks.expire_snapshots(_engine(), _producer())


@_tick(MEND_CLOCKS)
def mend_clocks() -> None:
    """Let schedules that a clock led astray begin again."""
    housekeeping.mend_clocks(_engine())


@_tick(FORGET_FIRINGS)
def forget_firings() -> None:
    """Remove firings of long ago."""
    housekeeping.forget_firings(_engine(), settings.keep_firings_days)


@_tick(FORGET_KEYS)
def forget_keys() -> None:
    """Remove idempotency keys of long ago."""
    housekeeping.forget_keys(_engine())
