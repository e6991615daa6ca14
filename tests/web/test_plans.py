"""What an operation would do, asked over HTTP and on the command line: nothing is ever written."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from models.events.tables import Event
from models.hosts.machine import record_vm
from models.jobs.tables import Job
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.tenants.keys import make_key
from models.tenants.tables import ADMIN_ACCOUNT
from stillframe.client import Producer
from stillframe.layers import Layer, Tree
from stillframe.operations import CreateSnapshot
from stillframe.rights import Role
from stillframe.seen import Traits, VmSeen, VolumeSeen
from stillframe.states import SnapshotState, VmState
from tests.web.conftest import Api, Cli
from tests.web.test_problems import problem
from tests.world import World

pytestmark = pytest.mark.postgres

GIB = 1 << 30


class Seen:
    """A VM with two snapshots, s1 below s2, as its host's keeper would have recorded it."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.vm = world.vm(name)
        self.s1, self.s2 = (world.snapshot(self.vm, one, targets=()) for one in ("s1", "s2"))
        self.see()

    def see(self, free: int = 100 * GIB, depth: int = 3, **traits: Any) -> None:
        """What a look finds now."""

        def layer(path: str, backing: str | None, size: int) -> Layer:
            return Layer(path, "vda", "qcow2", backing, 20 * GIB, size)

        tree = Tree(
            layers={"/i/a": layer("/i/a", None, 5 * GIB), "/i/b": layer("/i/b", "/i/a", GIB),
                    "/i/c": layer("/i/c", "/i/b", 1 << 20)},
            heads={"vda": "/i/c"},
            frozen={self.s1: {"vda": "/i/a"}, self.s2: {"vda": "/i/b"}},
        )  # fmt: skip
        volume = VolumeSeen(
            "vda",
            "/i/c",
            "qcow2",
            "file",
            20 * GIB,
            1 << 20,
            depth=depth,
            home="/i/stillframe",
            free_bytes=free,
        )
        drive = VolumeSeen("sda", "", "raw", "file", 0, 0, why_not="it is a cdrom")
        found = {"agent": "connected", **traits}
        seen = VmSeen(
            self.vm, self.name, VmState.RUNNING, "booted", 4 * GIB, (volume, drive), tree, Traits(**found)
        )
        with transaction(self.world.engine) as session:
            record_vm(session, self.world.host(), seen)


@pytest.fixture
def seen(world: World, name: str) -> Seen:
    return Seen(world, name)


def codes(items: Iterable[Mapping[str, Any]]) -> list[str]:
    return [item["code"] for item in items]


def test_a_plan_says_what_a_snapshot_would_do(http: httpx.Client, seen: Seen) -> None:
    """Steps in order, where layers go, that the cdrom is left out, how the VM stands still, and how old all this is."""
    answer = http.post(f"/v1/vms/{seen.name}/snapshots:plan", json={"type": "memory", "name": "s3"})
    plan = answer.json()

    assert answer.status_code == 200
    assert plan["allowed"] is True
    assert [step["name"] for step in plan["steps"]] == ["check_vm", "make_layers", "cut", "keep_snapshot"]
    (place,) = plan["bytes"]["places"]
    assert place["where"] == "/i/stillframe"
    assert 4 * GIB < place["needed"] < 5 * GIB
    assert plan["pause"]["kind"] == "pause"
    assert "vm.volumes_left_out" in codes(plan["warnings"])
    assert plan["seen_at"] == http.get(f"/v1/vms/{seen.name}").json()["seen_at"]


