"""What deleting a volume snapshot would do."""

from uuid import UUID

from stillframe import plans
from stillframe.operations import DeleteVolume
from stillframe.planning.common import look_around
from stillframe.planning.forecast import Bytes, Draft, Forecast, Pause
from stillframe.planning.known import VmKnown
from stillframe.rules import VolumeSnapshotFacts, check_delete_volume


def plan_delete_volume(
    operation: DeleteVolume, vm: VmKnown, facts: VolumeSnapshotFacts, snapshot: UUID, size_bytes: int
) -> Forecast:
    """Its image is removed, and nothing else; `vm` is as it is known on the host that has the image."""
    draft = Draft(vm)
    draft.check("request", lambda: check_delete_volume(facts))
    look_around(draft)
    draft.tell("volume_lost", f"Volume snapshot {facts.name} cannot be brought back.")
    if snapshot in vm.names:
        draft.tell("others_untouched", f"Snapshot {vm.names[snapshot]}, which it came out of, stays.")
    pause = Pause("none", "The VM is not touched.")
    return draft.done(operation, plans.steps(operation.kind), Bytes(freed=size_bytes), pause)
