"""Asking and looking: submissions against the bare message and the bare row, lists against the get of one row.

Ours and the baseline take turns, in one run, on one Postgres and one Redis. The lists are those of a database with a
million snapshots and ten million events; STILLFRAME_BENCH_SCALE=0.01 makes it smaller.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import httpx
from celery import Celery
from sqlalchemy import Engine, insert, text

from bench.many_rows import Size, fill
from bench.record import Figure, compare, keep
from lab.lab import default_var
from lab.stack import Addresses, Stack
from models.events.tables import Event
from models.queries.snapshots import ORDERS
from models.session import make_engine, transaction
from models.tenants.actor import ADMIN
from stillframe.operations import CreateSnapshot
from tasks.app import make_app
from tasks.producer import Producer

SUBMISSIONS = 300
LOOKS = 40
BATCH = 1000
BATCHES = 10
_PAGE = 50


def run() -> None:
    """Measures all, on a stack of its own under var/bench-api that has an API and no workers."""
    scale = float(os.environ.get("STILLFRAME_BENCH_SCALE", "1"))
    size = Size(vms=int(10_000 * scale), snapshots=int(1_000_000 * scale), events=int(10_000_000 * scale))
    stack = Stack(default_var() / "bench-api", host="bench")
    try:
        addresses = stack.up(("api",))
        engine = make_engine(addresses["DATABASE_URL"], statement_timeout_s=0)
        fill(engine, size)
        figures = [
            *_submissions(engine, addresses),
            *_lists(engine, addresses),
            _batches(engine),
        ]
    finally:
        stack.down()
        stack.lab.remove()
        shutil.rmtree(stack.var)  # with the key to a database that is gone
    keep("api", figures)


def _submissions(engine: Engine, addresses: Addresses) -> list[Figure]:
    """Each asks for a snapshot of a VM that nothing else is asked of, so that each publishes a message."""
    vms = _column(engine, f"SELECT id FROM vm ORDER BY random() LIMIT {2 * (SUBMISSIONS + 1)}")
    celery = make_app(addresses["BROKER_URL"])
    producer = Producer(engine, celery)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE bare (id uuid PRIMARY KEY, body jsonb NOT NULL)"))
    http_s: list[float] = []
    inside_s: list[float] = []
    bare_s: list[float] = []
    with _client(addresses) as http:
        for number in range(SUBMISSIONS + 1):
            took = (
                _timed(_ask, http, vms.pop()),
                _timed(producer.submit, CreateSnapshot(vm=str(vms.pop()), type="hot"), ADMIN),
                _timed(_bare_row, engine) + _timed(_bare_message, celery),
            )
            if number:  # the first of each opens connections
                for series, value in zip((http_s, inside_s, bare_s), took, strict=True):
                    series.append(value)
    producer.publisher.close()
    bare = "INSERT, COMMIT, and apply_async, one after the other"
    tails = [[_p99(series)] for series in (http_s, inside_s, bare_s)]
    return [
        compare("submit_http_vs_bare", http_s, bare_s, baseline_name=bare, goal=5.0),
        compare("submit_inprocess_vs_bare", inside_s, bare_s, baseline_name=bare, goal=3.0),
        compare("submit_http_vs_bare_p99", tails[0], tails[2], baseline_name=f"p99 of {bare}", goal=5.0),
        compare("submit_inprocess_vs_bare_p99", tails[1], tails[2], baseline_name=f"p99 of {bare}", goal=3.0),
    ]


def _lists(engine: Engine, addresses: Addresses) -> list[Figure]:
    """Of all lists at all depths the slowest is told; each is over HTTP, as the get of one row is."""
    places = _rows(
        engine, "SELECT id, name, created_at, account_id FROM snapshot ORDER BY random() LIMIT 200"
    )
    vm = _column(engine, "SELECT name FROM vm LIMIT 1")[0]
    lists = {
        "newest first": lambda place: {"cursor": ORDERS["-created_at"].cursor(place.created_at, place.id)},
        "by name": lambda place: {"sort": "name", "cursor": ORDERS["name"].cursor(place.name, place.id)},
        "in error": lambda place: {
            "state": "error",
            "cursor": ORDERS["-created_at"].cursor(place.created_at, place.id),
        },
        "by size": lambda place: {"sort": "size_bytes", "cursor": ORDERS["size_bytes"].cursor(0, place.id)},
        "by VM": lambda place: {"sort": "vm", "cursor": ORDERS["vm"].cursor(vm, place.id)},
        "of a VM": lambda _: {"vm": vm},
        "of a time": lambda place: {"created_before": place.created_at.isoformat()},
    }
    searches = {
        "part of a name": lambda place: {"q": place.name[6:14]},
        "part of a VM's name": lambda _: {"q": vm[3:9]},
        "nothing found": lambda _: {"q": "zzzzzzzz"},
    }
    sparse: dict[str, Callable[[Any], dict[str, Any]]] = {
        "two letters": lambda _: {"q": "zz"},
        "a tag of none": lambda _: {"tag": "none"},
        "a type of none": lambda _: {"type": "memory"},
        "rare states": lambda _: {"state": ["reverting", "deleting"]},
        "an account's, by name": lambda _: {"account": "tenant-1", "sort": "name"},
    }
    with _client(addresses) as http:
        return [
            _worst("list_deep_vs_pk", http, places, lists, goal=3.0),
            _worst("search_vs_pk", http, places, searches, goal=5.0),
            _worst("list_sparse_vs_pk", http, places, sparse, goal=10.0),
        ]


def _worst(
    name: str,
    http: httpx.Client,
    places: Sequence[Any],
    lists: dict[str, Callable[[Any], dict[str, Any]]],
    *,
    goal: float,
) -> Figure:
    dice = random.Random(1)
    ours: dict[str, list[float]] = {what: [] for what in lists}
    one: list[float] = []
    for number in range(LOOKS + 1):
        for what, words in lists.items():
            place = dice.choice(places)
            listed = _timed(_get, http, "/v1/snapshots", {"limit": _PAGE, **words(place)})
            single = _timed(_get, http, f"/v1/snapshots/{place.id}", {})
            if number:
                ours[what].append(listed)
                one.append(single)
    for what, series in ours.items():
        print(f"  {name}: {what:22} {1000 * statistics.median(series):7.2f} ms")
    worst = max(ours, key=lambda what: statistics.median(ours[what]))
    return compare(name, ours[worst], one, baseline_name=f"GET of one snapshot; the list: {worst}", goal=goal)


def _batches(engine: Engine) -> Figure:
    """A thousand events in one statement against a thousand statements with a commit each."""
    together, alone = [], []
    for _ in range(BATCHES):
        told = [{"type": "vm.seen", "actor": "bench", "message": str(number)} for number in range(BATCH)]
        together.append(_timed(_append, engine, [told]))
        alone.append(_timed(_append, engine, [[one] for one in told]))
    return compare("events_batch_speedup", together, alone, baseline_name="one by one", goal=0.1)


def _append(engine: Engine, batches: Sequence[Sequence[dict[str, str]]]) -> None:
    for batch in batches:
        with transaction(engine) as session:
            session.execute(insert(Event), batch)


def _client(addresses: Addresses) -> httpx.Client:
    return httpx.Client(
        base_url=addresses["URL"], headers={"Authorization": f"Bearer {addresses['KEY']}"}, timeout=60
    )


def _ask(http: httpx.Client, vm: UUID) -> None:
    answer = http.post(f"/v1/vms/{vm}/snapshots", json={"type": "hot"})
    if answer.status_code != 202:
        raise RuntimeError(answer.text)


def _get(http: httpx.Client, path: str, words: dict[str, Any]) -> None:
    http.get(path, params=words).raise_for_status()


def _bare_row(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("""INSERT INTO bare VALUES (gen_random_uuid(), '{"type": "hot"}')"""))


def _bare_message(celery: Celery) -> None:
    celery.send_task("bare", kwargs={"job_id": "0" * 36}, queue="bare", ignore_result=True)


def _timed(act: Callable[..., object], *words: Any) -> float:
    began = time.perf_counter()
    act(*words)
    return time.perf_counter() - began


def _p99(series: Sequence[float]) -> float:
    return sorted(series)[int(0.99 * (len(series) - 1))]


def _rows(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(query)))


def _column(engine: Engine, query: str) -> list[Any]:
    return [row[0] for row in _rows(engine, query)]
