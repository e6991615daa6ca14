"""The stream of events, read from a running server."""

import json
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text, update

from lab.places import free_port
from models.events.tables import Event
from models.moves import Told, tell
from models.session import transaction
from models.tenants.keys import make_key
from models.tenants.tables import ADMIN_ACCOUNT, ApiKey
from stillframe.client import Producer
from stillframe.client.answers import Event as Answer
from stillframe.client.following import messages
from stillframe.errors import StillframeError
from stillframe.events import EventType, Level
from stillframe.rights import Role
from tests.web.conftest import Api, until
from tests.web.test_problems import problem
from tests.world import World
from web import streaming

pytestmark = pytest.mark.postgres

STREAM = "/v1/events/stream"


def say(
    api: Api, vm: Any, type_: EventType = EventType.VM_CHANGED, level: Level = Level.INFO, **data: Any
) -> None:
    with transaction(api.engine) as session:
        tell(session, Told(type_, "tests", level=level, data=data), vm=vm)


def read(api: Api, seen: list[int], enough: int, **params: Any) -> None:
    """Reads on until `enough` ids are in `seen`."""
    headers = {"Last-Event-ID": str(seen[-1])} if seen else {}
    with api.http as http, http.stream("GET", STREAM, params=params, headers=headers) as answer:
        for _, data in messages(answer.iter_bytes()):
            if data:
                seen.append(json.loads(data)["id"])
                if len(seen) >= enough:
                    return


def events_of(api: Api, vm: Any) -> list[int]:
    with api.engine.connect() as connection:
        return list(connection.scalars(select(Event.id).where(Event.vm_id == vm).order_by(Event.id)))


def test_what_happens_is_told_as_it_happens(api: Api, world: World, client: Producer, name: str) -> None:
    """A stream without an id begins now; each event has its id and is as the list has it."""
    vm = world.vm(name)
    say(api, vm, n=0)
    got: list[Answer] = []
    thread = threading.Thread(target=lambda: got.append(next(iter(client.follow(vm=name)))), daemon=True)
    before = len(api_readers(api))
    thread.start()
    until(lambda: len(api_readers(api)) > before)
    say(api, vm, n=1)
    thread.join(20)

    assert got == [client.events(vm=name)["items"][0]]
    assert got[0]["data"] == {"n": 1}


def api_readers(api: Api) -> set[Any]:
    """Who reads from the server under test."""
    readers: set[Any] = api.app.state.house.streams._readers
    return set(readers)


def test_it_speaks_the_format_of_browsers(api: Api, world: World, http: httpx.Client, name: str) -> None:
    """Its first words say when to come back and where the stream is; then come the events that were missed."""
    vm = world.vm(name)
    say(api, vm)
    say(api, vm, words="a\nb c")
    first, second = events_of(api, vm)
    with http.stream(
        "GET", STREAM, params={"vm": name, "after": 0}, headers={"Last-Event-ID": str(first)}
    ) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        lines = answer.iter_lines()
        head = [next(lines) for _ in range(4)]
        assert (head[0], head[2], head[3]) == ("retry: 1000", f"id: {first}", "")
        assert next(lines) == f"id: {second}"
        event = json.loads(next(lines).removeprefix("data: "))

    assert event["data"] == {"words": "a\nb c"}
    assert event["vm"] == {"id": str(vm), "name": name}


def test_it_takes_the_filters_of_the_list(api: Api, world: World, client: Producer, name: str) -> None:
    """VM, type, level and steps narrow it; `last` begins with the last that are wanted; an unknown VM is a problem."""
    vm = world.vm(name)
    for type_, level in (
        (EventType.VM_SEEN, Level.INFO),
        (EventType.STEP_STARTED, Level.INFO),
        (EventType.VM_DRIFTED, Level.WARNING),
        (EventType.VM_GONE, Level.ERROR),
    ):
        say(api, vm, type_, level)

    def types(wanted: int, **filters: Any) -> list[str]:
        found = client.follow(vm=name, **filters)
        return [next(found)["type"] for _ in range(wanted)]

    assert types(3, after=0, steps=False) == ["vm.seen", "vm.drifted", "vm.gone"]
    assert types(2, after=0, level="warning") == ["vm.drifted", "vm.gone"]
    assert types(1, after=0, type="step.") == ["step.started"]
    assert types(2, last=2) == ["vm.drifted", "vm.gone"]
    assert types(1, last=1, level="warning") == ["vm.gone"]
    with pytest.raises(StillframeError) as error:
        next(client.follow(vm="nowhere-9"))
    assert error.value.code == "vm.not_found"


def test_bad_requests_are_problems(http: httpx.Client) -> None:
    """What is no id of an event is said to be none, before a stream begins."""
    assert problem(http.get(STREAM, headers={"Last-Event-ID": "x"}))["status"] == 422
    assert problem(http.get(STREAM, params={"last": -1}))["status"] == 422
    assert problem(httpx.get(f"{http.base_url}{STREAM}"))["code"] == "key.missing"


def test_the_union_of_broken_streams_is_exactly_what_happened(api: Api, world: World, name: str) -> None:
    """Readers that break off and come back by id get every event once, in one order, whatever order writers commit in."""
    vm = world.vm(name)
    writers, each, readers = 4, 40, 3

    def write(seed: int) -> None:
        chance = random.Random(seed)
        for number in range(each):
            with transaction(api.engine) as session:
                tell(session, Told(EventType.VM_CHANGED, f"w{seed}", data={"n": number}), vm=vm)
                time.sleep(chance.choice((0, 0, 0, 0.01, 0.1)))

    def follow(seen: list[int], seed: int) -> None:
        chance = random.Random(seed)
        read(api, seen, 1, vm=name, after=0)
        while len(seen) < writers * each:
            read(api, seen, min(writers * each, len(seen) + chance.randint(1, 30)), vm=name)

    seen: list[list[int]] = [[] for _ in range(readers)]
    threads = [threading.Thread(target=write, args=(seed,), daemon=True) for seed in range(writers)]
    threads += [threading.Thread(target=follow, args=(seen[i], i), daemon=True) for i in range(readers)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)

    assert sorted(seen[0]) == events_of(api, vm)
    assert seen[0] == seen[1] == seen[2]


