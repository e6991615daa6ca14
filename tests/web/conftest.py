"""The API as a process has it: a real server on a real Postgres and Redis, asked over HTTP and by the command line."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import Engine

from lab.lab import Lab
from models.jobs.journal import Journal
from models.session import make_engine, transaction
from models.tenants.keys import make_key
from models.tenants.tables import ADMIN_ACCOUNT
from models.users.passwords import Passwords
from stillframe.cli import main
from stillframe.client import Producer
from stillframe.rights import Role
from stillframe.settings import Settings
from tests.postgres import fresh_database
from tests.world import World
from web.app import create_app
from web.server import Server

#: A hash as it has to be takes a tenth of a second each time; that it is one, programs of their own show.
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@dataclass(frozen=True)
class Api:
    """A running API, its key, and the rows behind it."""

    url: str
    key: str
    engine: Engine
    lab: Lab
    app: FastAPI

    @property
    def http(self) -> httpx.Client:
        """A client that sends the key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        # To read all certificates of the machine takes 20 ms, and there are none to be looked at here.
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=False)


@dataclass
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


@dataclass
class Cli:
    """Runs commands as `stillframe` would, with nobody at a terminal."""

    capsys: pytest.CaptureFixture[str]
    said: list[Said] = field(default_factory=list)

    def __call__(self, *words: str) -> Said:
        self.capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as usage:
            code = int(usage.code or 0)
        out, err = self.capsys.readouterr()
        return Said(code, out, err)


@pytest.fixture(scope="session")
def api(stores: Lab) -> Iterator[Api]:
    """One server for all tests: each makes VMs of its own."""
    with served(stores) as api:
        yield api


@contextmanager
def served(stores: Lab) -> Iterator[Api]:
    """A server with a database of its own."""
    with fresh_database(stores) as url, socket.create_server(("127.0.0.1", 0)) as listening:
        engine = make_engine(url)
        with transaction(engine) as session:
            key, _ = make_key(session, ADMIN_ACCOUNT, Role.ROOT, "tests")
        settings = Settings(
            database_url=url,
            broker_url=stores.broker_url,
            webhook_key="k" * 32,
            webhook_allow="127.0.0.0/8",
        )
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("web.logins.Passwords", lambda: CHEAP)
            app = create_app(settings)
        config = uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=1)
        server = Server(app, config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        until(lambda: server.started)
        yield Api(f"http://127.0.0.1:{listening.getsockname()[1]}", key, engine, stores, app)
        server.should_exit = True
        thread.join(10)
        engine.dispose()


@pytest.fixture
def http(api: Api) -> Iterator[httpx.Client]:
    with api.http as client:
        yield client


@pytest.fixture
def client(api: Api) -> Iterator[Producer]:
    with Producer(api.url, api.key) as client:
        yield client


@pytest.fixture
def world(api: Api) -> World:
    return World(api.engine)


@pytest.fixture
def journal(api: Api) -> Journal:
    return Journal(api.engine)


@pytest.fixture
def cli(api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("STILLFRAME_URL", api.url)
    monkeypatch.setenv("STILLFRAME_KEY", api.key)
    return Cli(capsys)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A VM's name that no other test has."""
    return f"vm-{abs(hash(request.node.nodeid)) % 10**12}"


def until(true: Callable[[], Any], timeout_s: float = 60) -> None:
    """Waits for something that another thread brings about."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
