"""What an operation would do and cost, told before it is asked for: pure, from what rows know of a VM.

The worker looks again at everything when the job runs. What is told here is as old as `seen_at` says.
"""

from stillframe.planning.create import plan_create
from stillframe.planning.delete import plan_delete
from stillframe.planning.extract import plan_extract
from stillframe.planning.forecast import Forecast
from stillframe.planning.foreign import plan_foreign
from stillframe.planning.known import Limits, SnapshotKnown, VmKnown
from stillframe.planning.revert import plan_revert
from stillframe.planning.volume import plan_delete_volume

__all__ = [
    "Forecast",
    "Limits",
    "SnapshotKnown",
    "VmKnown",
    "plan_create",
    "plan_delete",
    "plan_delete_volume",
    "plan_extract",
    "plan_foreign",
    "plan_revert",
]
