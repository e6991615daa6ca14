"""A request can be followed: by its id, from the answer to the job, its events and the log."""

import logging
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from models.events.tables import Event
from models.jobs.journal import Journal
from models.session import transaction
from stillframe.client import Producer
from stillframe.states import JobState
from tests.web.conftest import Api
from tests.world import World

pytestmark = pytest.mark.postgres

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS = {"X-Request-Id": "deploy-42", "traceparent": PARENT}
TRACE = {"request_id": "deploy-42", "traceparent": PARENT}


@pytest.mark.parametrize("path", ["/v1/vms", "/v1/nowhere", "/v1/jobs/x", "/healthz", "/openapi.json"])
def test_every_answer_has_the_id_of_its_request(http: httpx.Client, path: str) -> None:
    """The caller's own, or a new one."""
    assert http.get(path, headers=HEADERS).headers["x-request-id"] == "deploy-42"
    made = http.get(path).headers["x-request-id"]
    assert len(made) == 36
    assert http.get(path, headers={"X-Request-Id": "no good"}).headers["x-request-id"] not in {
        "no good",
        made,
    }


def test_refusals_have_it_too(http: httpx.Client) -> None:
    """Without a key, and with a body that is too large."""
    assert httpx.get(f"{http.base_url}/v1/vms", headers=HEADERS).headers["x-request-id"] == "deploy-42"
    large = http.post("/v1/policies", content=b"x" * (1 << 21), headers=HEADERS)
    assert (large.status_code, large.headers["x-request-id"]) == (413, "deploy-42")


def test_what_nobody_foresaw_has_it_too(
    api: Api, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what the server has logged of it is found."""

    def broken(_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("web.api.vms.rows.vms", lambda *_words, **_more: broken(None))
    answer = http.get("/v1/vms", headers=HEADERS)
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "deploy-42")


def test_a_job_and_all_its_events_go_back_to_its_request(
    api: Api, http: httpx.Client, world: World, journal: Journal, client: Producer, name: str
) -> None:
    """Those of asking, of the worker's steps, and of its end."""
    world.vm(name)
    asked = http.post(f"/v1/vms/{name}/snapshots", json={"type": "hot"}, headers=HEADERS).json()
    assert asked["trace"] == TRACE
    attempt = journal.claim(asked["id"], worker="h1/w", lease_s=30, host="h1")
    assert attempt is not None
    assert attempt.trace is not None
    assert attempt.trace.to_json() == TRACE
    attempt.start("check_vm")
    attempt.finish("check_vm", {}, "make_layers")
    with transaction(api.engine) as session:
        told = session.scalars(select(Event).where(Event.job_id == attempt.job_id)).all()
    assert {one.type for one in told} >= {"job.queued", "job.started", "step.started", "step.finished"}
    assert [one.data.get("trace") for one in told] == [TRACE] * len(told)
    assert attempt.state is JobState.RUNNING


def test_what_is_changed_without_a_job_goes_back_to_its_request(
    http: httpx.Client, world: World, name: str
) -> None:
    """Such as a comment."""
    snapshot = world.snapshot(world.vm(name))
    http.post(f"/v1/snapshots/{snapshot}/comments", json={"text": "hello"}, headers=HEADERS)
    (event,) = http.get("/v1/events", params={"vm": name, "type": "comment.added"}).json()["items"]
    assert event["data"]["trace"] == TRACE


def test_what_asked_for_a_change_is_logged(
    http: httpx.Client, world: World, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line with method, path and status; who only looks leaves none."""
    world.vm(name)
    with caplog.at_level(logging.INFO, logger="web.tracing"):
        http.get(f"/v1/vms/{name}")
        http.post(f"/v1/vms/{name}/snapshots", json={"type": "hot"}, headers=HEADERS)
    (line,) = [one.getMessage() for one in caplog.records if one.name == "web.tracing"]
    assert line.startswith(f"POST /v1/vms/{name}/snapshots: 202 in ")
