"""What a policy keeps of its snapshots: the rows that the arithmetic of retention judges."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Text, cast, func, select

from models.base import AnyRow, Sql
from models.jobs.tables import UNFINISHED, Job, JobSnapshot
from models.policies.extracts import is_to_come
from models.policies.spec import read
from models.policies.tables import Policy
from models.snapshots.tables import Snapshot, is_held
from models.vms.tables import Vm
from stillframe.errors import SnapshotLost
from stillframe.policies.retention import Kept, Retention, Verdict, decide, next_look
from stillframe.policies.schedule import zone
from stillframe.states import SnapshotState

#: Those that a deletion has already taken are neither kept nor to be pruned once more.
_JUDGED = (SnapshotState.READY, SnapshotState.REVERTING, SnapshotState.ERROR, SnapshotState.CREATING)
#: What a job uses is looked at again after so long.
IN_USE = timedelta(minutes=5)
_GOOD = {SnapshotState.READY, SnapshotState.REVERTING}


@dataclass(frozen=True)
class Judged:
    """One VM's snapshots of a policy, newest first, each with its verdict. `names` and `sizes` by the snapshots' ids."""

    vm_id: UUID
    vm_name: str
    verdicts: list[Verdict]
    names: dict[UUID, str]
    sizes: dict[UUID, int]
    #: When this may be otherwise without a new snapshot; None if it will not.
    look_at: datetime | None

    @property
    def condemned(self) -> dict[UUID, str]:
        """Those that go, with the reasons."""
        return {one.id: "; ".join(one.reasons) for one in self.verdicts if not one.keep}


def judge(
    sql: Sql, policy: UUID, vms: Sequence[UUID] | None = None, *, but: UUID | None = None
) -> list[Judged]:
    """What would go and what would stay if it were pruned now; of all its VMs or of some.

    What the job `but` is about does not count as in use: it is the one that prunes.
    """
    row = sql.execute(select(Policy.spec, func.now().label("now")).where(Policy.id == policy)).one()
    wish = read(row.spec)
    place = zone(wish.schedules[0].timezone)
    gaps = [gap for schedule in wish.schedules if (gap := schedule.usual_gap(row.now))]
    return [
        _judged(rows, wish.retention, row.now, place, min(gaps, default=None))
        for rows in _by_vm(sql, policy, vms, but)
    ]


def _judged(
    rows: list[AnyRow], retention: Retention, now: datetime, place: ZoneInfo, gap: timedelta | None
) -> Judged:
    snapshots = [
        Kept(
            id=row.id,
            created_at=row.created_at,
            good=row.state in _GOOD,
            failed=row.state is SnapshotState.ERROR and (row.error or {}).get("code") != SnapshotLost.code,
            held=row.held,
            in_use=f"job {row.job}" if row.job else "volumes are to be extracted" if row.to_come else None,
        )
        for row in rows
    ]
    looks = [next_look(retention, snapshots, now), *(row.held_until for row in rows if row.held)]
    if any(one.in_use for one in snapshots):
        looks.append(now + IN_USE)
    return Judged(
        vm_id=rows[0].vm_id,
        vm_name=rows[0].vm_name,
        verdicts=decide(retention, snapshots, now, place, gap),
        names={row.id: row.name for row in rows},
        sizes={row.id: row.size_bytes + (row.memory_bytes or 0) for row in rows},
        look_at=min((at for at in looks if at is not None and at > now), default=None),
    )


def _by_vm(sql: Sql, policy: UUID, vms: Sequence[UUID] | None, but: UUID | None) -> list[list[AnyRow]]:
    others = (Job.state.in_(sorted(UNFINISHED)), Job.id.is_distinct_from(but))
    one = select(func.min(cast(Job.id, Text))).where(Job.snapshot_id == Snapshot.id, *others)
    several = (
        select(func.min(cast(Job.id, Text)))
        .join(JobSnapshot, JobSnapshot.job_id == Job.id)
        .where(JobSnapshot.snapshot_id == Snapshot.id, JobSnapshot.spared.is_(None), *others)
    )
    using = func.coalesce(one.scalar_subquery(), several.scalar_subquery())
    wanted = (
        select(
            *(Snapshot.id, Snapshot.name, Snapshot.created_at, Snapshot.state, Snapshot.size_bytes),
            *(Snapshot.memory_bytes, is_held().label("held"), Snapshot.held_until, Snapshot.vm_id),
            *(Snapshot.error, Vm.name.label("vm_name"), using.label("job")),
            is_to_come().label("to_come"),
        )
        .join(Vm, Vm.id == Snapshot.vm_id)
        .where(Snapshot.policy_id == policy, Snapshot.state.in_(_JUDGED), ~Vm.gone)
        .order_by(Vm.name, Vm.id, Snapshot.created_at.desc())
    )
    if vms is not None:
        wanted = wanted.where(Snapshot.vm_id.in_(vms))
    return [list(rows) for _, rows in groupby(sql.execute(wanted), key=attrgetter("vm_id"))]
