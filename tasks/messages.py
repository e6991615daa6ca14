"""The messages: a wire name, and a body that carries a job's id and a few words for people, never any authority."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from models.jobs.outbox import Owed
from stillframe.names import wire_name
from stillframe.operations import OPERATIONS
from tasks.routing import CONTROL_QUEUE, queue_for

#: The names under which hosts' workers are woken, one a kind of job.
JOB_MESSAGES = {kind: wire_name(kind) for kind in OPERATIONS}

PUBLISH_OWED = "stillframe.publish_owed"
LAPSE_LEASES = "stillframe.lapse_leases"
EXPIRE_JOBS = "stillframe.expire_jobs"
FIRE_POLICIES = "stillframe.fire_policies"
MEND_CLOCKS = "stillframe.mend_clocks"
FORGET_FIRINGS = "stillframe.forget_firings"
EXPIRE_SNAPSHOTS = "stillframe.expire_snapshots"
FORGET_KEYS = "stillframe.forget_keys"


@dataclass(frozen=True)
class Envelope:
    """One message with its address. `shown` is what Flower shows of it."""

    name: str
    id: str
    queue: str
    priority: int
    body: dict[str, Any]
    shown: str


def wake(owed: Owed) -> Envelope:
    """The message that wakes a host's worker for a job.

    Its id is the job's, so that the job's id finds it in Flower; a repeated one has its number behind it.
    """
    return Envelope(
        name=wire_name(owed.kind),
        id=f"{owed.job_id}.{owed.publish_count}" if owed.publish_count else str(owed.job_id),
        queue=queue_for(owed.host),
        priority=owed.priority,
        body={"job_id": str(owed.job_id), "vm": owed.vm_name, "snapshot": owed.snapshot_name},
        shown=f"vm={owed.vm_name} snapshot={owed.snapshot_name}",
    )


def control(name: str) -> Envelope:
    """A message to the control side."""
    return Envelope(name=name, id=str(uuid4()), queue=CONTROL_QUEUE, priority=0, body={}, shown="")
