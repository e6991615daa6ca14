"""Snapshots that are not there, not to be used, or not to be deleted."""

from stillframe.errors.families import NotFound, Refused, StillframeError


class SnapshotNotFound(NotFound):
    """There is no snapshot "{snapshot}"."""

    code = "snapshot.not_found"
    remedy = "`stillframe snapshot list` shows the snapshots that exist."


class NameTaken(Refused):
    """VM "{vm}" already has a snapshot named "{name}"."""

    code = "snapshot.name_taken"
    remedy = "Choose another name, or delete the snapshot that has it."


class MemoryNeedsRunning(Refused):
    """A memory snapshot needs a running VM, and "{vm}" is {state}."""

    code = "snapshot.memory_needs_running"
    remedy = "Start the VM first, or take a cold snapshot (type cold)."


class HotNeedsRunning(Refused):
    """A hot snapshot needs a running VM, and "{vm}" is {state}."""

    code = "snapshot.hot_needs_running"
    remedy = "Take a cold snapshot (type cold), or start the VM first."


class ColdNeedsStopped(Refused):
    """A cold snapshot needs a stopped VM, and "{vm}" is {state}."""

    code = "snapshot.cold_needs_stopped"
    remedy = "Shut the VM down first, or take a hot or memory snapshot while it runs."


class SnapshotNotReady(Refused):
    """Snapshot "{snapshot}" is {state}, not ready."""

    code = "snapshot.not_ready"
    remedy = (
        "Wait until it is ready; `stillframe job list --vm VM` shows what it is waiting for. "
        "One in error can only be deleted."
    )


class SnapshotDamaged(Refused):
    """Snapshot "{snapshot}" is not whole on the host: {missing}."""

    code = "snapshot.damaged"
    remedy = "It can be deleted. If files were moved away by hand, bring them back and ask again."


class DeletionAsked(Refused):
    """Snapshot "{snapshot}" is already to be deleted, by job {job}."""

    code = "snapshot.deletion_asked"
    remedy = "Wait for that job, or cancel it (`stillframe job cancel`) and ask again."


class SnapshotHeld(Refused):
    """Snapshot "{snapshot}" of VM "{vm}" is held by {by} until {until}: {reason}"""

    code = "snapshot.held"
    remedy = "If it may go, release it (`stillframe snapshot release {vm}/{snapshot}`) and ask again."


class SnapshotInUse(Refused):
    """Snapshot "{snapshot}" is wanted by job {job}, which has not ended."""

    code = "snapshot.in_use"
    remedy = "Delete it once that job is over, or cancel the job."


class KeptByPolicy(Refused):
    """Policy "{policy}" keeps snapshot "{snapshot}" by now: {why}."""

    code = "snapshot.kept_by_policy"
    remedy = "Nothing is wrong: it is deleted when the policy lets it go."


class NothingToDelete(Refused):
    """Nothing is left to be deleted, of {count}: {why}"""

    code = "snapshot.nothing_to_delete"
    remedy = "Look at the snapshots as they are now."


class ForeignTogether(Refused):
    """Snapshot "{snapshot}" was made by another tool, and cannot be deleted together with others."""

    code = "snapshot.foreign_together"
    remedy = "Delete it by itself."


class DeletionsRefused(Refused):
    """{count} of {of} snapshots cannot be deleted, so nothing was asked for: {why}"""

    code = "snapshot.deletions_refused"
    remedy = "Leave those out, or change what blocks them; the evidence has each with its reason and remedy."


class AfterNotForMemory(Refused):
    """Reverting to a memory snapshot brings the VM back running; `after: {after}` does not apply."""

    code = "revert.after_not_for_memory"
    remedy = "Leave `after` out, and stop the VM afterwards if wanted."


class SnapshotLost(StillframeError):
    """Nothing of snapshot "{snapshot}" was found on host {host}: its manifest is not in {folder}."""

    code = "snapshot.lost"
    remedy = "Bring that folder back and rescan with --adopt, or delete the snapshot."


class DeletionUnfinished(StillframeError):
    """The deletion of snapshot "{snapshot}" was begun and not ended: what it froze may have been written into."""

    code = "snapshot.deletion_unfinished"
    remedy = "Delete it again: the deletion goes on where it stood."


class ForeignCannot(Refused):
    """Snapshot "{snapshot}" was made by another tool, and cannot be used for this: {why}."""

    code = "snapshot.foreign"
    remedy = (
        "Use the tool that made it (`virsh snapshot-list --domain VM`), or take a snapshot with Stillframe."
    )


class SnapshotChanged(Refused):
    """Snapshot "{snapshot}" has been edited since it was read."""

    code = "snapshot.changed"
    remedy = "Read it again, look at what changed, and send the new ETag as If-Match."
