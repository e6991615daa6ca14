"""A worker killed in the middle of each operation: the job is taken up again and ends right, whatever was cut short."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.site import Json, Site, slow, stopped, until
from tests.journeys.witness import Witness

#: The child that carries the job, alone; or the worker with all that belongs to it, which is then started again.
DEATHS = ["child", "worker"]
Measured = Callable[[str, float], None]
Made = Callable[..., Witness]


class Death:
    """Kills whoever carries a job, and measures how long it takes until it is carried again."""

    def __init__(self, site: Site, of: str, measured: Measured) -> None:
        self.site = site
        self.of = of
        self.measured = measured

    def __call__(self, job: Json) -> None:
        """Returns once the job runs again."""
        if self.of == "child":
            main = self.site.worker_pid()
            since = self.site.kill_child(job)
            again = self.site.when(job, "job.taken_over")
            assert self.site.worker_pid() == main
            self.measured(f"child killed -> taken up again ({job['kind']})", again - since)
        else:
            self.site.kill_worker()
            since = self.site.start_worker()
            again = self.site.when(job, "job.taken_over")
            self.measured(f"worker started -> job runs again ({job['kind']})", again - since)


@pytest.fixture(params=DEATHS)
def death(request: pytest.FixtureRequest, site: Site, measured: Measured) -> Death:
    return Death(site, request.param, measured)


def was_taken_over(site: Site, job: Json, timeout_s: float = 90) -> Json:
    """The job, which has to end well, in its second attempt."""
    job = site.succeeded(job, timeout_s)
    assert job["attempt"] == 2
    assert [event for event in site.story(job) if event.startswith("job.")] == [
        "job.queued",
        "job.started",
        "job.taken_over",
        "job.succeeded",
    ]
    return job


def memory_file(job: Json) -> Path:
    """Where the RAM of a memory snapshot goes, as its first step has decided."""
    (seen,) = (step["output"] for step in job["steps"] if step["name"] == "check_vm")
    return Path(seen["folder"]) / "memory.save"


def grown(path: Path, mib: int) -> bool:
    """Whether a file has come so far."""
    return path.exists() and path.stat().st_size >= mib << 20


@pytest.fixture
def big(witness: Made) -> Witness:
    """A guest with 256 MiB of RAM that compress to nothing less."""
    return witness(memory_mib=448, ballast_mib=256)


@pytest.mark.parametrize("overlap", [False, True], ids=["then-quick", "still-going"])
def test_memory_snapshot_half_written(site: Site, big: Witness, death: Death, overlap: bool) -> None:
    """Killed while RAM is being written, also if libvirt still writes when the job is taken up, the snapshot becomes whole."""
    mark = big.mark()
    with slow(site.qemu(big.guest)):
        job = big.ask("memory")
        path = memory_file(site.wait_step(job, "cut"))
        until(lambda: grown(path, 32), 60, "32 MiB of RAM on disk", 0.002)
        assert not overlap or not grown(path, 250)
        if overlap:
            death(job)
    if not overlap:
        death(job)
    was_taken_over(site, job)
    shot = big.ready(job, mark)
    assert (shot.row["state"], shot.row["consistency"]) == ("ready", "memory")
    boot = mark.before.boot_id
    big.runs(mark.digest, boot=boot)
    big.holds(shot)
    big.is_tidy()
    big.write()
    big.revert(shot)
    big.runs(mark.digest, boot=boot)
    again = big.take("memory")
    big.holds(again)
    big.is_tidy()
