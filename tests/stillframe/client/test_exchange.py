"""When a request is sent again, after how long, and what is raised in the end: without a network and without waiting."""

from email.utils import formatdate
from time import time
from typing import Any

import pytest

from stillframe.client.exchange import Manners, Pause, Reply, Send, Silence, exchange
from stillframe.client.request import Request, change, get, make
from stillframe.errors import (
    ApiUnreachable,
    DatabaseUnavailable,
    IdempotencyInFlight,
    NameTaken,
    NotFound,
    Refused,
    StillframeError,
)

MANNERS = Manners("http://api", patience_s=1000)
GONE = Silence("connection reset", unheard=False)
REFUSED = Silence("connection refused", unheard=True)
GOOD = Reply(200, {}, b'{"id": "j"}')


def reply(status: int, code: str = "", **headers: str) -> Reply:
    body = f'{{"code": "{code}", "detail": "so", "remedy": "do", "evidence": {{"a": 1}}}}' if code else ""
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body.encode())


def played(
    request: Request, *replies: Reply | Silence, manners: Manners = MANNERS
) -> tuple[Any, list[Request], list[float]]:
    """What came of it, each request that was sent, and each pause."""
    sent, pauses = [], []
    waiting = list(replies)
    doing = exchange(request, manners)
    told: Reply | Silence | None = None
    try:
        while True:
            step = doing.send(told)
            if isinstance(step, Send):
                sent.append(step.request)
                told = waiting.pop(0)
            else:
                assert isinstance(step, Pause)
                pauses.append(step.seconds)
                told = None
    except StopIteration as end:
        return end.value, sent, pauses
    except StillframeError as error:
        return error, sent, pauses


@pytest.mark.parametrize(
    "trouble", [GONE, REFUSED, reply(502), reply(503, "database.unavailable"), reply(504), reply(429)]
)
def test_what_can_be_repeated_is_asked_again(trouble: Reply | Silence) -> None:
    """After a lost answer or a server that is away; with the same idempotency key each time."""
    found, sent, pauses = played(make("/v1/policies", {}), trouble, trouble, GOOD)
    assert found == {"id": "j"}
    assert len(pauses) == 2
    assert len({one.headers["Idempotency-Key"] for one in sent}) == 1


@pytest.mark.parametrize(
    ("trouble", "times"), [(GONE, 1), (reply(502), 1), (reply(503), 1), (REFUSED, 2), (reply(429), 2)]
)
def test_what_cannot_be_repeated_is_asked_again_only_if_it_was_not_heard(
    trouble: Reply | Silence, times: int
) -> None:
    """A cancel whose answer was lost may have been carried out: whoever asked has to look."""
    _, sent, _ = played(change("POST", "/v1/jobs/j/cancel"), trouble, GOOD)
    assert len(sent) == times


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 412, 413, 422, 500])
def test_a_refusal_is_final(status: int) -> None:
    """It is raised at once, and its status is kept."""
    error, sent, _ = played(make("/v1/policies"), reply(status, "some.new_code"))
    assert (error.status, error.code, error.detail, len(sent)) == (status, "some.new_code", "so", 1)


def test_a_request_still_in_flight_is_waited_for() -> None:
    """The first answer to the same key is still to come: this is no refusal."""
    trouble = reply(409, "idempotency.in_flight", retry_after="1")
    found, sent, pauses = played(make("/v1/policies"), trouble, GOOD)
    assert (found, len(sent)) == ({"id": "j"}, 2)
    assert 1 <= pauses[0] <= 2
    error, _, _ = played(make("/v1/policies"), trouble, manners=Manners("", 0))
    assert isinstance(error, IdempotencyInFlight)


def test_what_cannot_be_sent_is_not_sent_again() -> None:
    """An address that is none gets no better by waiting."""
    error, sent, _ = played(get("/v1/vms"), Silence("no such protocol", unheard=True, hopeless=True))
    assert isinstance(error, ApiUnreachable)
    assert len(sent) == 1


def test_pauses_grow_and_differ() -> None:
    """Each up to twice the one before, never more than eight seconds, never the same for all who wait."""
    _, _, pauses = played(get("/v1/vms"), *[GONE] * 12, GOOD)
    assert all(0.125 <= one <= 8 for one in pauses)
    assert max(pauses[:2]) < min(pauses[6:])
    assert len(set(pauses)) > 8


@pytest.mark.parametrize("dated", [False, True])
def test_retry_after_is_kept_to(dated: bool) -> None:
    """As seconds or as a date; nobody comes sooner."""
    said = formatdate(time() + 60, usegmt=True) if dated else "60"
    _, _, pauses = played(get("/v1/vms"), reply(429, retry_after=said), GOOD)
    assert 20 <= pauses[0] <= 62


def test_patience_ends() -> None:
    """What is longer than the patience is not waited for; without any it is asked once."""
    error, sent, pauses = played(
        get("/v1/vms"), reply(503, "database.unavailable", retry_after="60"), manners=Manners("", 30)
    )
    assert isinstance(error, DatabaseUnavailable)
    assert (len(sent), pauses) == (1, [])
    error, sent, _ = played(get("/v1/vms"), REFUSED, manners=Manners("http://api", 0))
    assert isinstance(error, ApiUnreachable)
    assert error.detail == "The API at http://api does not answer: connection refused."


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "snapshot.name_taken", NameTaken),
        (409, "a.newer_one", Refused),
        (404, "a.newer_one", NotFound),
        (500, "", StillframeError),
    ],
)
def test_a_problem_is_the_error_of_its_code(status: int, code: str, kind: type[StillframeError]) -> None:
    """Of a code that is not known here the family that its status means, always in the words of the API."""
    error, _, _ = played(get("/v1/vms"), reply(status, code))
    assert type(error) is kind
    if code:
        assert error.to_json() == {"code": code, "detail": "so", "remedy": "do", "evidence": {"a": 1}}
    else:
        assert error.to_json()["code"] == f"http.{status}"
        assert str(error) == "The API answered 500 Internal Server Error."


def test_nonsense_is_told_as_such() -> None:
    """A page of something else on that port is no answer of ours."""
    error, _, _ = played(get("/v1/vms"), Reply(404, {}, b"<html>"))
    assert "does not look like the Stillframe API" in error.remedy
