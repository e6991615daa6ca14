"""The real programs, with a hypervisor's worker whose machine never was."""

import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.daemon import Daemon
from lab.places import free_port
from lab.stack import ROOT, Stack
from tests.journeys.site import Site, until
from tests.storm.crowd import NAMES

PROGRAMS = ("api", "control", "beat")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The real programs, with a worker whose machine never was."""
    monkeypatch.setenv("STILLFRAME_LIBVIRT_URI", "none: the worker of this stack has a fake machine")
    (tmp_path / "stack.env").write_text(f"STILLFRAME_LISTEN=127.0.0.1:{free_port()}\n")
    stack = Stack(tmp_path, f"storm-{uuid.uuid4().hex[:8]}")
    worker = Daemon("fake-worker", tmp_path / "worker.pid", tmp_path / "worker.log")
    try:
        addresses = stack.up(PROGRAMS)
        settings = addresses.values | {
            "STILLFRAME_LOCK_FOLDER": str(tmp_path / "locks"),
            "STILLFRAME_CHAIN_LIMIT": "200",
        }
        worker.start(
            [
                *("env", "-C", str(ROOT), *(f"{name}={value}" for name, value in settings.items())),
                *(sys.executable, "-m", "celery", "-A", "tests.storm.fake_worker", "worker"),
                *("-n", f"snap@{stack.host}", "-Q", f"host.{stack.host}", "-P", "threads", "-c", "4"),
                *("--without-gossip", "--without-mingle", "--heartbeat-interval", "30", "--loglevel", "INFO"),
            ]
        )
        site = Site(stack)
        until(
            lambda: len(site.client.vms(limit=100)["items"]) == len(NAMES), 60, "the worker's look at its VMs"
        )
        yield site
        site.close()
    finally:
        worker.end(signal.SIGKILL)
        for name in PROGRAMS:
            stack.stop(name, signal.SIGKILL)
        stack.lab.remove()
