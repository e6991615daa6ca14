"""Idempotency-Key: the first answer again, another request refused, and one at a time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select, text

from models.events.tables import Comment, Event
from models.hosts.tables import Rescan
from models.jobs.tables import Job
from models.once import MadeOnce, take_turn
from models.policies.tables import Firing, Policy
from models.session import transaction
from models.tenants.tables import ADMIN_ACCOUNT, Account, ApiKey, Domain
from models.webhooks.tables import Webhook
from stillframe.client import Producer
from tasks import housekeeping
from tests.web.conftest import Api
from tests.web.test_problems import problem
from tests.world import World

pytestmark = pytest.mark.postgres

TABLES = (Job, Policy, Firing, Comment, Rescan, Account, Domain, ApiKey, Webhook, Event)


def wish(name: str, vm: str) -> dict[str, Any]:
    return {
        "name": name,
        "selector": {"names": [vm]},
        "schedules": [{"every": "1d"}],
        "retention": {"last": 3},
    }


@pytest.fixture
def asked(world: World, http: httpx.Client, name: str) -> dict[str, tuple[str, Any, Any]]:
    """Path, body and another body, of each route that makes something."""
    vm = world.vm(name, host=name)
    snapshot = world.snapshot(vm, "s1")
    policy = f"{name}-p"
    http.post("/v1/policies", json=wish(policy, name)).raise_for_status()
    url = f"https://example.com/{name}/"
    webhook = http.post("/v1/webhooks", json={"url": url}).raise_for_status().json()["id"]
    world.vm(f"{name}-given")
    http.post("/v1/accounts", json={"name": f"{name}-home"}).raise_for_status()
    return {
        "a snapshot": (f"/v1/vms/{name}/snapshots", {"type": "hot"}, {"type": "hot", "name": "x"}),
        "a revert": (f"/v1/snapshots/{snapshot}/revert", {}, {"after": "stop"}),
        "an extract": (
            f"/v1/snapshots/{snapshot}/volumes",
            {"target": "vda"},
            {"target": "vda", "name": "v"},
        ),
        "a policy": ("/v1/policies", wish(name, name), wish(f"{name}-2", name)),
        "a run": (f"/v1/policies/{policy}/run", None, None),
        "a comment": (f"/v1/snapshots/{snapshot}/comments", {"text": "a"}, {"text": "b"}),
        "a rescan": (f"/v1/hosts/{name}/rescan", {"repair": True}, {"repair": False}),
        "an account": ("/v1/accounts", {"name": name}, {"name": f"{name}-2"}),
        "a domain": ("/v1/domains", {"name": name}, {"name": f"{name}-2"}),
        "an API key": ("/v1/keys", {"account": "admin", "name": "k"}, {"account": "admin", "name": "l"}),
        "a webhook": ("/v1/webhooks", {"url": url}, {"url": f"{url}other"}),
        "a secret": (f"/v1/webhooks/{webhook}/secret", None, None),
        "a ping": (f"/v1/webhooks/{webhook}/ping", None, None),
        "a gift": (f"/v1/vms/{name}-given:assign", {"account": f"/{name}-home"}, {"account": "admin"}),
    }


@pytest.mark.parametrize(
    "what",
    [
        *("a snapshot", "a revert", "an extract", "a policy", "a run", "a comment", "a rescan"),
        *("an account", "a domain", "an API key", "a webhook", "a secret", "a ping", "a gift"),
    ],
)
def test_the_same_key_makes_once(
    what: str, asked: dict[str, tuple[str, Any, Any]], http: httpx.Client, world: World
) -> None:
    """Ten at once are one, with the same status and what was made first; the key with another request is refused."""
    path, body, other = asked[what]
    key = {"Idempotency-Key": str(uuid4())}
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: http.post(path, json=body, headers=key), range(10)))
    counts = [world.count(table) for table in TABLES]
    again = http.post(path, json=body, headers=key)

    assert {one.status_code for one in answers} == {again.status_code}
    assert again.is_success, again.text
    assert again.headers["Idempotency-Replayed"] == "true"
    assert sum("Idempotency-Replayed" not in one.headers for one in answers) == 1
    assert len({made(one) for one in (*answers, again)}) == 1
    assert [world.count(table) for table in TABLES] == counts
    if other is not None:
        refused = problem(http.post(path, json=other, headers=key))
        assert (refused["status"], refused["code"]) == (422, "idempotency.mismatch")
    assert [world.count(table) for table in TABLES] == counts


def made(answer: httpx.Response) -> str:
    """What of an answer is the same in the answer to the same request sent again."""
    told = answer.json()
    if "items" in told:
        return str([run["id"] for run in told["items"]])
    return str([told.get(name) for name in ("id", "event_id", "secret", "brought")])


def test_a_key_of_an_account_is_shown_once(http: httpx.Client, api: Api, name: str) -> None:
    """The answer to the same request sent again has it not, and nothing in the database has: it is made anew."""
    key = {"Idempotency-Key": name}
    body = {"account": "admin", "name": name}
    first = http.post("/v1/keys", json=body, headers=key).json()
    again = http.post("/v1/keys", json=body, headers=key).json()

    assert first["key"].startswith(first["prefix"])
    assert again["key"] is None
    assert {**first, "key": None} == again
    with transaction(api.engine) as session:
        kept = session.execute(text("SELECT to_jsonb(one)::text FROM made_once AS one")).scalars().all()
        assert not any(first["key"] in row for row in kept)


def test_what_was_asked_for_of_anything_takes_the_key(http: httpx.Client, world: World, name: str) -> None:
    """A key that made a job makes no account, and the other way round; a refused request leaves its key free."""
    world.vm(name)
    path = f"/v1/vms/{name}/snapshots"
    assert http.post(path, json={}, headers={"Idempotency-Key": name}).status_code == 202
    refused = problem(http.post("/v1/accounts", json={"name": name}, headers={"Idempotency-Key": name}))
    assert (refused["status"], refused["code"]) == (422, "idempotency.mismatch")

    key = {"Idempotency-Key": f"{name}-2"}
    assert http.post("/v1/accounts", json={"name": "a/b"}, headers=key).status_code == 422
    assert http.post("/v1/accounts", json={"name": name}, headers=key).status_code == 201
    assert problem(http.post(path, json={}, headers=key))["code"] == "idempotency.mismatch"


def test_keys_are_forgotten_after_a_day(api: Api, http: httpx.Client, world: World, name: str) -> None:
    """Not before; then the same request is a new one."""
    world.vm(name)
    path, key = f"/v1/vms/{name}/snapshots", {"Idempotency-Key": name}
    first = http.post(path, json={}, headers=key).json()["id"]
    _aged(api, name, hours=23)
    housekeeping.forget_keys(api.engine)
    assert http.post(path, json={}, headers=key).json()["id"] == first
    _aged(api, name, hours=25)
    assert housekeeping.forget_keys(api.engine) >= 1
    assert housekeeping.forget_keys(api.engine) == 0
    assert http.post(path, json={}, headers=key).json()["id"] != first


def _aged(api: Api, key: str, hours: int) -> None:
    with transaction(api.engine) as session:
        row = session.scalars(select(MadeOnce).where(MadeOnce.idempotency_key == key)).one()
        row.at = datetime.now(UTC) - timedelta(hours=hours)


def test_a_replay_says_so(http: httpx.Client, world: World, name: str) -> None:
    """By a header, and quotes around a key, as RFC 8941 has them, do not matter."""
    world.vm(name)
    path = f"/v1/vms/{name}/snapshots"
    first = http.post(path, json={}, headers={"Idempotency-Key": name})
    again = http.post(path, json={}, headers={"Idempotency-Key": f'"{name}"'})

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["Location"] == again.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9"])
def test_a_key_has_a_form(http: httpx.Client, world: World, name: str, key: str) -> None:
    """1 to 255 visible ASCII characters; anything else makes nothing."""
    world.vm(name)
    before = world.count(Job)
    answer = http.post(f"/v1/vms/{name}/snapshots", json={}, headers={b"Idempotency-Key": key.encode()})

    assert problem(answer)["code"] == "request.invalid"
    assert world.count(Job) == before


def test_a_request_whose_first_is_still_at_work_is_told_so(
    api: Api, http: httpx.Client, world: World, name: str
) -> None:
    """After some seconds it is 409 with Retry-After, and nothing was made; a client asks again and gets the first."""
    world.vm(name)
    with transaction(api.engine) as first:
        take_turn(first, ADMIN_ACCOUNT, name)
        answer = http.post(f"/v1/vms/{name}/snapshots", json={}, headers={"Idempotency-Key": name})
        assert problem(answer)["code"] == "idempotency.in_flight"
        assert (answer.status_code, answer.headers["Retry-After"]) == (409, "1")
        with ThreadPoolExecutor(1) as pool, Producer(api.url, api.key) as producer:
            waiting = pool.submit(producer.create_snapshot, name, idempotency_key=name)
            first.rollback()
            job = waiting.result(20)
    assert (
        http.post(f"/v1/vms/{name}/snapshots", json={}, headers={"Idempotency-Key": name}).json()["id"]
        == job["id"]
    )
