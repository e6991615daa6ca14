"""What keeps a job of the line from being begun, as SQL about the row `job`, for those who publish and those who claim."""

from models.base import quoted
from models.job import UNFINISHED

#: Seconds without a sign of life after which nothing is published a second time to a host.
HOST_SILENT_S = 120

#: Of two jobs of one VM, whether `other` goes before `job`: it is held or stuck, or before it in the line.
GOES_FIRST = f"""(
    other.vm_id = job.vm_id AND other.id <> job.id AND other.state IN ({quoted(UNFINISHED)})
    AND (other.state <> 'queued'
         OR (other.priority, other.created_at, other.id) < (job.priority, job.created_at, job.id))
)"""

_BLOCKED = f"EXISTS (SELECT FROM job AS other WHERE {GOES_FIRST})"

#: Whether its VM is on no host. What a creation that failed has left can be deleted all the same.
ABSENT = """EXISTS (
    SELECT FROM vm LEFT JOIN snapshot ON snapshot.id = job.snapshot_id AND job.kind = 'delete_snapshot'
    WHERE vm.id = job.vm_id AND vm.gone AND snapshot.error IS NULL
)"""

_DRAINED = "EXISTS (SELECT FROM host WHERE host.id = job.host_id AND host.drained_at IS NOT NULL)"

#: Whether a queued job may not be begun now.
KEPT_BACK = f"({_BLOCKED} OR {ABSENT} OR {_DRAINED} OR coalesce(job.expires_at <= now(), false))"
