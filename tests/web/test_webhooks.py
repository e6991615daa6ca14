"""Webhooks over HTTP."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import TypeAdapter

from models.webhooks.deliver import PATIENCE_TRIES
from stillframe.addresses import networks
from stillframe.webhooks import RETRIES, signature
from tasks.sending import Sender
from tasks.webhooks import Post, send_due
from tests.receiver import Receiver, receiver
from tests.tasks.test_webhooks import let_rest_end, let_time_pass
from tests.web.conftest import Api
from tests.web.test_problems import problem
from tests.world import World
from web import webhook_shapes as shapes
from web.shapes import Shape

pytestmark = pytest.mark.postgres

POST = Post("k" * 32, "https://snap.example.com", Sender(networks("127.0.0.0/8"), whole_s=1.0))


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def made(http: httpx.Client, other: Receiver) -> Iterator[dict[str, Any]]:
    """A webhook that gets nothing unasked."""
    answer = http.post("/v1/webhooks", json={"url": other.url, "types": ["host.drained"]})
    assert answer.status_code == 201, answer.text
    found = answer.json()
    yield found
    http.delete(f"/v1/webhooks/{found['id']}")


def test_a_webhook_is_made_shown_and_listed(http: httpx.Client, world: World, name: str) -> None:
    """Its secret is shown once, and never again."""
    vm = world.vm(name)
    wish = {"url": "https://ops.example.com/x", "types": ["job.", "job."], "vm": name, "description": "pager"}
    answer = http.post("/v1/webhooks", json=wish)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made["types"] == ["job."]
    assert made["vm"] == {"id": str(vm), "name": name}
    assert (made["state"], made["waiting"], made["dead"]) == ("active", 0, 0)
    assert (made["account"], made["domain"]) == ("admin", "/")
    assert http.get(answer.headers["Location"]).json() == made
    assert http.get("/v1/webhooks").json()["items"][0] == made
    assert secret not in http.get("/v1/events").text
    assert http.delete(answer.headers["Location"]).status_code == 204
    assert problem(http.get(answer.headers["Location"]))["code"] == "webhook.not_found"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"url": "http//x"}, 422, "webhook.url_invalid"),
        ({"url": "https://u:p@example.com"}, 422, "webhook.url_invalid"),
        ({"url": "http://169.254.169.254/x"}, 422, "webhook.url_invalid"),
        ({"url": "https://10.1.2.3/x"}, 422, "webhook.url_invalid"),
        ({"types": ["job"]}, 422, "webhook.type_unknown"),
        ({"vm": "no-such-vm"}, 404, "vm.not_found"),
        ({"level": "loud"}, 422, "request.invalid"),
        ({"secret": "mine"}, 422, "request.invalid"),
        ({"url": None}, 422, "request.invalid"),
        ({"url": "https://x\u0000.example"}, 422, "request.invalid"),
    ],
)
def test_bad_wishes_are_refused(
    http: httpx.Client, made: dict[str, Any], change: dict[str, Any], status: int, code: str
) -> None:
    """When it is made and when it is changed."""
    answers = (
        http.post("/v1/webhooks", json={"url": "https://a.example"} | change),
        http.patch(f"/v1/webhooks/{made['id']}", json=change),
    )
    for answer in answers:
        shown = problem(answer)
        assert (shown["status"], shown["code"]) == (status, code)


def test_what_is_left_out_of_a_change_stays(http: httpx.Client, made: dict[str, Any]) -> None:
    """Each field by itself."""
    where = f"/v1/webhooks/{made['id']}"
    changed = http.patch(where, json={"level": "warning"}).json()
    assert (changed["level"], changed["url"], changed["types"]) == ("warning", made["url"], made["types"])
    assert http.patch(where, json={"description": "d"}).json()["level"] == "warning"


def test_a_ping_shows_how_it_went(
    api: Api, http: httpx.Client, made: dict[str, Any], other: Receiver
) -> None:
    """It is signed with the secret that was shown, and its delivery is found by the event's id."""
    where = f"/v1/webhooks/{made['id']}"
    answer = http.post(f"{where}/ping")
    assert answer.status_code == 202
    event = answer.json()["event_id"]
    send_due(api.engine, POST)

    (got,) = other.got
    assert json.loads(got.body)["data"]["data"]["webhook"] == made["id"]
    at = int(got.headers["webhook-timestamp"])
    assert got.headers["webhook-signature"] == signature(made["secret"], str(event), at, got.body)
    (delivery,) = http.get(f"{where}/deliveries", params={"event": event}).json()["items"]
    assert (delivery["state"], delivery["status"], delivery["event_type"]) == (
        "delivered",
        204,
        "webhook.pinged",
    )

    secret = http.post(f"{where}/secret").json()["secret"]
    assert secret != made["secret"]
    http.post(f"{where}/ping")
    send_due(api.engine, POST)
    got = other.got[-1]
    at = int(got.headers["webhook-timestamp"])
    sent = got.headers["webhook-signature"].split(" ")
    assert sent == [
        signature(one, got.headers["webhook-id"], at, got.body) for one in (secret, made["secret"])
    ]


