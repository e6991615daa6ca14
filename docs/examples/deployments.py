"""A deployment as a Celery task of another service: a snapshot before it, and the VM brought back if it fails.

    celery -A deployments worker
    deployments.deploy.delay("web1", "2026.11")

It needs celery and stillframe (which brings httpx), and in the environment DEPLOY_BROKER_URL, STILLFRAME_URL, STILLFRAME_KEY,
and DEPLOY_COMMAND, which is called with the VM and the release.
"""

import os
import subprocess
from typing import Any

from celery import Celery, Task

from stillframe import Producer
from stillframe.client.answers import Job
from stillframe.operations import CreateSnapshot, RevertSnapshot

#: Seconds for the snapshot to be there. If it is not by then, nothing is deployed.
PATIENCE_S = 600

app = Celery("deployments", broker=os.environ["DEPLOY_BROKER_URL"])
# A worker that dies in the middle is no reason to lose a deployment: its task is delivered again, with the same id.
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)


class NotSafe(Exception):
    """There is no snapshot to come back to, so nothing was deployed; or the VM could not be brought back."""


@app.task(bind=True)
def deploy(task: Task, vm: str, release: str) -> str:
    """Deploys a release on a VM. Raises what the deployment raised, once the VM is as it was before."""
    with Producer(os.environ["STILLFRAME_URL"], os.environ["STILLFRAME_KEY"]) as stillframe:
        # The keys are made of the task's id, so a second delivery finds the snapshot of the first, and takes no other:
        # that would be one of a VM that is half deployed.
        before = _succeeded(
            stillframe,
            stillframe.submit(
                CreateSnapshot(vm=vm, type="hot", tags=("deployment",), description=f"before {release}"),
                idempotency_key=f"deploy-{task.request.id}-before",
            ),
        )
        try:
            roll_out(vm, release)
        except Exception:
            _succeeded(
                stillframe,
                stillframe.submit(
                    RevertSnapshot(snapshot_id=str(before["snapshot_id"]), after="start"),
                    idempotency_key=f"deploy-{task.request.id}-back",
                ),
            )
            raise
        return str(before["snapshot_id"])


def roll_out(vm: str, release: str) -> None:
    """The deployment itself; raises if it does not succeed."""
    subprocess.run([os.environ["DEPLOY_COMMAND"], vm, release], check=True)


def _succeeded(stillframe: Producer, asked: Job) -> Job:
    """The job once it has succeeded; raises NotSafe with the reason when it has not."""
    job = stillframe.wait(asked["id"], timeout_s=PATIENCE_S)
    if job["state"] == "succeeded":
        return job
    why: Any = job["error"] or job["waiting"] or {"detail": f"it is {job['state']}"}
    raise NotSafe(f"{job['kind']} of VM {job['vm']['name']}, job {job['id']}: {why['detail']}")
