"""Made by `make made` from verbs/reading.py: the same, to be awaited. Not to be changed by hand."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from stillframe.client.answers import (
    Comment,
    Event,
    Host,
    Job,
    Page,
    Policy,
    PolicyVm,
    Preview,
    Rescan,
    Run,
    Snapshot,
    Vm,
    VolumeSnapshot,
)
from stillframe.client.request import get, part, waiting
from stillframe.client.verbs.awaited.base import Verbs

Item = TypeVar("Item")


class Reading(Verbs):
    """Lists answer a page, `{items, next_cursor}`; `every` walks all pages. Names and ids are both fine for a VM."""

    async def hosts(self, **filters: Any) -> Page[Host]:
        """One page of hosts."""
        return await self._ask(get("/v1/hosts", **filters))

    async def host(self, name: str) -> Host:
        """One host by its name."""
        return await self._ask(get(f"/v1/hosts/{part(name)}"))

    async def rescans(self, name: str, **filters: Any) -> Page[Rescan]:
        """One page of a host's rescans, newest first."""
        return await self._ask(get(f"/v1/hosts/{part(name)}/rescans", **filters))

    async def rescan(self, name: str, rescan_id: str, wait_s: float = 0) -> Rescan:
        """One rescan; with `wait_s` (at most 60) the answer comes once it has ended or the time is over."""
        return await self._ask(waiting(f"/v1/hosts/{part(name)}/rescans/{part(rescan_id)}", wait_s))

    async def vms(self, **filters: Any) -> Page[Vm]:
        """One page of VMs."""
        return await self._ask(get("/v1/vms", **filters))

    async def vm(self, vm: str) -> Vm:
        """One VM by name or id."""
        return await self._ask(get(f"/v1/vms/{part(vm)}"))

    async def snapshots(self, **filters: Any) -> Page[Snapshot]:
        """One page of snapshots."""
        return await self._ask(get("/v1/snapshots", **filters))

    async def snapshot(self, snapshot_id: str) -> Snapshot:
        """One snapshot by its id."""
        return await self._ask(get(f"/v1/snapshots/{part(snapshot_id)}"))

    async def comments(self, snapshot_id: str, **filters: Any) -> Page[Comment]:
        """One page of a snapshot's comments."""
        return await self._ask(get(f"/v1/snapshots/{part(snapshot_id)}/comments", **filters))

    async def volumes(self, **filters: Any) -> Page[VolumeSnapshot]:
        """One page of volume snapshots."""
        return await self._ask(get("/v1/volumes", **filters))

    async def volume(self, volume_id: str) -> VolumeSnapshot:
        """One volume snapshot by its id."""
        return await self._ask(get(f"/v1/volumes/{part(volume_id)}"))

    async def jobs(self, **filters: Any) -> Page[Job]:
        """One page of jobs."""
        return await self._ask(get("/v1/jobs", **filters))

    async def job(self, job_id: str, wait_s: float = 0) -> Job:
        """A job; with `wait_s` (at most 60) the answer comes once it has ended or the time is over."""
        return await self._ask(waiting(f"/v1/jobs/{part(job_id)}", wait_s))

    async def wait(self, job_id: str, timeout_s: float | None = None) -> Job:
        """The job once it is over, or as it is when `timeout_s` have passed."""
        return await self._ask_until_over(f"/v1/jobs/{part(job_id)}", timeout_s)

    async def policies(self, **filters: Any) -> Page[Policy]:
        """One page of policies."""
        return await self._ask(get("/v1/policies", **filters))

    async def policy(self, policy: str) -> Policy:
        """One policy by name or id."""
        return await self._ask(get(f"/v1/policies/{part(policy)}"))

    async def policy_runs(self, policy: str, **filters: Any) -> Page[Run]:
        """One page of what became of its firings."""
        return await self._ask(get(f"/v1/policies/{part(policy)}/runs", **filters))

    async def policy_vms(self, policy: str, **filters: Any) -> Page[PolicyVm]:
        """One page of how its VMs fare."""
        return await self._ask(get(f"/v1/policies/{part(policy)}/vms", **filters))

    async def policy_preview(self, policy: str, runs: int = 5) -> Preview:
        """The next runs, and what would be kept and pruned now."""
        return await self._ask(get(f"/v1/policies/{part(policy)}/preview", runs=runs))

    async def events(self, **filters: Any) -> Page[Event]:
        """One page of events, newest first; with `after`, an event's id, oldest first from there."""
        return await self._ask(get("/v1/events", **filters))

    async def every(self, page: Callable[..., Awaitable[Page[Item]]], **filters: Any) -> AsyncIterator[Item]:
        """All items of a list, page after page: `producer.every(producer.snapshots, vm="web1")`."""
        while True:
            found = await page(**filters)
            for item in found["items"]:
                yield item
            if not found["next_cursor"]:
                return
            filters["cursor"] = found["next_cursor"]
