"""One beat process as it lives, measured from within: start-up, memory, and what its ticks cost. Prints JSON.

`beat_process.py NAME fill|run ENTRIES DUE`, in the environment that has the scheduler of that name; the stores are
named by BENCH_DATABASE and BENCH_BROKER. An entry fires every hour; the first DUE of them are an hour over.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

#: The process's own, set by who started it: what an interpreter needs to begin is part of a start-up.
BEGAN = float(os.environ.get("BENCH_BEGAN", time.time()))
TICKS = 15
#: Of those that are due one by one, so many are looked at.
FEW = 20
EVERY_S = 3600.0
AT_ONCE = 5000


def app_of(**settings: Any) -> Any:
    """An app on the bench's broker."""
    from celery import Celery

    app = Celery("bench", broker=os.environ["BENCH_BROKER"], set_as_current=True)
    app.conf.update(task_ignore_result=True, timezone="UTC", result_expires=None, **settings)
    return app


def fill_redbeat(entries: int, due: int) -> None:
    """As its `save` writes entries, many at a time."""
    from celery.schedules import schedule
    from redbeat.schedulers import RedBeatSchedulerEntry, get_redis

    app = redbeat_app()
    sample = RedBeatSchedulerEntry("sample", "bench.fire", schedule(EVERY_S, app=app), app=app)
    sample.save()
    redis, conf = get_redis(app), app.redbeat_conf
    definition = json.loads(redis.hget(sample.key, "definition"))
    sample.delete()
    now = time.time()
    for first in range(0, entries, AT_ONCE):
        with redis.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + AT_ONCE, entries)):
                last = now - (2 * EVERY_S if number < due else 0)
                key = f"{conf.key_prefix}entry-{number}"
                pipe.hset(key, "definition", json.dumps(definition | {"name": f"entry-{number}"}))
                pipe.hset(key, "meta", json.dumps({"last_run_at": _redbeat_time(last)}))
                pipe.zadd(conf.schedule_key, {key: last + EVERY_S})
            pipe.execute()


def _redbeat_time(at: float) -> Any:
    from redbeat.decoder import RedBeatJSONEncoder

    return json.loads(json.dumps(datetime.fromtimestamp(at, UTC), cls=RedBeatJSONEncoder))


def redbeat_app() -> Any:
    """An app with celery-redbeat's settings."""
    # Without its lock, which is one more way to Redis and back at each tick.
    app = app_of(
        redbeat_redis_url=os.environ["BENCH_BROKER"], redbeat_lock_key=None, beat_max_loop_interval=5
    )
    from redbeat.schedulers import ensure_conf

    ensure_conf(app)
    return app


def redbeat() -> Any:
    """The scheduler of celery-redbeat."""
    from redbeat import RedBeatScheduler

    return RedBeatScheduler(app=redbeat_app())


def fill_sqlalchemy(entries: int, due: int) -> None:
    """Rows of its tables, many at a time; all share one interval, which costs it least."""
    import sqlalchemy as sa
    from sqlalchemy_celery_beat.models import IntervalSchedule, Period, PeriodicTask, PeriodicTaskChanged

    scheduler = sqlalchemy_beat()
    now = datetime.now(UTC)
    with scheduler.engine.begin() as connection:
        connection.execute(sa.delete(PeriodicTask))
        connection.execute(sa.delete(IntervalSchedule))
        connection.execute(sa.delete(PeriodicTaskChanged))
        connection.execute(sa.insert(PeriodicTaskChanged).values(id=1, last_update=now))
        connection.execute(
            sa.insert(IntervalSchedule).values(id=1, every=int(EVERY_S), period=Period.SECONDS)
        )
        for first in range(0, entries, AT_ONCE):
            rows = [
                {
                    **{"name": f"entry-{number}", "task": "bench.fire", "schedule_id": 1, "args": "[]"},
                    **{"kwargs": "{}", "discriminator": "intervalschedule"},
                    "last_run_at": now - timedelta(seconds=2 * EVERY_S if number < due else 0),
                }
                for number in range(first, min(first + AT_ONCE, entries))
            ]
            connection.execute(sa.insert(PeriodicTask), rows)


def sqlalchemy_beat() -> Any:
    """The scheduler of sqlalchemy-celery-beat."""
    from sqlalchemy_celery_beat.schedulers import DatabaseScheduler

    app = app_of(beat_dburi=os.environ["BENCH_DATABASE"], beat_max_loop_interval=5)
    return DatabaseScheduler(app=app)


def stillframe() -> Any:
    """Celery's own scheduler with our few ticks."""
    from celery.beat import PersistentScheduler

    from tasks.beat import app

    file = Path(tempfile.mkdtemp(prefix="stillframe-bench-")) / "beat"
    return PersistentScheduler(app=app, schedule_filename=str(file))


MAKE = {"redbeat": redbeat, "sqlalchemy": sqlalchemy_beat, "stillframe": stillframe}
FILL = {"redbeat": fill_redbeat, "sqlalchemy": fill_sqlalchemy}


def run(name: str, due: int) -> dict[str, Any]:
    """Made, ticked once (what it reads at first is its start-up), then ticked with nothing to do, or with `due` to send."""
    scheduler = MAKE[name]()
    if due:
        began = time.perf_counter()
        sent = send_due(scheduler, due)
        return {"due_s": (time.perf_counter() - began) * due / sent, "sent": sent}
    scheduler.tick()
    started = time.time() - BEGAN
    ticks = []
    for _ in range(TICKS):
        began = time.perf_counter()
        scheduler.tick()
        ticks.append(time.perf_counter() - began)
    return {"start_s": started, "ticks_s": ticks, "rss_bytes": rss()}


def send_due(scheduler: Any, due: int) -> int:
    """Ticks until all that is due was sent; one that sends one a tick is asked for a few, after those it begins with."""
    sent = 0
    original = scheduler.apply_async

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal sent
        sent += 1
        return original(*args, **more)

    scheduler.apply_async = counted
    scheduler.tick()
    while 0 < sent < FEW:
        scheduler.tick()
    return sent


def rss() -> int:
    """Bytes that this process has in memory."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def main() -> None:
    """One process, one life."""
    logging.disable(logging.INFO)
    name, verb, entries, due = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if verb == "fill":
        FILL[name](entries, due)
    else:
        print(json.dumps(run(name, due)))


if __name__ == "__main__":
    main()
