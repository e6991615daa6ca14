"""What a policy keeps of the volumes it had extracted: by VM and target, with the arithmetic that its snapshots are kept by.

An image counts by when its snapshot was taken, not by when it was copied.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from sqlalchemy import Text, Update, cast, func, select, update
from sqlalchemy.orm import Session

from models.base import AnyRow, Sql
from models.jobs.tables import UNFINISHED, Job
from models.moves import Told, tell
from models.policies.kept import IN_USE
from models.policies.spec import Batch, batch, read
from models.policies.tables import Policy, PolicyVm
from models.snapshots.tables import Snapshot, VolumeSnapshot
from models.tenants.actor import Actor, of_policy
from models.tenants.tables import Account, Domain
from models.vms.tables import Vm
from stillframe.errors import VolumeSnapshotLost
from stillframe.events import EventType, Level
from stillframe.operations import DeleteVolume
from stillframe.policies.policy import Policy as Wish
from stillframe.policies.retention import Kept, Retention, Verdict, decide, next_look
from stillframe.policies.schedule import zone
from stillframe.states import ENDED, JobState, VolumeSnapshotState

_JUDGED = (VolumeSnapshotState.READY, VolumeSnapshotState.ERROR, VolumeSnapshotState.CREATING)
#: After a deletion that did not succeed the next is asked so much later, twice as much each time, up to a day.
_AFTER_FAILURE = timedelta(minutes=5)
_LONGEST = timedelta(days=1)


@dataclass(frozen=True)
class JudgedVolumes:
    """The images of one volume of one VM, newest first, each with its verdict. `names` and `sizes` by their ids."""

    vm_id: UUID
    target: str
    verdicts: list[Verdict]
    names: dict[UUID, str]
    sizes: dict[UUID, int]
    #: When this may be otherwise without a new one; None if it will not.
    look_at: datetime | None

    @property
    def condemned(self) -> list[UUID]:
        """Those that go."""
        return [one.id for one in self.verdicts if not one.keep]


@dataclass(frozen=True)
class Due:
    """A VM whose extracted volumes of a policy are to be looked through now."""

    policy_id: UUID
    name: str
    policy: Wish
    actor: Actor
    vm_id: UUID
    now: datetime
    #: Whether the policy is not deleted, switched off or suspended, and extracts.
    stands: bool
    paused_until: datetime | None


def judge_volumes(sql: Sql, policy: UUID, vms: Sequence[UUID] | None = None) -> list[JudgedVolumes]:
    """What would go and what would stay of its extracted volumes; nothing if it does not extract."""
    row = sql.execute(select(Policy.spec, func.now().label("now")).where(Policy.id == policy)).one()
    wish = read(row.spec)
    if wish.extract is None:
        return []
    return [_judged(wish, wish.extract.retention, rows, row.now) for rows in _by_volume(sql, policy, vms)]


def due(session: Session, limit: int = 200) -> Batch[Due]:
    """Those longest due, locked; others who look at the same time pass them over. What cannot be read is put off."""
    rows = session.execute(
        select(
            *(PolicyVm.policy_id, PolicyVm.vm_id, Policy.name, Policy.spec, Policy.account_id),
            *(Policy.role, Domain.path.label("domain")),
            *(
                Policy.deleted_at,
                Policy.suspended_at,
                Policy.enabled,
                Policy.paused_until,
                func.now().label("now"),
            ),
        )
        .join(Policy, Policy.id == PolicyVm.policy_id)
        .join(Account, Account.id == Policy.account_id)
        .join(Domain, Domain.id == Account.domain_id)
        .where(PolicyVm.volumes_due_at <= func.now())
        .order_by(PolicyVm.volumes_due_at, PolicyVm.policy_id, PolicyVm.vm_id)
        .limit(limit)
        .with_for_update(of=PolicyVm, skip_locked=True)
    )
    found = batch(rows, _due)
    for row in found.bad:
        session.execute(_of(row.policy_id, row.vm_id).values(volumes_due_at=None))
    return found


def look_at(session: Session, one: Due, at: datetime | None) -> None:
    """When they are looked through next; None: when there is something new."""
    session.execute(_of(one.policy_id, one.vm_id).values(volumes_due_at=at))


def refused(session: Session, one: Due, why: str) -> datetime:
    """Deletions that could not be asked for; told unless the last time was refused with the same words.

    Returns when to try again: later each time, up to a day.
    """
    of = select(PolicyVm.volumes_refusal, PolicyVm.volumes_refused)
    known = session.execute(of.where(PolicyVm.policy_id == one.policy_id, PolicyVm.vm_id == one.vm_id)).one()
    times = min(known.volumes_refused + 1, 1000)
    session.execute(_of(one.policy_id, one.vm_id).values(volumes_refusal=why, volumes_refused=times))
    if known.volumes_refusal != why:
        data = {"policy_id": str(one.policy_id), "name": one.name, "reason": why}
        told = Told(EventType.POLICY_PRUNE_REFUSED, f"policy:{one.name}", Level.WARNING, why, data)
        tell(session, told, vm=one.vm_id)
    return one.now + _backoff(times)


def nothing_refused(session: Session, one: Due) -> None:
    """All that goes was asked to be deleted."""
    fresh = {"volumes_refusal": None, "volumes_refused": 0}
    session.execute(_of(one.policy_id, one.vm_id).where(PolicyVm.volumes_refused > 0).values(fresh))


def is_new(session: Session, volume: UUID | None) -> None:
    """There is another image: if a policy had it made, it looks through those it has."""
    of = select(VolumeSnapshot.policy_id, VolumeSnapshot.vm_id).where(VolumeSnapshot.id == volume)
    policy, vm = session.execute(of).one()
    if policy is not None:
        its = (PolicyVm.policy_id == policy, PolicyVm.vm_id == vm)
        session.execute(update(PolicyVm).where(*its).values(volumes_due_at=func.now()))


def not_before(session: Session, volumes: Collection[UUID]) -> dict[UUID, datetime]:
    """When each may be asked to be deleted again, of those whose deletion did not succeed before."""
    failed = (
        select(Job.volume_snapshot_id, func.count().label("times"), func.max(Job.finished_at).label("last"))
        .where(
            Job.volume_snapshot_id.in_(volumes),
            Job.kind == DeleteVolume.kind,
            Job.state.in_(sorted(ENDED - {JobState.SUCCEEDED})),
        )
        .group_by(Job.volume_snapshot_id)
    )
    return {row.volume_snapshot_id: row.last + _backoff(row.times) for row in session.execute(failed)}


def _backoff(times: int) -> timedelta:
    return min(_AFTER_FAILURE * (1 << min(times - 1, 10)), _LONGEST)


def _of(policy: UUID, vm: UUID) -> Update:
    return update(PolicyVm).where(PolicyVm.policy_id == policy, PolicyVm.vm_id == vm)


def _judged(wish: Wish, retention: Retention, rows: list[AnyRow], now: datetime) -> JudgedVolumes:
    gaps = [gap for schedule in wish.schedules if (gap := schedule.usual_gap(now))]
    place = zone(wish.schedules[0].timezone)
    images = [_kept(row) for row in rows]
    looks = [next_look(retention, images, now)]
    if any(one.in_use for one in images):
        looks.append(now + IN_USE)
    return JudgedVolumes(
        vm_id=rows[0].vm_id,
        target=rows[0].target,
        verdicts=decide(retention, images, now, place, min(gaps, default=None)),
        names={row.id: row.name for row in rows},
        sizes={row.id: row.size_bytes or 0 for row in rows},
        look_at=_soonest(looks),
    )


def _kept(row: AnyRow) -> Kept:
    lost = (row.error or {}).get("code") == VolumeSnapshotLost.code
    return Kept(
        id=row.id,
        created_at=row.taken_at,
        good=row.state is VolumeSnapshotState.READY,
        failed=row.state is VolumeSnapshotState.ERROR and not lost,
        in_use=row.job and f"job {row.job}",
    )


def _by_volume(sql: Sql, policy: UUID, vms: Sequence[UUID] | None) -> Iterable[list[AnyRow]]:
    one = VolumeSnapshot
    using = select(func.min(cast(Job.id, Text))).where(
        Job.volume_snapshot_id == one.id, Job.state.in_(sorted(UNFINISHED))
    )
    wanted = (
        select(
            *(one.id, one.name, one.state, one.target, one.size_bytes, one.error, one.vm_id),
            *(Snapshot.created_at.label("taken_at"), using.scalar_subquery().label("job")),
        )
        .join(Vm, Vm.id == one.vm_id)
        .join(Snapshot, Snapshot.id == one.snapshot_id)
        .where(one.policy_id == policy, one.state.in_(_JUDGED))
        .order_by(Vm.name, Vm.id, one.target, Snapshot.created_at.desc(), one.id.desc())
    )
    if vms is not None:
        wanted = wanted.where(one.vm_id.in_(vms))
    return (list(rows) for _, rows in groupby(sql.execute(wanted), key=lambda row: (row.vm_id, row.target)))


def _soonest(looks: Iterable[datetime | None]) -> datetime | None:
    return min((at for at in looks if at is not None), default=None)


def _due(row: AnyRow) -> Due:
    wish = read(row.spec)
    stands = row.deleted_at is None and row.suspended_at is None and row.enabled
    return Due(
        policy_id=row.policy_id,
        name=row.name,
        policy=wish,
        actor=of_policy(row.name, row.account_id, row.role, row.domain),
        vm_id=row.vm_id,
        now=row.now,
        stands=stands and wish.extract is not None,
        paused_until=row.paused_until,
    )
