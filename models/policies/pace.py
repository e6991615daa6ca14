"""How long the last snapshots of a policy's VMs took."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text

from models.base import Sql, quoted
from stillframe.policies.pace import Took
from stillframe.policies.policy import Mode
from stillframe.rules import ALIVE

#: Of each VM the last few that were made; a median, since one that waited for a slow disk says little.
_TOOK = f"""
    SELECT vm.name AS vm, host.name AS host, usual.seconds
    FROM vm JOIN host ON host.id = vm.host_id
    LEFT JOIN LATERAL (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM last.finished_at - last.started_at)) AS seconds
        FROM (
            SELECT job.started_at, job.finished_at FROM job JOIN snapshot ON snapshot.id = job.snapshot_id
            WHERE job.vm_id = vm.id AND job.kind = 'create_snapshot' AND job.state = 'succeeded'
            AND snapshot.type = CASE WHEN :mode <> 'auto' THEN :mode
                                     WHEN vm.state IN ({quoted(ALIVE)}) THEN 'hot' ELSE 'cold' END
            ORDER BY job.created_at DESC LIMIT 5
        ) AS last
    ) AS usual ON true
    WHERE vm.id = ANY (:vms)
    ORDER BY usual.seconds DESC NULLS LAST, vm.name
"""  # noqa: S608


def took(sql: Sql, vms: Sequence[UUID], mode: Mode) -> list[Took]:
    """Of each of these VMs, the slowest first."""
    typed = text(_TOOK).bindparams(bindparam("vms", type_=ARRAY(Uuid())))
    return [
        Took(row.vm, row.host, None if row.seconds is None else timedelta(seconds=float(row.seconds)))
        for row in sql.execute(typed, {"vms": list(vms), "mode": mode})
    ]
