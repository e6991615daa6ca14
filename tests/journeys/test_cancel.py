"""A cancel, of a job that waits and of one that is in the middle: what was begun is taken back, and the VM runs on."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stillframe.errors import StillframeError
from tests.brakes import slow, stopped
from tests.given import given
from tests.journeys.site import Json, Site, until
from tests.journeys.witness import Witness

Measured = Callable[[str, float], None]
Made = Callable[..., Witness]

#: Seconds from the request to the end of what was cancelled.
SOON_S = 6.0


def cancelled(site: Site, job: Json) -> float:
    """Cancels and waits for the end; how long that took."""
    began = time.monotonic()
    site.client.cancel_job(job["id"])
    found = site.wait(job)
    took = time.monotonic() - began
    assert found["state"] == "cancelled", (found["error"], site.story(job))
    assert found["error"]["code"] == "job.cancelled"
    return took


def test_a_job_that_waits(site: Site, witness: Made, measured: Measured) -> None:
    """A queued job ends at once, what it was to make is in error and blocks nothing, and the rest of the line goes on."""
    vm = witness()
    with stopped(site.qemu(vm.guest)):
        held = vm.ask("hot", quiesce="never")
        site.wait_step(held, "cut")
        waiting, last = vm.ask("hot", name="again"), vm.ask("hot", name="last")
        took = cancelled(site, waiting)
        measured("cancel of a queued job", took)
        assert took < 1
    row = site.client.snapshot(waiting["snapshot_id"])
    assert (row["state"], given(row["error"])["code"]) == ("error", "job.cancelled")
    assert site.story(waiting) == ["job.queued", "job.cancelled", "snapshot.failed"]
    site.succeeded(held)
    site.succeeded(last)
    site.succeeded(vm.ask("hot", name="again"))
    with pytest.raises(StillframeError) as refused:
        site.client.cancel_job(waiting["id"])
    assert refused.value.code == "job.not_cancellable"
    vm.runs_bare()
    vm.is_tidy()


def test_a_copy_in_the_middle(site: Site, witness: Made, measured: Measured) -> None:
    """A running extract stops within seconds, even if qemu-img hangs, leaves nothing behind, and can be asked for again."""
    vm = witness(disk_mib=512)
    vm.fill(300)
    shot = vm.take("hot")
    job = site.client.extract_volume(shot.id, "vda", name=f"{vm.name}-copy")
    path = Path(site.wait_step(job, "copy_volume")["steps"][0]["output"]["path"])
    (copying,) = until(lambda: site.qemu_imgs(vm.guest, "convert"), 20, "qemu-img convert", 0.001)
    with stopped(copying):
        assert site.job(job)["phase"] == "copy_volume"
        took = cancelled(site, job)
    measured("cancel of an extract whose qemu-img hangs", took)
    assert took < SOON_S
    assert not path.exists()
    assert site.client.volume(given(job["volume_snapshot_id"]))["state"] == "error"
    assert site.story(job)[-5:] == [
        "job.cancel_requested",
        "job.turned_back",
        "step.undone copy_volume",
        "step.undone check_snapshot",
        "job.cancelled",
    ]
    vm.is_tidy()
    vm.runs()
    site.succeeded(site.client.extract_volume(shot.id, "vda", name=f"{vm.name}-copy"))
    vm.is_tidy()


def test_a_memory_snapshot_in_the_middle(site: Site, witness: Made, measured: Measured) -> None:
    """A memory snapshot is aborted while RAM is being written: the VM runs on as if nothing had been, and nothing is left."""
    vm = witness(memory_mib=448, ballast_mib=256)
    mark = vm.mark()
    with slow(site.qemu(vm.guest)):
        job = vm.ask("memory", name="wanted")
        folder = Path(site.wait_step(job, "cut")["steps"][0]["output"]["folder"])
        ram = folder / "memory.save"
        until(lambda: ram.exists() and ram.stat().st_size > 16 << 20, 60, "16 MiB of RAM", 0.002)
        took = cancelled(site, job)
    measured("cancel of a running memory snapshot", took)
    assert took < SOON_S
    assert not folder.exists()
    assert site.client.snapshot(job["snapshot_id"])["state"] == "error"
    vm.runs(mark.digest, boot=mark.before.boot_id)
    vm.is_tidy()
    again = vm.take("memory", name="wanted")
    vm.holds(again)
    vm.revert(again)
    vm.runs(again.mark.digest, boot=mark.before.boot_id)
    vm.is_tidy()
