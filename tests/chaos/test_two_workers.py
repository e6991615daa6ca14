"""Somebody starts a second worker on a host: whoever is first has a job, and no job runs twice."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.daemon import Daemon
from tests.chaos.judge import untidy
from tests.journeys.site import Site
from tests.journeys.witness import Witness


@pytest.fixture
def another(site: Site, tmp_path: Path) -> Iterator[Daemon]:
    """A worker of the same host and queue, started like the first."""
    first = Path(f"/proc/{site.worker_pid()}")
    words = first.joinpath("cmdline").read_text().split("\0")[:-1]
    settings = [
        one for one in first.joinpath("environ").read_text().split("\0") if one.startswith("STILLFRAME_")
    ]
    command = [word.replace("snap@", "another@") for word in words]
    daemon = Daemon("another", tmp_path / "pid", tmp_path / "log")
    daemon.start(["env", "-C", os.readlink(first / "cwd"), *settings, *command])
    try:
        daemon.wait_until(lambda: "ready." in daemon.log.read_text(), 60)
        yield daemon
    finally:
        daemon.end(signal.SIGKILL)


def test_two_workers_of_one_host(site: Site, witness: Callable[..., Witness], another: Daemon) -> None:
    """Jobs asked at once of two VMs all end well in one attempt each; then the first worker dies, and its jobs go on."""
    vms = [witness(), witness()]
    shots = [vm.take("hot") for vm in vms]
    jobs = [vm.ask(kind) for kind in ("hot", "memory", "hot") for vm in vms]
    jobs += [site.client.extract_volume(shot.id, "vda") for shot in shots]
    jobs += [site.client.delete_snapshot(shot.id) for shot in shots]
    for job in jobs:
        assert site.succeeded(job, 120)["attempt"] == 1
        assert site.story(job).count("job.started") == 1
    jobs = [vm.ask("memory") for vm in vms for _ in range(2)]
    site.kill_worker()
    for job in jobs:
        site.succeeded(job, 120)
    assert another.pid is not None
    for vm in vms:
        vm.runs()
        assert untidy(vm, running=True) == []
