"""docs/examples/deployments.py, as another service would run it: its own Celery worker and broker, our API, a real guest."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests.given import given
from tests.journeys.site import Site, until
from tests.journeys.witness import Witness

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
#: A deployment that says that it is at work, and ends as it is told.
DEPLOYMENT = """#!/bin/sh
echo "$1 $2" > {folder}/begun
while [ ! -e {folder}/end ]; do sleep 0.1; done
exit $(cat {folder}/end)
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def service(site: Site, tmp_path: Path) -> Iterator[Celery]:
    """The other service: a worker of its own, on a broker database of its own."""
    command = tmp_path / "deploy.sh"
    command.write_text(DEPLOYMENT.format(folder=tmp_path))
    command.chmod(0o755)
    broker = site.lab.broker_url.rsplit("/", 1)[0] + "/7"
    env = os.environ | {
        "DEPLOY_BROKER_URL": broker,
        "DEPLOY_COMMAND": str(command),
        "STILLFRAME_URL": site.url,
        "STILLFRAME_KEY": site.key,
        "PYTHONPATH": str(EXAMPLES),
    }
    words = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "deployments",
        "worker",
        "--pool",
        "solo",
        "--without-gossip",
    ]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(words, env=env, stdout=log, stderr=log) as worker,
    ):
        app = Celery("deployments", broker=broker)
        yield app
        app.close()
        worker.terminate()


def deployed(service: Celery, vm: Witness, folder: Path, code: int) -> None:
    """A deployment that writes to the guest and ends with this exit code."""
    service.send_task("deployments.deploy", (vm.name, "2026.11"))
    begun = folder / "begun"
    until(lambda: begun.exists() and begun.read_text().split() == [vm.name, "2026.11"], 120, "the deployment")
    vm.write()
    (folder / "end").write_text(str(code))


def test_a_deployment_that_fails_leaves_no_trace(
    site: Site, service: Celery, witness: Callable[..., Witness], tmp_path: Path
) -> None:
    """The guest comes back with what it held before, and the two jobs are those of the task."""
    vm = witness("qcow2")
    before = vm.mark()
    deployed(service, vm, tmp_path, code=1)
    back = until(
        lambda: site.client.jobs(vm=vm.name, kind="revert_snapshot", state=["succeeded"])["items"],
        120,
        "the revert",
    )
    vm.runs(before.digest)

    (taken,) = site.client.jobs(vm=vm.name, kind="create_snapshot")["items"]
    assert len(back) == 1
    asked, undone = given(taken["idempotency_key"]), given(back[0]["idempotency_key"])
    assert asked.removesuffix("-before") == undone.removesuffix("-back")
    assert site.client.snapshot(given(taken["snapshot_id"]))["tags"] == ["deployment"]
    log = tmp_path / "log"
    until(lambda: "CalledProcessError" in log.read_text(), 30, "the error of the task")
