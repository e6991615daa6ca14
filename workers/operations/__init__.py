"""The operations: one file each, its plan below its acts."""

from workers.operations.create_snapshot import CREATE_SNAPSHOT
from workers.operations.delete_snapshot import DELETE_SNAPSHOT, PRUNE_SNAPSHOTS
from workers.operations.delete_volume import DELETE_VOLUME
from workers.operations.extract_volume import EXTRACT_VOLUME
from workers.operations.foreign import DELETE_FOREIGN, EXTRACT_FOREIGN, REVERT_FOREIGN
from workers.operations.revert_snapshot import REVERT_SNAPSHOT
from workers.steps import Plan

PLANS = {
    plan.kind: plan
    for plan in (
        CREATE_SNAPSHOT,
        REVERT_SNAPSHOT,
        DELETE_SNAPSHOT,
        PRUNE_SNAPSHOTS,
        EXTRACT_VOLUME,
        DELETE_VOLUME,
    )
}
#: The same kinds of jobs, about snapshots that other tools made.
FOREIGN_PLANS = {plan.kind: plan for plan in (REVERT_FOREIGN, DELETE_FOREIGN, EXTRACT_FOREIGN)}


def plan_for(kind: str, *, foreign: bool) -> Plan:
    """How a job of this kind is done, about a snapshot of ours or a foreign one."""
    return FOREIGN_PLANS[kind] if foreign else PLANS[kind]