def test_dead_letters_are_listed_and_sent_again(
    api: Api, http: httpx.Client, made: dict[str, Any], other: Receiver
) -> None:
    """One or all; the webhook says that it fails."""
    where = f"/v1/webhooks/{made['id']}"
    other.answer = 500
    http.post(f"{where}/ping")
    for _ in range(len(RETRIES) + 1):
        let_time_pass(api.engine)
        send_due(api.engine, POST)
    (dead,) = http.get(f"{where}/deliveries", params={"state": "dead"}).json()["items"]
    assert (dead["status"], dead["attempts"]) == (500, len(RETRIES) + 1)
    shown = http.get(where).json()
    assert (shown["state"], shown["dead"], shown["failures"]) == ("failing", 1, len(RETRIES) + 1)

    other.answer = 200
    let_rest_end(api.engine)
    assert http.post(f"{where}/deliveries:replay").json() == {"replayed": 1}
    send_due(api.engine, POST)
    shown = http.get(where).json()
    assert (shown["state"], shown["dead"]) == ("active", 0)
    assert http.post(f"{where}/deliveries/{dead['id']}:replay").status_code == 202
    send_due(api.engine, POST)
    assert len(other.got) == len(RETRIES) + 3
    assert problem(http.post(f"{where}/deliveries/{uuid4()}:replay"))["code"] == "webhook.delivery_not_found"
    assert problem(http.post(f"{where}/deliveries/x:replay"))["code"] == "webhook.delivery_not_found"


def test_a_suspended_webhook_says_so(
    api: Api, http: httpx.Client, made: dict[str, Any], other: Receiver
) -> None:
    """With the reason, and a ping is refused until it is resumed."""
    where = f"/v1/webhooks/{made['id']}"
    other.answer = 503
    http.post(f"{where}/ping")
    for _ in range(PATIENCE_TRIES):
        let_time_pass(api.engine, hours=3)
        send_due(api.engine, POST)
    shown = http.get(where).json()
    assert shown["state"] == "suspended"
    assert "503" in shown["suspended"]["reason"]
    assert problem(http.post(f"{where}/ping"))["code"] == "webhook.not_active"
    told = http.get("/v1/events", params={"type": "webhook.suspended"}).json()["items"][0]
    assert (told["level"], told["data"]["webhook"]) == ("warning", made["id"])

    assert http.post(f"{where}/resume", json={"skip": True}).json()["state"] == "active"
    assert http.post(f"{where}/pause").json()["state"] == "paused"
    assert problem(http.post(f"{where}/ping"))["code"] == "webhook.not_active"
    assert http.post(f"{where}/resume").json()["state"] == "active"


@pytest.mark.parametrize(
    ("shape", "example"),
    [
        (shapes.WishWebhook, shapes.WISH_WEBHOOK),
        (shapes.Webhook, shapes.WEBHOOK),
        (shapes.WebhookDelivery, shapes.DELIVERY),
    ],
)
def test_an_example_is_what_it_is_an_example_of(shape: Any, example: dict[str, Any]) -> None:
    """With every field that an answer has, and no other."""
    TypeAdapter(shape).validate_python(example)
    assert set(example) <= set(shape.model_fields)
    if issubclass(shape, Shape):
        assert set(example) == set(shape.model_fields)


def test_without_a_key_to_sign_with_there_are_no_webhooks(
    api: Api, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal says what is missing."""
    house = api.app.state.house
    monkeypatch.setitem(api.app.state._state, "house", _without_key(house))
    shown = problem(http.post("/v1/webhooks", json={"url": "https://a.example"}))
    assert (shown["status"], shown["code"]) == (409, "webhook.not_set_up")


def _without_key(house: Any) -> Any:
    return replace(house, settings=replace(house.settings, webhook_key=""))
