"""Idempotency-Key: the first answer again, another request refused, and one at a time."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from models.events.tables import Comment, Event
from models.hosts.tables import Rescan
from models.jobs.tables import Job
from models.once import take_turn
from models.policies.tables import Firing, Policy
from models.session import transaction
from models.tenants.tables import ADMIN_ACCOUNT
from stillframe.client import Producer
from tests.web.conftest import Api
from tests.web.test_problems import problem
from tests.world import World

pytestmark = pytest.mark.postgres

TABLES = (Job, Policy, Firing, Comment, Rescan, Event)


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
    }


@pytest.mark.parametrize(
    "what", ["a snapshot", "a revert", "an extract", "a policy", "a run", "a comment", "a rescan"]
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
    made = [one.json().get("id") or [run["id"] for run in one.json()["items"]] for one in (*answers, again)]
    assert all(one == made[0] for one in made)
    assert [world.count(table) for table in TABLES] == counts
    if other is not None:
        refused = problem(http.post(path, json=other, headers=key))
        assert (refused["status"], refused["code"]) == (422, "idempotency.mismatch")
    assert [world.count(table) for table in TABLES] == counts


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
