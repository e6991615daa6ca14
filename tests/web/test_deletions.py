"""Many snapshots deleted by one request: a job a VM, all or nothing, and every reason told."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from models.jobs.tables import Job
from models.session import transaction
from stillframe.states import SnapshotState
from tests.web.conftest import Api, Cli
from tests.world import World

pytestmark = pytest.mark.postgres


@pytest.fixture
def http(api: Api) -> Iterator[httpx.Client]:
    with api.http as client:
        yield client


def test_the_command_line_tells_each_reason(cli: Cli, world: World, name: str) -> None:
    """A line a snapshot, with what to do about it."""
    vm = world.vm(name)
    ids = [str(world.snapshot(vm, one)) for one in ("a", "b")]
    assert cli("snapshot", "hold", ids[0], "--reason", "audit").code == 0
    said = cli("snapshot", "delete", *ids, "--yes")
    assert said.code == 5
    (line,) = [one for one in said.err.splitlines() if one.startswith("  ")]
    assert line.startswith(f"  {ids[0]}: ")
    assert "snapshot release" in line
    assert "{" not in said.err


def jobs_of(world: World, *vms: UUID) -> list[str]:
    """The kinds of all jobs of these VMs."""
    with transaction(world.engine) as session:
        return sorted(job.kind for job in session.query(Job).where(Job.vm_id.in_(vms)))


def test_it_becomes_a_job_a_vm(http: httpx.Client, world: World, name: str) -> None:
    """Of one VM's several together; of another's single one the same job as ever. Each is taken once, however often named."""
    first, second = world.vm(f"{name}-a"), world.vm(f"{name}-b")
    several = [str(world.snapshot(first)) for _ in range(3)]
    single = str(world.snapshot(second))
    answer = http.post("/v1/snapshots:delete", json={"ids": [*several, single, several[0].upper()]})
    assert answer.status_code == 202, answer.text
    jobs = {one["kind"]: one for one in answer.json()["items"]}
    assert [one["id"] for one in jobs["prune_snapshots"]["snapshots"]] == several
    assert jobs["delete_snapshot"]["snapshot_id"] == single
    assert jobs_of(world, first, second) == ["delete_snapshot", "prune_snapshots"]
    again = http.post("/v1/snapshots:delete", json={"ids": [single]})
    assert again.status_code == 409
    assert again.json()["evidence"]["refusals"][0]["code"] == "snapshot.deletion_asked"


def test_if_one_may_not_go_nothing_is_asked(http: httpx.Client, world: World, name: str) -> None:
    """The answer has every one that is in the way, each with its reason and remedy."""
    vm, other = world.vm(f"{name}-a"), world.vm(f"{name}-b")
    good = [str(world.snapshot(one)) for one in (vm, vm, other)]
    busy = str(world.snapshot(vm, state=SnapshotState.CREATING))
    gone = str(world.snapshot(other, state=SnapshotState.DELETED))
    nobody = str(uuid4())
    answer = http.post("/v1/snapshots:delete", json={"ids": [*good, busy, gone, nobody, "nonsense"]})
    assert answer.status_code == 409
    said = answer.json()
    assert said["code"] == "snapshot.deletions_refused"
    refusals = {one["snapshot"]: one["code"] for one in said["evidence"]["refusals"]}
    assert refusals == {
        busy: "snapshot.not_ready",
        gone: "snapshot.not_ready",
        nobody: "snapshot.not_found",
        "nonsense": "snapshot.not_found",
    }
    assert all(one["remedy"] for one in said["evidence"]["refusals"])
    assert jobs_of(world, vm, other) == []


def test_one_key_asks_once(http: httpx.Client, world: World, name: str) -> None:
    """The same request with the same key answers with the same jobs, all of them; another request with it is refused."""
    vms = [world.vm(f"{name}-{one}") for one in "ab"]
    ids = [str(world.snapshot(vm)) for vm in vms]

    def ask(*wanted: str) -> Any:
        return http.post(
            "/v1/snapshots:delete", json={"ids": list(wanted)}, headers={"Idempotency-Key": name}
        )

    first, second = ask(*ids), ask(*reversed(ids))
    assert (first.status_code, second.status_code) == (202, 202)
    assert [one["id"] for one in first.json()["items"]] == [one["id"] for one in second.json()["items"]]
    assert jobs_of(world, *vms) == ["delete_snapshot"] * 2
    assert ask(ids[0]).status_code == 422


def test_the_plan_is_one_a_vm(http: httpx.Client, world: World, name: str) -> None:
    """Nothing is asked."""
    vm = world.vm(name)
    ids = [str(world.snapshot(vm, one)) for one in ("s1", "s2")]
    (plan,) = http.post("/v1/snapshots:delete:plan", json={"ids": ids}).json()["items"]
    assert (plan["kind"], plan["allowed"]) == ("prune_snapshots", True)
    assert plan["consequences"][0]["detail"].startswith("2 snapshots cannot be brought back")
    assert jobs_of(world, vm) == []


@pytest.mark.parametrize("ids", [[], ["x" * 65], "abc", [1], None, [str(UUID(int=1))] * 501])
def test_bad_lists_are_told(http: httpx.Client, ids: object) -> None:
    """None, too many, or no ids at all."""
    assert http.post("/v1/snapshots:delete", json={"ids": ids}).status_code == 422


def test_the_command_takes_many(cli: Cli, world: World, name: str) -> None:
    """By their names; shown before, asked for, and listed with the job."""
    vm = world.vm(name)
    ids = [str(world.snapshot(vm, one)) for one in ("s1", "s2", "s3")]
    names = [f"{name}/s1", f"{name}/s2", ids[2]]
    plan = cli("snapshot", "delete", *names, "--dry-run")
    assert plan.code == 0, plan.err
    assert "3 snapshots cannot be brought back: s1, s2, s3." in plan.out
    refused = cli("snapshot", "delete", *names, f"{name}/s1")
    assert refused.code == 2
    assert jobs_of(world, vm) == []
    said = cli("snapshot", "delete", *names, "--yes")
    assert said.code == 0, said.err
    shown = cli("job", "show", said.out.strip())
    assert "LEFT OUT" in shown.out
    listed = cli("job", "list", "--snapshot", ids[1], "-o", "json")
    assert [one["id"] for one in json.loads(listed.out)] == [said.out.strip()]
    assert "3 snapshots" in cli("job", "list", "--vm", name).out
