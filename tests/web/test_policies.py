"""Policies over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import TypeAdapter
from sqlalchemy import func

from models.jobs.tables import Job
from models.policies.tables import PolicySchedule, PolicyVm
from models.session import transaction
from models.vms.tables import Volume
from stillframe.states import JobState
from tasks.app import make_app
from tasks.policies import claim, let_go
from tasks.producer import Producer
from tests.web.conftest import Api
from tests.web.test_problems import problem
from tests.world import World
from web import policy_examples as examples
from web import policy_shapes as shapes
from web import policy_wishes as wishes
from web.shapes import Shape

pytestmark = pytest.mark.postgres


def wish(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "selector": {"names": [name]},
        "schedules": [{"cron": "30 2 * * *", "timezone": "Asia/Seoul"}],
        "retention": {"last": 2},
    } | changes


def test_a_policy_is_made_shown_and_listed(http: httpx.Client, world: World, name: str) -> None:
    """What was asked for comes back with when it fires next, by name and by id."""
    world.vm(name)
    answer = http.post("/v1/policies", json=wish(name))
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made.pop("warnings") == []
    next_at = datetime.fromisoformat(made["next_fire_at"])
    assert (next_at.hour, next_at.minute) == (17, 30)
    assert made["schedules"][0]["timezone"] == "Asia/Seoul"
    assert http.get(answer.headers["Location"]).json() == made
    assert (made["account"], made["domain"]) == ("admin", "/")
    assert http.get(f"/v1/policies/{name}").json() == made
    assert [one["id"] for one in http.get("/v1/policies", params={"q": name}).json()["items"]] == [made["id"]]


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        ({"schedules": [{"cron": "0 0 30 2 *"}]}, 422, "30 2"),
        ({"schedules": [{"cron": "0 25 * * *"}]}, 422, "0 25"),
        ({"schedules": [{"every": "30s"}]}, 422, "a minute is the least"),
        ({"schedules": [{"cron": "@daily", "timezone": "Mars/Olympus"}]}, 422, "no timezone"),
        ({"schedules": [{"cron": "@daily", "end_at": "2020-01-01T00:00:00Z"}]}, 422, "never fires"),
        ({"retention": {"max_count": 0}}, 422, "max_count"),
        ({"retention": {"last": 0}}, 422, "retention.last: 0 would keep none by it; leave it out"),
        ({"retention": {"last": 2, "daily": 0}}, 422, "for no such rule"),
        ({"retention": {"last": 2, "min_keep": 0}}, 422, "min_keep"),
        ({"retention": {"last": 9, "max_count": 3}}, 422, "contradicts itself"),
        ({"retention": {"hourly": 24, "daily": 7}}, 422, "stop for good"),
        ({"selector": {}}, 422, "selector is empty"),
        ({"selector": {"names": ["no-such-*"]}}, 409, "matches no VM"),
        ({"selector": {"host": "hv-none"}}, 404, "hv-none"),
        ({"schedules": []}, 422, "schedules"),
        ({"schedules": [{"cron": "@daily", "colour": 1}]}, 422, "colour"),
        ({"extract": {"targets": [], "retention": {"last": 1}}}, 422, "extract.targets"),
        ({"extract": {"targets": ["vda", "vda"], "retention": {"last": 1}}}, 422, "vda twice"),
        ({"extract": {"targets": ["../x"], "retention": {"last": 1}}}, 422, "../x"),
    ],
)
def test_what_could_never_work_is_refused_at_once(
    http: httpx.Client, world: World, name: str, change: dict[str, Any], code: int, word: str
) -> None:
    """A clear answer when it is made, and nothing is left of it."""
    world.vm(name)
    answer = http.post("/v1/policies", json=wish(name, **change))
    assert answer.status_code == code, answer.text
    assert word in answer.json()["detail"]
    assert http.get(f"/v1/policies/{name}").status_code == 404


def took(api: Api, world: World, vm: UUID, minutes: float) -> None:
    """A hot snapshot of this VM that took so long."""
    job = world.job(vm, snapshot=world.snapshot(vm))
    with transaction(api.engine) as session:
        row = session.get_one(Job, job)
        row.state, row.started_at = JobState.SUCCEEDED, datetime.now(UTC) - timedelta(hours=1)
        row.finished_at = row.started_at + timedelta(minutes=minutes)


def test_what_fires_faster_than_its_snapshots_is_refused_or_warned_of(
    api: Api, http: httpx.Client, world: World, name: str
) -> None:
    """Refused if none of its VMs could keep it; made with a warning, in the preview too, if only some could not."""
    slow, fast = world.vm(name), world.vm(f"{name}-fast")
    took(api, world, slow, minutes=7)
    too_fast = wish(name, schedules=[{"every": "5m"}])
    refused = http.post("/v1/policies", json=too_fast)
    assert (refused.status_code, refused.json()["code"]) == (409, "policy.too_fast")
    assert "7m for a snapshot" in refused.json()["detail"]
    took(api, world, fast, minutes=1)
    both = {"selector": {"names": [f"{name}*"]}}
    made = http.post("/v1/policies", json=too_fast | both)
    assert made.status_code == 201
    (said,) = made.json()["warnings"]
    assert f"{name} (7m)" in said
    assert http.get(f"/v1/policies/{name}/preview").json()["warnings"] == [said]
    slower = http.put(f"/v1/policies/{name}", json=wish(name, schedules=[{"every": "10m"}]) | both)
    assert slower.json()["warnings"] == []
    # What became too fast later can still be edited: it says so.
    assert http.put(f"/v1/policies/{name}", json=too_fast | both).json()["warnings"] == [said]


def test_no_such_rule_is_null(http: httpx.Client, world: World, name: str) -> None:
    """It is shown as null, and what is shown can be sent back."""
    world.vm(name)
    made = http.post("/v1/policies", json=wish(name)).json()
    retention = made["retention"]
    assert (retention["last"], retention["daily"], retention["yearly"], retention["min_keep"]) == (
        2,
        None,
        None,
        1,
    )
    assert (
        http.put(f"/v1/policies/{name}", json=wish(name, retention=retention)).json()["retention"]
        == retention
    )


def test_layers_of_others_are_warned_of(api: Api, http: httpx.Client, world: World, name: str) -> None:
    """A VM that stands on many layers already comes to the guard with what the policy keeps: said when it is made."""
    vm = world.vm(name)
    volume = {"target": "vda", "path": "/x", "format": "qcow2", "storage": "file", "home": "/h"}
    sizes = {"virtual_bytes": 1, "size_bytes": 1, "free_bytes": 1 << 40, "total_bytes": 1 << 41}
    with transaction(api.engine) as session:
        session.add(Volume(vm_id=vm, depth=14, **volume, **sizes))
    (said,) = http.post("/v1/policies", json=wish(name)).json()["warnings"]
    assert f"the volumes of {name} stand on 14 layers that are not its own" in said
    fewer = http.put(f"/v1/policies/{name}", json=wish(name, retention={"last": 1})).json()
    assert fewer["warnings"] == []


def test_a_deletion_says_what_does_not_take_place(http: httpx.Client, world: World, name: str) -> None:
    """Run by hand and deleted before its turn: who deletes it is told, and the rows say so."""
    world.vm(name), world.vm(f"{name}-2")
    http.post("/v1/policies", json=wish(name, selector={"names": [f"{name}*"]}))
    runs = http.post(f"/v1/policies/{name}/run").json()["items"]
    assert {run["asked_by"] for run in runs} == {"admin"}
    assert http.delete(f"/v1/policies/{name}").json() == {"skipped": 2, "asked_for": 2}


def test_how_a_vm_fares_is_listed(api: Api, http: httpx.Client, world: World, name: str) -> None:
    """By name, those that are set aside alone, and one of them is resumed; one that is not is refused."""
    bad, good = world.vm(f"{name}-bad"), world.vm(f"{name}-good")
    id_ = UUID(http.post("/v1/policies", json=wish(name, selector={"names": [f"{name}*"]})).json()["id"])
    with transaction(api.engine) as session:
        why = {"failures": 4, "set_aside_at": func.now(), "set_aside_reason": "no room"}
        session.add(PolicyVm(policy_id=id_, vm_id=bad, **why))
        session.add(PolicyVm(policy_id=id_, vm_id=good, prune_refusal="held"))
    items = http.get(f"/v1/policies/{name}/vms").json()["items"]
    assert [(one["vm"]["name"], one["failures"], one["refused"]) for one in items] == [
        (f"{name}-bad", 4, None),
        (f"{name}-good", 0, "held"),
    ]
    assert items[0]["set_aside"]["reason"] == "no room"
    assert http.get(f"/v1/policies/{name}").json()["set_aside"] == 1
    aside = {"set_aside": True}
    assert http.get(f"/v1/policies/{name}/vms", params=aside).json()["items"] == items[:1]
    resume = f"/v1/policies/{name}/resume"
    assert problem(http.post(resume, json={"vm": f"{name}-good"}))["code"] == "policy.vm_not_set_aside"
    assert http.post(resume, json={"vm": f"{name}-bad"}).json()["set_aside"] == 0
    assert http.get(f"/v1/policies/{name}/vms", params=aside).json()["items"] == []


def test_a_name_is_had_once(http: httpx.Client, world: World, name: str) -> None:
    """Two of one name are refused; a deleted one gives its name back."""
    world.vm(name)
    assert http.post("/v1/policies", json=wish(name)).status_code == 201
    again = http.post("/v1/policies", json=wish(name))
    assert (again.status_code, again.json()["code"]) == (409, "policy.name_taken")
    assert http.delete(f"/v1/policies/{name}").json() == {"skipped": 0, "asked_for": 0}
    assert http.post("/v1/policies", json=wish(name)).status_code == 201


def test_pause_resume_and_edit(http: httpx.Client, world: World, name: str) -> None:
    """Paused it has nothing to come; resumed and edited it has."""
    world.vm(name)
    http.post("/v1/policies", json=wish(name))
    assert http.post(f"/v1/policies/{name}/pause").json()["next_fire_at"] is None
    assert http.post(f"/v1/policies/{name}/resume").json()["next_fire_at"] is not None
    until = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    paused = http.post(f"/v1/policies/{name}/pause", json={"until": until}).json()
    assert datetime.fromisoformat(paused["next_fire_at"]) > datetime.fromisoformat(until)
    edited = http.put(
        f"/v1/policies/{name}", json=wish(name, schedules=[{"every": "6h"}], mode="memory")
    ).json()
    assert (edited["mode"], edited["schedules"][0]["every"]) == ("memory", "6h")


def test_run_now_shows_what_becomes_of_it(api: Api, http: httpx.Client, world: World, name: str) -> None:
    """It fires for its VM; the job is asked for by the policy; the run says which."""
    world.vm(name, host=f"h-{name}")
    http.post("/v1/policies", json=wish(name))
    answer = http.post(f"/v1/policies/{name}/run")
    assert answer.status_code == 202, answer.text
    assert [run["state"] for run in answer.json()["items"]] == ["waiting"]
    let_go(api.engine, Producer(api.engine, make_app("redis://127.0.0.1:1/0")))
    (run,) = http.get(f"/v1/policies/{name}/runs").json()["items"]
    job = http.get(f"/v1/jobs/{run['job_id']}").json()
    assert (run["state"], job["requested_by"], job["vm"]["name"]) == ("asked", f"policy:{name}", name)


def test_preview_tells_the_next_runs_and_what_would_go(
    api: Api, http: httpx.Client, world: World, name: str
) -> None:
    """The next instants in order with each VM's turn; with two kept, the oldest of three would go."""
    vm = world.vm(name)
    made = http.post("/v1/policies", json=wish(name, schedules=[{"every": "1h", "jitter_s": 600}])).json()
    with transaction(api.engine) as session:
        from models.snapshots.tables import Snapshot

        for number in range(3):
            row = session.get_one(Snapshot, world.snapshot(vm, f"p{number}"))
            row.policy_id = made["id"]
            row.created_at = datetime.now(UTC) - timedelta(hours=number + 1)
    found = http.get(f"/v1/policies/{name}/preview", params={"runs": 3}).json()
    assert len(found["runs"]) == 3
    assert found["runs"][0]["at"] == made["next_fire_at"]
    assert found["runs"][0]["turns"][0]["vm"]["name"] == name
    (judged,) = found["vms"]
    assert [(one["name"], one["keep"]) for one in judged["snapshots"]] == [
        ("p0", True),
        ("p1", True),
        ("p2", False),
    ]
    assert judged["snapshots"][0]["reasons"] == ["the last good one", "last 1 of 2"]


