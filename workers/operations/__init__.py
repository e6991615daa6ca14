"""The operations: one file each, its plan below its acts."""

from workers.operations.create_snapshot import CREATE_SNAPSHOT
from workers.operations.delete_snapshot import DELETE_SNAPSHOT
from workers.operations.extract_volume import EXTRACT_VOLUME
from workers.operations.revert_snapshot import REVERT_SNAPSHOT

PLANS = {plan.kind: plan for plan in (CREATE_SNAPSHOT, REVERT_SNAPSHOT, DELETE_SNAPSHOT, EXTRACT_VOLUME)}
