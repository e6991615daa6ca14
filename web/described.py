"""What the OpenAPI document says beyond the code: the problems that an operation can answer with, an example of each."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from stillframe.errors import (
    AccountNameAmbiguous,
    AccountNotFound,
    BodyNotJson,
    BodyTooLarge,
    CrossSite,
    CursorInvalid,
    DatabaseUnavailable,
    DomainNotFound,
    Forbidden,
    KeyMissing,
    KeyRefused,
    PasswordToBeChanged,
    SessionRefused,
    StillframeError,
)
from web.errors import RequestNotValid
from web.limits import BODY_BYTES
from web.problems import ProblemResponse, body_of, status_of
from web.shapes import Json, Problem

PROBLEM = str(ProblemResponse.media_type)

TAGS = [
    {"name": "hosts", "description": "Hypervisors, as their workers report them."},
    {"name": "VMs", "description": "Virtual machines, as their hosts' workers last saw them."},
    {"name": "snapshots", "description": "VMs at an instant, and what can be asked of them."},
    {"name": "volume snapshots", "description": "Volumes extracted out of snapshots: standalone images."},
    {"name": "jobs", "description": "What was asked for, and how it goes."},
    {"name": "policies", "description": "Scheduled snapshots: when, of which VMs, and what is kept."},
    {"name": "accounts", "description": "Who owns things, what they may do, and how much they may have."},
    {"name": "users", "description": "People who log in, and what they may do."},
    {"name": "login", "description": "To log in by name and password, and to see who one is."},
    {"name": "events", "description": "What has happened: facts that never change."},
    {"name": "problems", "description": "What can be refused or fail, by its code. No key needed."},
    {"name": "webhooks", "description": "Where events are posted, and what became of each."},
    {"name": "health", "description": "For those who watch the process. No key needed."},
]


def wrong_field() -> StillframeError:
    """An example of a request that does not have the shape of its route."""
    why = "input should be greater than or equal to 1"
    return RequestNotValid(summary=f"query.limit: {why}", fields=[{"where": "query.limit", "why": why}])


#: What any operation that needs a key may answer, then those that change something, take a body, or answer in pages.
ANY: tuple[StillframeError, ...] = (
    *(KeyMissing(), KeyRefused(), SessionRefused(), PasswordToBeChanged()),
    *(wrong_field(), DatabaseUnavailable()),
)
CHANGE: tuple[StillframeError, ...] = (Forbidden(right="create"), CrossSite())
BODY: tuple[StillframeError, ...] = (
    BodyNotJson(why="Expecting ',' delimiter at character 17"),
    BodyTooLarge(limit_bytes=BODY_BYTES),
)
PAGES: tuple[StillframeError, ...] = (CursorInvalid(),)
NO_ACCOUNT: tuple[StillframeError, ...] = (
    AccountNotFound(account="acme"),
    AccountNameAmbiguous(account="dev", candidates="/acme/dev, /other/dev"),
)
NO_DOMAIN = DomainNotFound(domain="/acme")
#: Of lists that can be narrowed to an account or a domain.
OWNED = (*NO_ACCOUNT, NO_DOMAIN)


def problems(*errors: StillframeError) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can raise these, by status, each with its example."""
    found: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        status = status_of(error)
        words = HTTPStatus(status).phrase
        answer = found.setdefault(
            status, {"model": Problem, "description": words, "content": {PROBLEM: {"examples": {}}}}
        )
        examples = answer["content"][PROBLEM]["examples"]
        examples[error.code] = {"summary": error.code, "value": body_of(error)}
    return found


def keyed(*errors: StillframeError) -> dict[int | str, dict[str, Any]]:
    """The same for a route under /v1, which can give the problems of ANY too."""
    return problems(*ANY, *errors)


def operation_id(route: APIRoute) -> str:
    """The name of the function: `create_snapshot`. Clients that are generated call their methods so."""
    return route.name


def describe(app: FastAPI) -> None:
    """Lets the document say that problems are problems: FastAPI files every schema under the route's own type."""
    generate: Callable[[], Json] = app.openapi

    def openapi() -> Json:
        document = generate()
        for answer in _answers(document):
            content = answer.get("content", {})
            if PROBLEM in content:
                for kind in content.keys() - {PROBLEM}:
                    content[PROBLEM]["schema"] = content.pop(kind)["schema"]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _answers(document: Json) -> Iterator[Json]:
    for operations in document["paths"].values():
        for operation in operations.values():
            yield from operation["responses"].values()
