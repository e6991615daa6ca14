"""The types of events: immutable facts, past tense, `noun.happened`."""

from enum import StrEnum


class EventType(StrEnum):
    JOB_QUEUED = "job.queued"
    JOB_STARTED = "job.started"
    JOB_TAKEN_OVER = "job.taken_over"
    JOB_TURNED_BACK = "job.turned_back"
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_STUCK = "job.stuck"
    JOB_REQUEUED = "job.requeued"
    CANCEL_REQUESTED = "job.cancel_requested"
    STEP_STARTED = "step.started"
    STEP_FINISHED = "step.finished"
    STEP_UNDONE = "step.undone"
    SNAPSHOT_READY = "snapshot.ready"
    SNAPSHOT_REVERTED = "snapshot.reverted"
    SNAPSHOT_DELETED = "snapshot.deleted"
    SNAPSHOT_FAILED = "snapshot.failed"
    SNAPSHOT_EDITED = "snapshot.edited"
    VOLUME_EXTRACTED = "volume.extracted"
    VOLUME_CHECKSUMMED = "volume.checksummed"
    COMMENT_ADDED = "comment.added"
    HOST_REGISTERED = "host.registered"
    VM_SEEN = "vm.seen"
    VM_CHANGED = "vm.changed"
    VM_GONE = "vm.gone"


class Level(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