def test_missed_moments_are_listed(api: Api, http: httpx.Client, world: World, name: str) -> None:
    """After five hours of silence, one run and four that say why not."""
    world.vm(name)
    made = http.post("/v1/policies", json=wish(name, schedules=[{"every": "1h"}])).json()
    with transaction(api.engine) as session:
        row = session.query(PolicySchedule).filter_by(policy_id=made["id"]).one()
        row.mark -= timedelta(hours=5)
        row.next_at = row.mark
    claim(api.engine)
    missed = http.get(f"/v1/policies/{name}/runs", params={"state": "missed"}).json()["items"]
    assert len(missed) == 4
    assert all(one["vm"] is None and "nobody looked" in one["reason"] for one in missed)


@pytest.mark.parametrize(
    ("shape", "example"),
    [
        (shapes.Policy, examples.POLICY),
        (shapes.MadePolicy, examples.MADE_POLICY),
        (shapes.Run, examples.RUN),
        (shapes.Preview, examples.PREVIEW),
        (wishes.WishPolicy, examples.WISH_POLICY),
        (wishes.WishPause, examples.WISH_PAUSE),
    ],
)
def test_an_example_is_what_it_is_an_example_of(shape: Any, example: dict[str, Any]) -> None:
    """With every field that an answer has, and no other."""
    TypeAdapter(shape).validate_python(example)
    assert set(example) <= set(shape.model_fields)
    if issubclass(shape, Shape):
        assert set(example) == set(shape.model_fields)


def _daily(name: str, vm: str) -> dict[str, Any]:
    return {
        "name": name,
        "selector": {"names": [vm]},
        "schedules": [{"every": "1d"}],
        "retention": {"last": 3},
    }


def test_a_policy_is_not_renamed_to_one_that_is_there(http: httpx.Client, world: World, name: str) -> None:
    """Also one that looks for an account when it is written down: 409, and it stays as it was."""
    world.vm(name)
    first, second = (_daily(f"{name}-{number}", name) for number in (1, 2))
    id_ = http.post("/v1/policies", json=first).json()["id"]
    http.post("/v1/policies", json=second).raise_for_status()
    selector = {"names": [name], "account": "admin"}
    refused = problem(http.put(f"/v1/policies/{id_}", json=second | {"selector": selector}))

    assert (refused["status"], refused["code"]) == (409, "policy.name_taken")
    assert http.get(f"/v1/policies/{id_}").json()["name"] == first["name"]
