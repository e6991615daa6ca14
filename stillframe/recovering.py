"""The ways out of `stuck`: when each can be gone and what it does. The code that refuses also says so beforehand.

Pure, so that the rows can be asked inside the transaction that goes a way, and the API can show all ways before.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from stillframe.errors import JobNotStuck, RollbackTooLate, StillframeError
from stillframe.states import JobState


class Way(StrEnum):
    """What a person can decide about a stuck job."""

    RESUME = "resume"
    ROLLBACK = "rollback"
    MARK_DONE = "mark_done"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the rules need to know of a job."""

    job: UUID
    kind: str
    state: JobState
    #: Which way it went when it became stuck: running or undoing.
    was: JobState
    phase: str
    #: Whether its point of no return is passed.
    no_return: bool
    host: str
    #: Why nobody can look at its VM in the near future; None if somebody can.
    unseen: str | None = None
    #: Nobody holds it, and nobody can: its VM is on no host, or its host is silent.
    adrift: bool = False

    @property
    def back(self) -> bool:
        """Whether it was being walked back."""
        return self.was is JobState.UNDOING


def check(way: Way, job: Standing) -> None:
    """Whether this way can be gone; raises JobNotStuck or RollbackTooLate.

    A job that is adrift goes on by itself once its VM is seen, or its host is back; if that is never, it can only be closed.
    """
    if job.state is not JobState.STUCK and not (job.adrift and way is Way.MARK_DONE):
        raise JobNotStuck(job=job.job, state=job.state)
    if way is Way.ROLLBACK and job.no_return:
        raise RollbackTooLate(job=job.job, phase=job.phase)


def ways(job: Standing) -> dict[str, dict[str, Any]]:
    """Every way with whether it is open, the very words it would be refused with, and what comes of it."""
    return {way.value: _verdict(way, job) | {"what_happens": _what_happens(way, job)} for way in Way}


def _verdict(way: Way, job: Standing) -> dict[str, Any]:
    try:
        check(way, job)
    except StillframeError as refusal:
        return {"allowed": False, "reason": f"{refusal.detail} {refusal.to_json()['remedy']}"}
    return {"allowed": True, "reason": None}


def _what_happens(way: Way, job: Standing) -> str:
    if way is Way.MARK_DONE:
        return _UNSEEN[job.kind].format(why=job.unseen) if job.unseen else _LOOKED_AT[job.kind]
    who = f"Host {job.host} takes it up at once"
    if job.unseen:
        who = f"It waits for as long as {job.unseen}; then a host takes it up"
    if way is Way.ROLLBACK or job.back:
        return (
            f"{who} and walks back what was done, the last step first; then it has failed. {_BACK[job.kind]}"
        )
    return (
        f"{who} at {job.phase} and goes on to the end. "
        "If what was in the way still is, the job is stuck again after a few tries."
    )


_BACK = {
    "create_snapshot": "The snapshot is not made; the VM keeps all it has written.",
    "revert_snapshot": "The VM stays as it is now; the snapshot is ready as before.",
    "delete_snapshot": (
        "A merge that was under way is stopped; if the snapshot had been given up, it is in error and can be deleted again."
    ),
    "prune_snapshots": (
        "A merge that was under way is stopped; what of the snapshots had been given up is in error and can be deleted again."
    ),
    "extract_volume": "The volume snapshot is not made.",
    "delete_volume": "The volume snapshot stays as it is.",
}
_LOOKED_AT = {
    "create_snapshot": (
        "Nothing more is done to the VM. Its host is looked at: if the snapshot's manifest and all its layers are there, "
        "the job has succeeded; else it has failed, and the snapshot is in error."
    ),
    "revert_snapshot": (
        "Nothing more is done to the VM. Its host is looked at: if every volume stands right on the layer the snapshot "
        "froze, and not on the head it had before, the job has succeeded; else it has failed. The snapshot is ready again."
    ),
    "delete_snapshot": (
        "Nothing more is done to the VM. Its host is looked at: if the manifest is gone, or gives up its layers and none "
        "of them is left to be merged or removed, the snapshot is deleted; else the job has failed, and the snapshot is "
        "ready again, or in error if it had been given up."
    ),
    "prune_snapshots": (
        "Nothing more is done to the VM. Its host is looked at: if no manifest of the snapshots protects its layers, and none "
        "of these is left to be merged or removed, they are deleted; else the job has failed, and each is ready again, or in "
        "error if it had been given up."
    ),
    "extract_volume": (
        "Nothing more is copied. The host is looked at: if the image is there and whole, the job has succeeded; else it "
        "has failed, and the volume snapshot is in error."
    ),
    "delete_volume": (
        "Nothing more is removed. The host is looked at: if the image is gone, the volume snapshot is deleted; else the job "
        "has failed, and the volume snapshot stays as it is."
    ),
}
_NOBODY = "As {why}, nobody looks at the VM: the job has failed at once, "
_UNSEEN = {
    "create_snapshot": _NOBODY + "and the snapshot is in error.",
    "revert_snapshot": _NOBODY + "and the snapshot is ready again; what the VM is now is not known.",
    "delete_snapshot": _NOBODY + "and the snapshot is in error; it can be deleted again.",
    "prune_snapshots": _NOBODY + "and the snapshots are in error; they can be deleted again.",
    "extract_volume": _NOBODY + "and the volume snapshot is in error.",
    "delete_volume": _NOBODY + "and the volume snapshot stays as it is; a rescan tells if its image is gone.",
}
