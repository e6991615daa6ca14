"""The database is gone: what lies on the host is enough."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from stillframe.states import RescanState
from tests.journeys.site import Json, Site, until
from tests.journeys.witness import Witness

Made = Callable[..., Witness]

_KEPT = (
    *("id", "name", "display_name", "description", "tags", "type", "state", "consistency", "current"),
    *("parent_id", "vm", "size_bytes", "memory_bytes", "created_at", "volumes"),
)
_KEPT_OF_VOLUMES = (
    *("id", "name", "state", "snapshot_id", "vm", "target", "format", "virtual_bytes", "size_bytes"),
    *("sha256", "path"),
)


@pytest.mark.slow
def test_the_tree_is_rebuilt_from_the_host_alone(site: Site, witness: Made) -> None:
    """With an empty database a rescan brings every snapshot back as it was, and a revert gives the guest what it held."""
    vm = witness("qcow2", "raw")
    base = vm.take("hot", name="base", description="before all", tags=["a", "b"])
    memory = vm.take("memory", name="with-ram")
    vm.revert(base)
    vm.runs(base.mark.digest)
    branch = vm.take("hot", name="branch")
    site.succeeded(site.client.extract_volume(base.id, "vdb", "archive"))
    assert rescanned(site) == []
    before = known(site, vm)

    site.forget_everything()
    site.seen(vm.guest)
    assert known(site, vm) == ([], [])
    unknown = rescanned(site)
    assert sorted(one["kind"] for one in unknown) == ["snapshot.unknown"] * 3 + ["volume_snapshot.unknown"]
    adopted = rescanned(site, adopt=True)
    assert {one["done"] for one in adopted} == {"adopted"}

    after = known(site, vm)
    for was, now in zip(before[0] + before[1], after[0] + after[1], strict=True):
        assert {name: now[name] for name in was if now[name] != was[name]} == {}, was
    assert rescanned(site) == []
    vm.revert(memory)
    vm.runs(memory.mark.digest, memory.mark.before.boot_id)
    half = vm.guest.folder / "stillframe" / vm.guest.uuid / f"vda-{uuid4()}.qcow2.part"
    half.write_text("a worker died over it")
    job = site.succeeded(site.client.delete_snapshot(base.id))
    assert "vm.mended" in site.story(job)
    vm.holds(branch)
    vm.is_tidy()


def known(site: Site, vm: Witness) -> tuple[list[Json], list[Json]]:
    """The VM's snapshots and volume snapshots as the API shows them, oldest first."""
    snapshots: list[Json] = [*site.client.snapshots(vm=vm.name, sort="created_at")["items"]]
    volumes: list[Json] = [*site.client.volumes(vm=vm.name)["items"]]
    return (
        [{name: one[name] for name in _KEPT} for one in snapshots],
        [{name: one[name] for name in _KEPT_OF_VOLUMES} for one in volumes],
    )


def rescanned(site: Site, **wishes: Any) -> list[Json]:
    """What a rescan finds."""
    asked = site.client.rescan_host(site.host, **wishes)
    done = until(lambda: over(site, asked), 60, "the end of the rescan")
    assert done["state"] == RescanState.DONE, done["error"]
    return list(done["findings"])


def over(site: Site, asked: Json) -> Json | None:
    """The rescan, if it has ended."""
    found = site.client.rescan(site.host, asked["id"], wait_s=5)
    return found if found["state"] in {RescanState.DONE, RescanState.FAILED} else None
