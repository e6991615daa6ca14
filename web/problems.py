"""RFC 9457: every error leaves as application/problem+json, its status taken from one table."""

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from models.queries.trouble import DatabaseTrouble, meaning
from stillframe import errors
from stillframe.catalogue import title_of
from stillframe.errors import (
    BodyNotJson,
    BodyTooLarge,
    DatabaseUnavailable,
    MethodNotAllowed,
    MigrationsMissing,
    RouteNotFound,
    SnapshotChanged,
)
from web.errors import RequestNotValid
from web.tracing import REQUEST_ID, TRACE

log = logging.getLogger(__name__)

#: By family; the nearest class an error descends from decides.
STATUS: dict[type[errors.StillframeError], int] = {
    errors.NotFound: 404,
    errors.Invalid: 422,
    errors.Refused: 409,
    errors.NotNow: 409,
    errors.LostRace: 409,
    errors.KeyMissing: 401,
    errors.KeyRefused: 401,
    errors.LoginRefused: 401,
    errors.SessionRefused: 401,
    errors.TooManyLogins: 429,
    errors.LoginsBusy: 429,
    errors.Forbidden: 403,
    BodyNotJson: 400,
    MethodNotAllowed: 405,
    BodyTooLarge: 413,
    SnapshotChanged: 412,
    DatabaseUnavailable: 503,
    MigrationsMissing: 503,
    errors.StillframeError: 500,
}


#: Characters of a sentence, and of each piece of evidence.
MOST = 2000


class ProblemResponse(JSONResponse):
    """A JSON answer that says it is a problem."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        """As UTF-8; half of a surrogate pair, which a caller may have sent, leaves as it came: escaped."""
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace")


def status_of(error: errors.StillframeError) -> int:
    """The HTTP status of an error."""
    return status_of_kind(type(error))


def status_of_kind(error: type[errors.StillframeError]) -> int:
    """The HTTP status of every error of a class."""
    return next(STATUS[family] for family in error.__mro__ if family in STATUS)


def problem(error: errors.StillframeError, headers: dict[str, str] | None = None) -> ProblemResponse:
    """The answer for an error."""
    status = status_of(error)
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer", **(headers or {})}
    return ProblemResponse(body_of(error), status, headers)


def body_of(error: errors.StillframeError) -> dict[str, Any]:
    """An error in the form of RFC 9457."""
    title = title_of(type(error))
    body = {"type": f"/problems/{error.code}", "title": title, "status": status_of(error)}
    told = {name: _short(value) for name, value in error.to_json().items()}
    return {**body, **told, "evidence": {name: _short(value) for name, value in told["evidence"].items()}}


def _short(value: Any) -> Any:
    """Nobody reads back all of what was sent, were it a megabyte."""
    return f"{value[:MOST]}..." if isinstance(value, str) and len(value) > MOST else value


def install(app: FastAPI) -> None:
    """Makes every way in which a request can go wrong answer with a problem."""
    handlers: dict[type[Exception], Any] = {
        errors.StillframeError: _known,
        RequestValidationError: _not_valid,
        HTTPException: _from_framework,
        DatabaseTrouble: _database,
        Exception: _surprise,
    }
    for family, handler in handlers.items():
        app.add_exception_handler(family, handler)


async def _known(request: Request, error: errors.StillframeError) -> ProblemResponse:
    if status_of(error) >= 500:
        log.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
    wait_s = 1 if isinstance(error, errors.IdempotencyInFlight) else error.context.get("retry_after_s")
    return problem(error, {"Retry-After": str(wait_s)} if wait_s else None)


async def _not_valid(request: Request, error: RequestValidationError) -> ProblemResponse:
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return problem(BodyNotJson(why=f"{found[0]['ctx']['error']} at character {found[0]['loc'][-1]}"))
    fields = [{"where": _where(one["loc"]), "why": _why(one)} for one in found[:20]]
    summary = "; ".join(f"{field['where']}: {field['why']}" for field in fields[:3])
    return problem(RequestNotValid(summary=summary, fields=fields))


def _where(loc: tuple[Any, ...]) -> str:
    """`body.tags.0`. A key made up by the caller may hold anything, so what cannot be shown is left out."""
    return ".".join(str(part) for part in loc)[:100].encode("utf-8", "replace").decode()


def _why(one: dict[str, Any]) -> str:
    text = str(one["msg"]).removeprefix("Value error, ")[:300]
    return text[:1].lower() + text[1:]


async def _from_framework(request: Request, error: HTTPException) -> ProblemResponse:
    headers = dict(error.headers or {})
    path = request.url.path[:200]
    if error.status_code == 404:
        return problem(RouteNotFound(path=path), headers)
    if error.status_code == 405:
        return problem(
            MethodNotAllowed(path=path, method=request.method), {**headers, "Allow": _allow(request)}
        )
    if error.status_code == 400:
        return problem(
            BodyNotJson(why="it is not UTF-8, nested too deep, or holds a number too long"), headers
        )
    if error.status_code == 413:
        return problem(BodyTooLarge(limit_bytes=int(error.detail)), headers)
    title = HTTPStatus(error.status_code).phrase
    body = {"type": "about:blank", "title": title, "status": error.status_code, "detail": f"{title}."}
    extra = {"code": f"http.{error.status_code}", "remedy": "/docs lists what there is.", "evidence": {}}
    return ProblemResponse({**body, **extra}, error.status_code, headers)


def _allow(request: Request) -> str:
    """Every method of the path: the framework knows only those of the first route that has it."""
    fit = [
        route
        for route in request.app.state.routes
        if route.matches({**request.scope, "path_params": {}})[0] is not Match.NONE
    ]
    meant = max(fit, key=lambda route: len(route.path)).path  # `/vms/{vm}` fits `/vms/web1:assign` too
    return ", ".join(sorted({method for route in fit if route.path == meant for method in route.methods}))


async def _database(request: Request, error: Exception) -> ProblemResponse:
    match meaning(error):
        case "unavailable":
            log.warning("%s %s: database: %s", request.method, request.url.path, error)
            return problem(DatabaseUnavailable(), {"Retry-After": "2"})
        case "not_storable":
            log.warning("%s %s: %s", request.method, request.url.path, error)
            return problem(RequestNotValid(summary="a value cannot be stored", fields=[]))
        case _:
            log.error("%s %s failed", request.method, request.url.path, exc_info=error)
            return await _surprise(request, error)


async def _surprise(request: Request, error: Exception) -> ProblemResponse:
    """Nobody foresaw it. The server logs it; the asker learns nothing of our insides."""
    trace = request.scope.get(TRACE)
    headers = {REQUEST_ID: trace.request_id} if trace else None
    return problem(errors.StillframeError(detail="the server has logged what it was"), headers)
