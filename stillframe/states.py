"""The states of jobs, steps and snapshots, and the tables of allowed moves: the only place that says what may follow what."""

from enum import StrEnum


class JobState(StrEnum):
    #: Wished and written down; its message is on the host's queue, or owed to it.
    QUEUED = "queued"
    #: One worker holds it by a lease and goes forward through its plan.
    RUNNING = "running"
    #: A step failed or a cancel was asked for before the point of no return: the plan is walked back.
    UNDOING = "undoing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: Decided against before it began (a policy's guard, an overlap).
    SKIPPED = "skipped"
    #: Not begun before its deadline.
    EXPIRED = "expired"
    #: Neither forward nor back works: a person is needed, the evidence is on the job.
    STUCK = "stuck"


class StepState(StrEnum):
    #: Intent is on disk; the machine may or may not have been touched.
    STARTED = "started"
    DONE = "done"
    #: Its undo has run to the end.
    UNDONE = "undone"


class SnapshotState(StrEnum):
    CREATING = "creating"
    READY = "ready"
    REVERTING = "reverting"
    DELETING = "deleting"
    DELETED = "deleted"
    #: Its creation failed, or a rescan found that nothing is left of it; blocks nothing, counts for no limit, can be deleted.
    ERROR = "error"


class VolumeSnapshotState(StrEnum):
    CREATING = "creating"
    READY = "ready"
    DELETED = "deleted"
    ERROR = "error"


class VmState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"
    #: Off because QEMU died or the guest crashed.
    CRASHED = "crashed"
    #: Was on the host once and no longer is.
    GONE = "gone"


class SnapshotType(StrEnum):
    COLD = "cold"
    HOT = "hot"
    MEMORY = "memory"


class Consistency(StrEnum):
    """What was really reached, from strongest to weakest."""

    STOPPED = "stopped"
    MEMORY = "memory"
    APPLICATION = "application"
    FILESYSTEM = "filesystem"
    CRASH = "crash"


class SnapshotOrigin(StrEnum):
    STILLFRAME = "stillframe"
    #: Made by another tool (virsh, virt-manager): it is shown and protected, and some can be used.
    FOREIGN = "foreign"


class RescanState(StrEnum):
    """How far a look at a whole host is that a person asked for."""

    ASKED = "asked"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset(
        {JobState.RUNNING, JobState.CANCELLED, JobState.SKIPPED, JobState.EXPIRED, JobState.FAILED}
    ),
    JobState.RUNNING: frozenset(
        {JobState.RUNNING, JobState.SUCCEEDED, JobState.UNDOING, JobState.STUCK, JobState.QUEUED}
    ),
    JobState.UNDOING: frozenset({JobState.UNDOING, JobState.FAILED, JobState.CANCELLED, JobState.STUCK}),
    JobState.STUCK: frozenset({JobState.RUNNING, JobState.UNDOING, JobState.SUCCEEDED, JobState.FAILED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.SKIPPED: frozenset(),
    JobState.EXPIRED: frozenset(),
}

SNAPSHOT_MOVES: dict[SnapshotState, frozenset[SnapshotState]] = {
    SnapshotState.CREATING: frozenset({SnapshotState.READY, SnapshotState.ERROR}),
    SnapshotState.READY: frozenset({SnapshotState.REVERTING, SnapshotState.DELETING, SnapshotState.ERROR}),
    SnapshotState.REVERTING: frozenset({SnapshotState.READY}),
    SnapshotState.DELETING: frozenset({SnapshotState.DELETED, SnapshotState.READY, SnapshotState.ERROR}),
    SnapshotState.ERROR: frozenset({SnapshotState.DELETING, SnapshotState.READY}),
    SnapshotState.DELETED: frozenset(),
}

VOLUME_SNAPSHOT_MOVES: dict[VolumeSnapshotState, frozenset[VolumeSnapshotState]] = {
    VolumeSnapshotState.CREATING: frozenset({VolumeSnapshotState.READY, VolumeSnapshotState.ERROR}),
    VolumeSnapshotState.READY: frozenset({VolumeSnapshotState.ERROR, VolumeSnapshotState.DELETED}),
    VolumeSnapshotState.ERROR: frozenset({VolumeSnapshotState.READY, VolumeSnapshotState.DELETED}),
    VolumeSnapshotState.DELETED: frozenset(),
}

STEP_MOVES: dict[StepState, frozenset[StepState]] = {
    StepState.STARTED: frozenset({StepState.STARTED, StepState.DONE, StepState.UNDONE}),
    StepState.DONE: frozenset({StepState.UNDONE}),
    StepState.UNDONE: frozenset(),
}

RESCAN_MOVES: dict[RescanState, frozenset[RescanState]] = {
    RescanState.ASKED: frozenset({RescanState.RUNNING}),
    RescanState.RUNNING: frozenset({RescanState.RUNNING, RescanState.DONE, RescanState.FAILED}),
    RescanState.DONE: frozenset(),
    RescanState.FAILED: frozenset(),
}

#: A job in one of these has ended and never changes again (`stuck` has not ended: a person decides).
ENDED = frozenset(state for state, moves in JOB_MOVES.items() if not moves)
#: A job in one of these does not go on by itself: those who wait for it need not wait longer.
OVER = ENDED | {JobState.STUCK}
#: A job in one of these is in a worker's hands.
HELD = frozenset({JobState.RUNNING, JobState.UNDOING})


def came_from(state: JobState) -> frozenset[JobState]:
    """The states from which a job may move to `state`."""
    return frozenset(old for old, moves in JOB_MOVES.items() if state in moves)
