"""How a request is brought to its answer: asked again where that is safe, and every problem as its error.

An exchange is a generator that yields what is to be done next, `Send` or `Pause`, and is told how it went. It knows neither
sockets nor threads nor an event loop; `sync.py` and `asynchronous.py` are the two ways of doing what it says.
"""

import json
import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import Any, TypeVar

from stillframe.client.problems import error_of
from stillframe.client.request import Json, Request, waiting
from stillframe.errors import ApiUnreachable, IdempotencyInFlight, StillframeError
from stillframe.states import OVER

T = TypeVar("T")

#: The first pause is up to so long, each one after it up to twice as long.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0
#: One long poll; longer waits are made of several.
ONE_WAIT_S = 30.0
#: The API, or what stands before it, is overloaded, restarts, or has no database for the moment.
_AWAY = frozenset({502, 503, 504})
_TOO_MANY = 429


@dataclass(frozen=True)
class Send:
    """Send the request, and tell by `Reply` or `Silence` what came of it."""

    request: Request


@dataclass(frozen=True)
class Pause:
    """Wait so long; nothing is to be told."""

    seconds: float


@dataclass(frozen=True)
class Reply:
    """An answer of any status. The names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Silence:
    """No answer came. `unheard`: the request surely never reached the API. `hopeless`: nor ever would."""

    why: str
    unheard: bool
    hopeless: bool = False


Exchange = Generator[Send | Pause, Reply | Silence | None, T]


@dataclass(frozen=True)
class Manners:
    """Whom to ask, and for how many seconds to go on asking while there is no answer (0: ask once)."""

    url: str
    patience_s: float


def exchange(request: Request, manners: Manners) -> Exchange[Json]:
    """The body of the answer; raises an error of `stillframe.errors`.

    Asked again until the patience is over: when nothing came back, and on 502, 503, 504 and 429, as `Retry-After` says
    or after a pause that grows, with chance in it so that many who wait do not come at once. What is not repeatable is
    asked again only where it surely was not heard. Any other 4xx is final, but for `idempotency.in_flight`: then the
    first answer to this very request is still to come.
    """
    began, tries = monotonic(), 0
    while True:
        reply = (yield Send(request)) or Silence("it was not asked", unheard=True)
        if isinstance(reply, Reply) and 200 <= reply.status < 300:
            return _json(reply.body)
        error = _unreachable(manners, reply) if isinstance(reply, Silence) else refusal_of(reply)
        pause_s = _pause_s(request, reply, error, tries)
        if pause_s is None or monotonic() - began + pause_s > manners.patience_s:
            raise error
        yield Pause(pause_s)
        tries += 1


def until_over(path: str, manners: Manners, timeout_s: float | None) -> Exchange[Json]:
    """A job that goes on no more by itself, or as it is when `timeout_s` have passed."""
    until = None if timeout_s is None else monotonic() + timeout_s
    while True:
        left = ONE_WAIT_S if until is None else max(0.0, min(ONE_WAIT_S, until - monotonic()))
        job = yield from exchange(waiting(path, left), manners)
        if job["state"] in OVER or (until is not None and monotonic() >= until):
            return job


def _pause_s(request: Request, reply: Reply | Silence, error: Exception, tries: int) -> float | None:
    """How long to wait before it is sent again; None if it must not be."""
    own = random.uniform(0.5, 1.0) * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(tries, 16))  # noqa: S311
    if isinstance(reply, Silence):
        return own if not reply.hopeless and (reply.unheard or request.repeatable) else None
    again = (
        reply.status == _TOO_MANY
        or (reply.status in _AWAY and request.repeatable)
        or (isinstance(error, IdempotencyInFlight) and request.repeatable)
    )
    if not again:
        return None
    asked = _retry_after_s(reply.headers.get("retry-after"))
    return own if asked is None else asked + own


def _retry_after_s(text: str | None) -> float | None:
    """Seconds, or until a date, as RFC 9110 has it; None for anything else."""
    if not text:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (TypeError, ValueError):
        return None


def _unreachable(manners: Manners, silence: Silence) -> ApiUnreachable:
    return ApiUnreachable(url=manners.url, why=silence.why)


def refusal_of(reply: Reply) -> StillframeError:
    """The error that an answer is."""
    return error_of(_json(reply.body), reply.status)


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body) if body else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}