def test_a_reader_that_takes_nothing_holds_up_nobody(api: Api, world: World, name: str) -> None:
    """Beside one that reads no byte, others get what is written at once, and so do writers their commits."""
    vm = world.vm(name)
    host, port = api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.sendall(
            f"GET {STREAM}?vm={name}&after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.key}\r\n\r\n".encode()
        )
        began = time.monotonic()
        with transaction(api.engine) as session:
            for _ in range(300):
                tell(session, Told(EventType.VM_CHANGED, "tests", data={"much": "x" * 10_000}), vm=vm)
        seen: list[int] = []
        read(api, seen, 300, vm=name, after=0)
        for _ in range(20):
            say(api, vm)
        read(api, seen, 320, vm=name)

    assert seen == events_of(api, vm)
    assert time.monotonic() - began < 30


def test_a_reader_that_takes_nothing_for_long_is_let_go(
    api: Api, world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It frees its place, and can come back by the id of the last event it had."""
    monkeypatch.setattr(streaming, "STALLED_S", 0.3)
    vm = world.vm(name)
    with transaction(api.engine) as session:
        for _ in range(1000):
            tell(session, Told(EventType.VM_CHANGED, "tests", data={"much": "x" * 10_000}), vm=vm)
    host, port = api.url.removeprefix("http://").split(":")
    before = api_readers(api)
    with socket.create_connection((host, int(port))) as stalled:
        stalled.sendall(
            f"GET {STREAM}?vm={name}&after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.key}\r\n\r\n".encode()
        )
        until(lambda: api_readers(api) - before)
        until(lambda: not api_readers(api) - before, 30)


def test_a_revoked_key_ends_its_streams(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent stream says that it is alive, and asks whether its key is still good."""
    monkeypatch.setattr(streaming, "KEEPALIVE_S", 0.2)
    monkeypatch.setattr("web.keys.REMEMBERED_S", 0.1)
    with transaction(api.engine) as session:
        key, _ = make_key(session, ADMIN_ACCOUNT, Role.READ_ONLY, "leaves")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.stream(
        "GET", f"{api.url}{STREAM}", headers=headers, params={"type": "none"}, timeout=20
    ) as answer:
        words = answer.iter_text()
        next(words)
        assert next(words).startswith(": at ")
        with transaction(api.engine) as session:
            session.execute(
                update(ApiKey).where(ApiKey.name == "leaves").values(revoked_at=datetime.now(UTC))
            )
        assert all(word.startswith(": at ") for word in words)


def test_a_stream_outlives_its_database_connection(
    api: Api, world: World, client: Producer, name: str
) -> None:
    """When Postgres throws everybody out, the client comes back by itself and has missed nothing."""
    vm = world.vm(name)
    say(api, vm)
    found = client.follow(vm=name, after=0)
    got = [next(found)["id"]]
    with api.engine.connect() as connection, suppress(Exception):
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    say(api, vm)
    got.append(next(found)["id"])

    assert got == events_of(api, vm)


def test_a_server_that_stops_ends_its_streams_and_followers_go_on_at_the_next(
    api: Api, world: World, name: str
) -> None:
    """SIGTERM ends the process within a few seconds though somebody follows; who follows notices nothing but a pause."""
    vm, port = world.vm(name), free_port()
    env = {
        "STILLFRAME_DATABASE_URL": api.engine.url.render_as_string(hide_password=False),
        "STILLFRAME_BROKER_URL": api.lab.broker_url,
        "STILLFRAME_LISTEN": f"127.0.0.1:{port}",
        "PATH": "/usr/bin:/bin",
    }
    say(api, vm)

    def serve() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", "web"], env=env)
        until(lambda: answers(port), 60)
        return process

    first = serve()
    try:
        with Producer(f"http://127.0.0.1:{port}", api.key) as client:
            found = client.follow(vm=name, after=0)
            got = [next(found)["id"]]
            began = time.monotonic()
            first.send_signal(signal.SIGTERM)
            assert first.wait(20) in {0, -signal.SIGTERM}
            took = time.monotonic() - began
            say(api, vm)
            first = serve()
            got.append(next(found)["id"])
    finally:
        first.kill()
        first.wait()

    assert got == events_of(api, vm)
    assert took < 3


def answers(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
    return False


def test_events_are_quick(api: Api, world: World, name: str) -> None:
    """From commit to reader it takes a fraction of a second."""
    vm = world.vm(name)
    took: list[float] = []
    ready = threading.Event()

    def watch() -> None:
        with api.http as http, http.stream("GET", STREAM, params={"vm": name}) as answer:
            for _, data in messages(answer.iter_bytes()):
                ready.set()
                if data:
                    took.append(time.time() - json.loads(data)["data"]["at"])
                if len(took) == 50:
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    ready.wait(20)
    for _ in range(50):
        with transaction(api.engine) as session:
            tell(session, Told(EventType.VM_CHANGED, "tests", data={"at": time.time()}), vm=vm)
        time.sleep(0.03)
    thread.join(30)

    assert len(took) == 50
    assert statistics.median(took) < 0.5
