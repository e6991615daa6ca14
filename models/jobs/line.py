"""What keeps a job of the line from being begun, as SQL about the row `job`, for those who publish and those who claim."""

from models.base import quoted
from models.jobs.tables import UNFINISHED
from stillframe.operations import DELETIONS, DeleteVolume

#: Seconds without a sign of life after which nothing is published a second time to a host.
HOST_SILENT_S = 120

#: Of two jobs of one VM, whether `other` goes before `job`: it is held or stuck, or before it in the line.
GOES_FIRST = f"""(
    other.vm_id = job.vm_id AND other.id <> job.id AND other.state IN ({quoted(UNFINISHED)})
    AND (other.state <> 'queued'
         OR (other.priority, other.created_at, other.id) < (job.priority, job.created_at, job.id))
)"""

_BLOCKED = f"EXISTS (SELECT FROM job AS other WHERE {GOES_FIRST})"

_VM_GONE = "EXISTS (SELECT FROM vm WHERE vm.id = job.vm_id AND vm.gone)"

#: Whether it only deletes what is in error.
_CLEANS_UP = f"""(
    job.kind IN ({quoted(DELETIONS)})
    AND NOT EXISTS (SELECT FROM snapshot WHERE snapshot.id = job.snapshot_id AND snapshot.error IS NULL)
    AND NOT EXISTS (
        SELECT FROM job_snapshot JOIN snapshot ON snapshot.id = job_snapshot.snapshot_id
        WHERE job_snapshot.job_id = job.id AND job_snapshot.spared IS NULL AND snapshot.error IS NULL
    )
)"""  # noqa: S608

#: Whether its VM is on no host, and it needs it. What a creation that failed has left, and an extracted volume, can be
#: deleted all the same.
ABSENT = f"({_VM_GONE} AND job.kind <> '{DeleteVolume.kind}' AND NOT {_CLEANS_UP})"

#: Whether its VM runs on two hosts, and it needs the one that is meant.
ON_TWO = f"""(
    EXISTS (SELECT FROM vm_twin WHERE vm_twin.vm_id = job.vm_id AND vm_twin.on_two_at IS NOT NULL)
    AND job.kind <> '{DeleteVolume.kind}'
)"""

_DRAINED = "EXISTS (SELECT FROM host WHERE host.id = job.host_id AND host.drained_at IS NOT NULL)"

#: Whether a queued job may not be begun now.
KEPT_BACK = f"({_BLOCKED} OR {ABSENT} OR {ON_TWO} OR {_DRAINED} OR coalesce(job.expires_at <= now(), false))"
