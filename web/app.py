"""The composition root of the API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from models.jobs.journal import Journal
from models.session import make_engine
from models.users.sessions import Lasts
from stillframe import __version__
from stillframe.planning import Limits
from stillframe.settings import Settings
from tasks.app import make_app
from tasks.producer import Producer
from web import problems
from web.api import (
    accounts,
    deletions,
    domains,
    events,
    giving,
    health,
    holds,
    hosts,
    jobs,
    keys,
    login,
    policies,
    remarks,
    rescans,
    snapshots,
    users,
    vms,
    volumes,
    webhooks,
)
from web.api import problems as problem_pages
from web.auth import check_declared
from web.described import PROBLEM, TAGS, describe, operation_id
from web.house import House
from web.keys import Keys
from web.limits import BodyLimit
from web.logins import Logins
from web.shapes import Problem
from web.streaming import Streams
from web.tracing import Tracing
from web.waiting import Bell

#: At most so many routes run at once (the threads that FastAPI has), each with one connection.
CONNECTIONS = 20
#: What needs a key.
KEYED = (
    *(login, hosts, rescans, accounts, domains, keys, users, giving, vms),
    *(snapshots, deletions, remarks, holds, volumes, jobs, policies, events, webhooks),
)

DESCRIPTION = """\
VM snapshots as queued jobs. What takes time answers `202` with a job and its `Location`;
`GET /v1/jobs/{id}?wait=30s` waits for its end. Every list answers `{items, next_cursor}`; it goes on
until `next_cursor` is null, also behind a page that is short: no page looks further than it can at once.
Every answer has an `X-Request-Id`, the caller's own if it sent one; it and a `traceparent` stay with what was asked for.
Every error is `application/problem+json` with a stable `code`, one plain sentence and a remedy."""

_PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {"description": "Any other problem", "content": {PROBLEM: {}}, "model": Problem},
}


def create_app(settings: Settings) -> FastAPI:
    """The API on the database and broker of the settings. Nothing is connected to before the first need."""
    house = _house(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        house.bell.start()
        yield
        house.streams.close()
        house.bell.stop()
        house.engine.dispose()

    # The pages at /docs bring their scripts with them: a hypervisor network has no way out.
    app = FastAPIOffline(
        title="Stillframe",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_tags=TAGS,
        generate_unique_id_function=operation_id,
    )
    describe(app)
    app.state.house = house
    app.add_middleware(BodyLimit)
    app.add_middleware(Tracing)
    problems.install(app)
    for noun in KEYED:
        app.include_router(noun.router, responses=_PROBLEM)
    for noun in (health, problem_pages):
        app.include_router(noun.router)
    app.state.routes = [route for noun in (*KEYED, health, problem_pages) for route in noun.router.routes]
    check_declared(app)
    return app


def _house(settings: Settings) -> House:
    engine = make_engine(settings.database_url, pool_size=CONNECTIONS, name="stillframe web")
    reads = engine.execution_options(isolation_level="AUTOCOMMIT")
    return House(
        settings=settings,
        engine=engine,
        reads=reads,
        producer=Producer(
            engine,
            make_app(settings.broker_url),
            settings.start_within_s,
            Limits(settings.chain_warn, settings.chain_limit),
        ),
        journal=Journal(engine),
        keys=Keys(engine),
        logins=Logins(engine, Lasts(settings.session_idle_s, settings.session_s)),
        bell=Bell(engine),
        streams=Streams(reads),
    )
