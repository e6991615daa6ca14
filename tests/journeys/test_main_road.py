"""The road most people take: every operation over HTTP, from the request to what the guest holds."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import readback
from tests.given import given
from tests.journeys.site import Json, Site
from tests.journeys.witness import Witness
from workers.operations import PLANS
from workers.steps import Step


def planned(kind: str) -> list[str]:
    """The steps that every job of this kind goes through."""
    return [part.name for part in PLANS[kind].parts if isinstance(part, Step)]


def gone_through(job: Json) -> list[str]:
    """The steps of a job that are done, but for those of single layers."""
    return [step["name"] for step in job["steps"] if step["state"] == "done" and ":" not in step["name"]]


def told(steps: list[str], end: str) -> list[str]:
    """The events of a job that goes straight to its end."""
    each = [f"{what} {step}" for step in steps for what in ("step.started", "step.finished")]
    return ["job.queued", "job.started", *each, "job.succeeded", end]


@pytest.mark.parametrize(
    ("kind", "consistency"), [("hot", "filesystem"), ("memory", "memory"), ("cold", "stopped")]
)
def test_creates(site: Site, witness: Callable[..., Witness], kind: str, consistency: str) -> None:
    """A snapshot of each type holds what the guest had on all its disks, and its row and events say how it came to be."""
    vm = witness("qcow2", "raw")
    mark = vm.mark()
    if kind == "cold":
        mark = vm.power_off()

    shot = vm.take(kind, mark, name=f"a-{kind}", description="first", tags=["x", "y"])

    steps = planned("create_snapshot")
    assert site.story(shot.job) == told(steps, "snapshot.ready")
    assert [(step["name"], step["state"]) for step in shot.job["steps"]] == [(name, "done") for name in steps]
    assert (shot.job["attempt"], shot.job["error"]) == (1, None)
    row = shot.row
    assert (row["state"], row["type"], row["consistency"]) == ("ready", kind, consistency)
    assert (row["name"], row["description"], row["tags"]) == (f"a-{kind}", "first", ["x", "y"])
    assert (row["current"], row["parent_id"], row["error"]) == (True, None, None)
    assert row["vm"]["name"] == vm.name
    assert row["host"] == site.host
    assert [volume["target"] for volume in row["volumes"]] == ["vda", "vdb"]
    assert all(volume["virtual_bytes"] == 64 << 20 for volume in row["volumes"])
    assert row["size_bytes"] == sum(volume["size_bytes"] for volume in row["volumes"]) > 0
    if kind == "memory":
        assert row["memory_bytes"] > 16 << 20
        assert 0 < row["pause_ms"] < 5000
    else:
        assert not row["memory_bytes"]
        assert row["pause_ms"] == 0
    assert (row["freeze_ms"] > 0) == (kind == "hot")
    vm.holds(shot)
    vm.is_tidy()
    if kind != "cold":
        vm.runs()


def test_there_and_back(site: Site, witness: Callable[..., Witness]) -> None:
    """A VM goes back to each of its snapshots, a volume comes out of one, and all of them go, each to the right data."""
    vm = witness("qcow2", "raw")
    hot = vm.take("hot", name="hot")
    memory = vm.take("memory", name="memory")
    assert memory.row["parent_id"] == hot.id
    instant = vm.guest.ticks()[-1].boot_id
    vm.write()  # what is to be lost
    cold = vm.take("cold", vm.power_off(), name="cold")

    back = vm.revert(memory)
    assert site.story(back)[:2] == ["job.queued", "job.started"]
    assert site.story(back)[-2:] == ["job.succeeded", "snapshot.reverted"]
    assert gone_through(back) == planned("revert_snapshot")
    vm.runs(memory.mark.digest, boot=instant)
    assert site.client.snapshot(memory.id)["current"]
    vm.revert(hot)
    vm.runs(hot.mark.digest)
    assert vm.guest.ticks()[-1].boot_id != instant, "it goes on from its disks, hence it boots"
    vm.revert(cold, after="stop")
    assert not vm.guest.is_active
    for shot in (hot, memory, cold):
        vm.holds(shot)

    job = site.succeeded(site.client.extract_volume(memory.id, "vda", name=f"{vm.name}-copy"))
    assert site.story(job) == told(planned("extract_volume"), "volume.extracted")
    volume = site.client.volume(job["volume_snapshot_id"])
    path = Path(given(volume["path"]))
    assert (volume["state"], volume["target"], volume["format"]) == ("ready", "vda", "qcow2")
    assert volume["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert volume["virtual_bytes"] == 64 << 20
    assert volume["size_bytes"] == path.stat().st_blocks * 512
    vm.is_tidy()

    for shot in (memory, hot, cold):
        gone = vm.delete(shot)
        assert gone_through(gone) == planned("delete_snapshot")
        assert site.story(gone)[-2:] == ["job.succeeded", "snapshot.deleted"]
        assert site.client.snapshot(shot.id)["state"] == "deleted"
    vm.is_tidy()
    vm.guest.start()
    vm.runs(cold.mark.digest)
    marker = readback.read_file(path, "/marker")
    assert hashlib.sha256(marker).hexdigest() == memory.mark.digest, "the copy outlives its snapshot"

    removed = site.succeeded(site.client.delete_volume(volume["id"]))
    assert site.story(removed) == told(planned("delete_volume"), "volume.deleted")
    assert site.client.volume(volume["id"])["state"] == "deleted"
    assert not path.exists()
    assert not path.parent.exists(), "the folder of extracted images was empty"
    vm.runs(cold.mark.digest)
