"""Policies: what it costs to find out what is due, to make jobs of it, and to have nothing to do.

With 100,000 policies of which 10,000 are due at once, beside the schedulers people use with as many entries.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from bench.beats import Beat, environment_of_others, lives, of, ticks
from bench.policy_world import clean, make_due, make_policies, some_vms
from bench.record import Figure, absolute, compare, keep
from lab.lab import Lab, default_var
from models.policies.claim import AT_ONCE, claim_due
from models.session import transaction
from models.tenants.actor import ADMIN
from stillframe.operations import CreateSnapshot
from tasks.app import make_app
from tasks.producer import Producer
from tasks.ticks import fire_policies

MANY, FEW, DUE = 100_000, 1_000, 10_000
SINGLY = 50
IDLE_TICKS = 60
#: Where it is not "no worse": celery-redbeat reads one sorted set, and what it sends is not written down anywhere.
GOALS = {"tick_vs_redbeat": 2.0, "rss_vs_redbeat": 1.2, "start_vs_redbeat": 1.2, "due_vs_redbeat": 10.0}


def run() -> None:
    """Measures all, on a Postgres and a Redis of its own under var/bench."""
    lab = Lab(default_var() / "bench")
    lab.start({"postgres", "redis"})
    try:
        many, few = make_policies(lab, MANY), make_policies(lab, FEW)
        broker = lab.broker_url.rpartition("/")[0] + "/3"
        app = make_app(broker)
        producers = {engine: Producer(engine, app) for engine in (many, few)}
        claimed, idle = _claim(many), _idle(producers, many, few)
        published = _publish(many, producers[many])
        figures = [
            *claimed,
            *idle,
            published,
            *_beats(lab, published.ours, partial(fire_policies, many, producers[many])),
        ]
    finally:
        lab.stop({"postgres", "redis"})
    keep("policies", figures)


def _claim(engine: Engine) -> list[Figure]:
    """Per schedule, a thousand in a transaction and one in a transaction, by turns."""
    clean(engine)
    make_due(engine, DUE)
    batch, single = [], []
    for _ in range(8):
        batch.append(_timed(lambda: _claim_some(engine, AT_ONCE)) / AT_ONCE)
        single.append(_timed(lambda: _claim_some(engine, 1, SINGLY)) / SINGLY)
    one_by_one = "one schedule a transaction"
    return [
        compare("claim_vs_one_by_one", batch, single, baseline_name=one_by_one, goal=0.1),
        compare("claim_vs_1000_a_second", batch, [0.001], baseline_name="a thousand a second", goal=1.0),
    ]


def _claim_some(engine: Engine, limit: int, times: int = 1) -> None:
    for _ in range(times):
        with transaction(engine) as session:
            assert claim_due(session, limit).schedules == limit


def _idle(producers: dict[Engine, Producer], many: Engine, few: Engine) -> list[Figure]:
    """A tick that finds nothing to do, with many policies and with few, by turns."""
    found: dict[Engine, list[float]] = {many: [], few: []}
    for engine in found:
        clean(engine)
    for number in range(IDLE_TICKS):
        for engine, producer in producers.items():
            took = _timed(partial(fire_policies, engine, producer))
            if number:
                found[engine].append(took)
    return [
        absolute("idle_tick_ms", [took * 1000 for took in found[many]], unit="ms", goal=10),
        compare(
            "idle_tick_100k_vs_1k",
            found[many],
            found[few],
            baseline_name="the same with 1,000 policies",
            goal=1.2,
        ),
    ]


def _publish(engine: Engine, producer: Producer) -> Figure:
    """From 10,000 due policies to 10,000 jobs with their messages in the broker; beside the same asked one by one."""
    clean(engine)
    wishes = [CreateSnapshot(vm=str(vm), type="hot") for vm in some_vms(engine, 200)]
    one_by_one = [_timed(partial(producer.submit, wish, ADMIN)) for wish in wishes]
    clean(engine)
    make_due(engine, DUE)
    took = _timed(lambda: _fire_all(engine, producer))
    clean(engine)
    return compare(
        "due_to_published_10k",
        [took],
        [one * DUE for one in one_by_one],
        baseline_name=f"{DUE} requests by Producer.submit, from {len(one_by_one)} of them",
        goal=1.0,
    )


def _fire_all(engine: Engine, producer: Producer) -> None:
    asked = 0
    while asked < DUE:
        asked += fire_policies(engine, producer)


def _beats(lab: Lab, published: float, look: Callable[[], object]) -> list[Figure]:
    """Ours with many and with few policies, and theirs with as many entries."""
    own, others = Path(sys.executable), environment_of_others()
    database, broker = lab.create_database("beats"), lab.broker_url.rpartition("/")[0]
    of_many, of_few = lab.database_url(f"policies_{MANY}"), lab.database_url(f"policies_{FEW}")
    beats = {
        "many": Beat("stillframe", own, MANY, database=of_many, broker=f"{broker}/4"),
        "few": Beat("stillframe", own, FEW, database=of_few, broker=f"{broker}/5"),
        "redbeat": Beat("redbeat", others, MANY, database=database, broker=f"{broker}/6"),
        "sqlalchemy": Beat("sqlalchemy", others, MANY, database=database, broker=f"{broker}/7"),
    }
    beats["redbeat"].fill()
    beats["sqlalchemy"].fill()
    told, looks = lives(beats, look)
    memory = compare(
        "beat_rss_100k_vs_1k",
        of(told["many"], "rss_bytes"),
        of(told["few"], "rss_bytes"),
        baseline_name="beat with 1,000 policies",
        goal=1.05,
        unit="bytes",
    )
    # All that a tick of ours causes: the message that beat sends, and the look that the control worker takes.
    ours = Ours(
        ticks=[took + statistics.median(looks) for took in ticks(told["many"])],
        rss=of(told["many"], "rss_bytes"),
        start=of(told["many"], "start_s"),
        published=published,
    )
    return [
        memory,
        *_beside("redbeat", "celery-redbeat without its lock", ours, told["redbeat"], beats["redbeat"]),
        *_beside("sqlalchemy_beat", "sqlalchemy-celery-beat", ours, told["sqlalchemy"], beats["sqlalchemy"]),
    ]


@dataclass(frozen=True)
class Ours:
    """What our beat needs with many policies: seconds a tick, bytes, seconds to start, and seconds for all that is due."""

    ticks: list[float]
    rss: list[float]
    start: list[float]
    published: float


def _beside(name: str, label: str, ours: Ours, told: list[dict[str, Any]], beat: Beat) -> list[Figure]:
    """Ours against one of theirs. They send a bare message for an entry; ours writes a job with its snapshot and event."""
    beat.fill(DUE)
    due = beat.live(DUE)
    sent = (
        f"{DUE} bare messages" if due["sent"] >= DUE else f"{DUE} bare messages, from {due['sent']} of them"
    )
    series = {
        f"tick_vs_{name}": (ours.ticks, ticks(told), "s", "nothing due"),
        f"rss_vs_{name}": (ours.rss, of(told, "rss_bytes"), "bytes", "memory of its process"),
        f"start_vs_{name}": (ours.start, of(told, "start_s"), "s", "to the end of the first tick"),
        f"due_vs_{name}": ([ours.published], [due["due_s"]], "s", sent),
    }
    return [
        compare(one, mine, theirs, baseline_name=f"{label}, {what}", goal=GOALS.get(one, 1.0), unit=unit)
        for one, (mine, theirs, unit, what) in series.items()
    ]


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