def test_nothing_is_written_for_a_plan(api: Api, http: httpx.Client, world: World, seen: Seen) -> None:
    """No job, no snapshot, no event; the same name can be planned again and again, also with a key that only reads."""
    tables = (Job, Snapshot, Event)
    before = [world.count(table) for table in tables]
    with transaction(api.engine) as session:
        reader = make_key(session, ADMIN_ACCOUNT, Role.READ_ONLY, "reader")[0]
    before = [world.count(table) for table in tables]
    for path, body in (
        (f"/v1/vms/{seen.name}/snapshots:plan", {"name": "s3"}),
        (f"/v1/snapshots/{seen.s1}/revert:plan", {"after": "stop"}),
        (f"/v1/snapshots/{seen.s1}/delete:plan", None),
        (f"/v1/snapshots/{seen.s1}/volumes:plan", {"target": "vda"}),
    ):
        for key in (api.key, reader):
            answer = httpx.post(f"{api.url}{path}", json=body, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 200, answer.text
            refusals = [one["code"] for one in answer.json()["refusals"]]
            assert refusals == ([] if key == api.key else ["right.missing"]), answer.text
    assert [world.count(table) for table in tables] == before


@pytest.mark.parametrize(
    ("traits", "body", "when", "code"),
    [
        ({"persistent": False}, {}, "request", "vm.transient"),
        ({"host_devices": ("PCI device 0000:3b:00.0 of the host",)}, {"type": "memory"}, "request", "vm.passthrough"),
        ({"depth": 24}, {}, "request", "vm.chain_too_deep"),
        ({}, {"type": "cold"}, "request", "snapshot.cold_needs_stopped"),
        ({}, {"name": "s1"}, "request", "snapshot.name_taken"),
        ({"managed_save": True}, {}, "job", "vm.managed_save"),
        ({"internal_snapshots": ("old",)}, {}, "job", "vm.foreign_internal_snapshots"),
        ({"agent": "disconnected"}, {"quiesce": "require"}, "job", "vm.agent_unresponsive"),
        ({"free": 4 * GIB}, {"type": "memory"}, "job", "storage.not_enough_space"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_what_a_plan_refuses_a_request_is_refused_for(
    http: httpx.Client, world: World, seen: Seen, traits: Any, body: Any, when: str, code: str
) -> None:
    """With the very same words if rows can tell; what only the worker can tell is let through to it."""
    seen.see(**traits)
    plan = http.post(f"/v1/vms/{seen.name}/snapshots:plan", json=body).json()
    before = world.count(Job)

    answer = http.post(f"/v1/vms/{seen.name}/snapshots", json=body)

    assert plan["allowed"] is False
    (refusal,) = plan["refusals"]
    assert (refusal["when"], refusal["code"]) == (when, code)
    if when == "request":
        shown = problem(answer)
        assert shown["status"] == 409
        told = {name: shown[name] for name in ("code", "detail", "remedy", "evidence")}
        if code != "snapshot.name_taken":  # whose VM is named as it was asked for
            assert told == {name: refusal[name] for name in told}
    else:
        assert answer.status_code == 202
    assert world.count(Job) == before + (when == "job")


def test_what_may_be_over_soon_is_a_warning(http: httpx.Client, seen: Seen) -> None:
    """A migration under way, a block job of somebody else: neither refuses a plan or a request."""
    seen.see(activity="migration_out", block_jobs={"vda": "copy"})
    plan = http.post(f"/v1/snapshots/{seen.s1}/delete:plan").json()
    assert plan["allowed"] is True
    assert {"vm.migrating", "vm.busy"} <= set(codes(plan["warnings"]))
    assert http.delete(f"/v1/snapshots/{seen.s1}").status_code == 202


def test_a_deletion_tells_what_it_merges(http: httpx.Client, seen: Seen) -> None:
    """The layer above goes down into that of the deleted snapshot: bytes moved and freed, room needed, the step's name."""
    plan = http.post(f"/v1/snapshots/{seen.s1}/delete:plan").json()
    assert plan["bytes"]["moved"] == plan["bytes"]["freed"] == GIB
    assert plan["bytes"]["needed"] == GIB
    assert any(step["name"].endswith(":vda:0") for step in plan["steps"])
    assert {"snapshot_lost", "others_untouched"} <= set(codes(plan["consequences"]))

    seen.see(free=GIB - 1)
    plan = http.post(f"/v1/snapshots/{seen.s1}/delete:plan").json()
    assert codes(plan["refusals"]) == ["storage.not_enough_space"]


def test_a_revert_tells_what_is_lost(http: httpx.Client, seen: Seen) -> None:
    """What was written since the current snapshot, and that the VM is powered off; the other branch stays."""
    plan = http.post(f"/v1/snapshots/{seen.s1}/revert:plan", json={}).json()
    told = {one["code"]: one["detail"] for one in plan["consequences"]}
    assert "since snapshot s2 is lost: 1.0 MiB" in told["present_lost"]
    assert "powered_off" in told
    assert plan["pause"]["kind"] == "power_off"
    assert plan["bytes"]["freed"] == 1 << 20


def test_an_extract_tells_its_size(http: httpx.Client, seen: Seen) -> None:
    """All that is allocated in the chain below; a volume that is not there, and no room, are refusals of the plan."""
    one = f"/v1/snapshots/{seen.s2}/volumes:plan"
    assert http.post(one, json={"target": "vda"}).json()["bytes"]["needed"] == 6 * GIB
    assert codes(http.post(one, json={"target": "vdz"}).json()["refusals"]) == ["volume.not_found"]
    seen.see(free=6 * GIB - 1)
    assert codes(http.post(one, json={"target": "vda"}).json()["refusals"]) == ["storage.not_enough_space"]


def test_a_snapshot_that_is_not_ready_is_refused_in_its_plan(
    http: httpx.Client, world: World, seen: Seen
) -> None:
    """The rules that refuse a request are the plan's first."""
    making: UUID = world.snapshot(seen.vm, "s9", state=SnapshotState.CREATING)
    for verb in ("revert", "delete"):
        plan = http.post(f"/v1/snapshots/{making}/{verb}:plan").json()
        assert codes(plan["refusals"]) == ["snapshot.not_ready"]


def test_what_is_not_there_and_what_makes_no_sense_have_no_plan(http: httpx.Client, seen: Seen) -> None:
    """Unknown VM and snapshot are 404, a body that cannot be is 422 or 400, as when it is asked for."""
    assert problem(http.post("/v1/vms/nobody/snapshots:plan", json={}))["code"] == "vm.not_found"
    for verb in ("revert", "delete", "volumes"):
        answer = http.post(
            f"/v1/snapshots/{uuid4()}/{verb}:plan", json={"target": "vda"} if verb == "volumes" else {}
        )
        assert problem(answer)["code"] == "snapshot.not_found"
    one = f"/v1/vms/{seen.name}/snapshots:plan"
    assert problem(http.post(one, json={"name": "a/b"}))["status"] == 422
    assert problem(http.post(one, json={"surprise": 1}))["status"] == 422
    assert problem(http.post(one, json={"expires_at": "2001-01-01T00:00:00Z"}))["status"] == 422
    assert (
        problem(http.post(one, content=b"{", headers={"Content-Type": "application/json"}))["status"] == 400
    )


def test_jobs_that_go_first_are_told(client: Producer, seen: Seen) -> None:
    """The client's `plan` takes the same operations as `submit`."""
    wish = CreateSnapshot(vm=seen.name, type="hot")
    assert "vm.jobs_ahead" not in codes(client.plan(wish)["warnings"])
    client.submit(wish)
    assert "vm.jobs_ahead" in codes(client.plan(wish)["warnings"])


@pytest.mark.parametrize(
    "words",
    [("create", "{vm}"), ("revert", "{vm}/s1"), ("delete", "{vm}/s1"), ("extract", "{vm}/s1", "vda")],
    ids=lambda words: words[0],
)
def test_a_dry_run_shows_the_plan(cli: Cli, world: World, seen: Seen, words: tuple[str, ...]) -> None:
    """For people and as JSON; it asks nothing, and its exit code tells whether the request would be refused."""
    line = ["snapshot", *(word.format(vm=seen.name) for word in words), "--dry-run"]
    before = world.count(Job)
    said = cli(*line)
    assert said.code == 0, said.err
    assert "WHAT IT DOES" in said.out
    assert "Afterwards:" in said.out
    plan = json.loads(cli(*line, "-o", "json").out)
    assert plan["allowed"] is True

    seen.see(free=0, managed_save=True)
    said = cli(*line)
    assert said.code == 5
    assert "The worker would refuse it" in said.err
    assert world.count(Job) == before
