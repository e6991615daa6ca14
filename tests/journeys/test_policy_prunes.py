"""A policy that keeps three runs twenty times on a guest that writes: the chain stays short, and nothing kept is lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import libvirt
import pytest

from hypervisor.events import LOOP, Lifecycle
from hypervisor.qemu_img import QemuImages
from tests.given import given
from tests.journeys.conftest import FIGURE
from tests.journeys.site import Json, Site, until
from tests.journeys.witness import Shot, Witness

KEPT = 3
RUNS = 20


def depth(vm: Witness) -> int:
    """Images under the deepest of its disks, as they lie there."""
    images = QemuImages()
    return max(len(images.chain(str(path), _form(str(path)))) for path in vm.guest.disks.values())


def run(site: Site, vm: Witness, policy: Json) -> Shot:
    """The policy fires now; what it keeps of this moment."""
    mark = vm.mark()
    (asked,) = site.client.run_policy(policy["id"])["items"]

    def is_asked() -> Json | None:
        runs = site.client.policy_runs(policy["id"], limit=5)["items"]
        found = next(one for one in runs if one["id"] == asked["id"])
        assert found["state"] not in {"skipped", "missed", "refused"}, found
        return found if found["job_id"] else None

    return vm.ready(site.client.job(until(is_asked, 60, "a turn", 0.1)["job_id"]), mark, timeout_s=180)


def pruned(site: Site, vm: Witness, policy: Json, kept: int) -> None:
    """Waits until what the policy does not keep is gone."""

    def over() -> bool:
        jobs = site.client.jobs(vm=vm.name, kind="prune_snapshots", limit=5)["items"]
        assert not [one for one in jobs if one["state"] in {"failed", "stuck"}], jobs
        ready = site.client.snapshots(vm=vm.name, limit=50)["items"]
        busy = [one for one in jobs if one["state"] in {"queued", "running", "undoing"}]
        return not busy and len(ready) <= kept

    until(over, 240, "the end of the pruning", 0.2)


@contextmanager
def heard(uri: str, uuid: str) -> Iterator[list[int]]:
    """What libvirt tells of the life of a VM within the block."""
    LOOP.run()
    connection = libvirt.open(uri)
    found: list[int] = []
    life = Lifecycle()
    life.listen(lambda vm, event, _: found.append(event) if vm == UUID(uuid) else None)
    life.attach(connection)
    try:
        yield found
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_policy_that_keeps_three_runs_twenty_times(
    site: Site, witness: Callable[..., Witness], record_property: Callable[[str, object], None]
) -> None:
    """The chain is never deeper than what is kept asks for, each kept snapshot reads as its moment, and the guest, which
    writes all the while, is frozen for its snapshots only, and never paused. Two that go together are one merge a disk.
    """
    vm = witness("qcow2", "raw")
    boot = vm.guest.wait_tick().boot_id
    wish = {
        "name": f"keeps-three-{vm.name}",
        "selector": {"ids": [vm.guest.uuid]},
        "schedules": [{"every": "30d"}],
        "retention": {"last": KEPT},
        "mode": "hot",
        "quiesce": "require",
    }
    policy = site.client.create_policy(wish)
    shots: list[Shot] = []
    deepest = 0
    with heard(site.lab.libvirt_uri, vm.guest.uuid) as life:
        for number in range(RUNS):
            vm.fill(2)
            shots.append(run(site, vm, policy))
            deepest = max(deepest, depth(vm))
            pruned(site, vm, policy, KEPT)
            assert depth(vm) <= KEPT + 1
            if number % 5 == 4:
                for shot in shots[-KEPT:]:
                    vm.holds(shot)
        vm.runs(boot=boot)

        site.client.edit_policy(policy["id"], wish | {"retention": {"last": 1}})
        pruned(site, vm, policy, 1)
    jobs = list(site.client.every(site.client.jobs, vm=vm.name, kind="prune_snapshots", limit=50))
    merges = [step["name"] for step in site.job(jobs[0])["steps"] if step["name"].startswith("commit:")]
    vm.holds(shots[-1])
    vm.runs(boot=boot)
    vm.is_tidy()

    assert {one["id"] for one in jobs[0]["snapshots"]} == {shot.id for shot in shots[-KEPT:-1]}
    assert sorted(name.split(":")[1] for name in merges) == ["vda", "vdb"]
    assert all(one["state"] == "succeeded" and given(one["result"])["freed_bytes"] >= 0 for one in jobs)
    assert sum(len(one["snapshots"]) for one in jobs) == RUNS - 1
    assert deepest <= KEPT + 2
    assert depth(vm) == 2
    assert libvirt.VIR_DOMAIN_EVENT_SUSPENDED not in life
    assert vm.guest.serial.text().count(b"hook freeze") == RUNS
    freed = sum(given(one["result"])["freed_bytes"] for one in jobs) >> 20
    record_property(
        FIGURE,
        f"policy keeps {KEPT}, runs {RUNS} times: chain at most {deepest} images, {freed} MiB freed, guest never paused",
    )


def _form(path: str) -> str:
    return "raw" if Path(path).suffix == ".raw" else "qcow2"
