"""Firings whose time has come, with what has to be known to let them go; and what becomes of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Row, bindparam, func, literal, select, text, update
from sqlalchemy.orm import Session

from models.base import quoted
from models.job import SCHEDULED, UNFINISHED, Job
from models.policies.tables import Firing, FiringState
from stillframe.policies.as_json import policy_from_json
from stillframe.policies.guards import Moment
from stillframe.policies.policy import Policy
from stillframe.states import VmState

#: One that starts firings at a time: caps are counted, and two who count at once would both find room.
_LOCK = 7_236_018_245
#: No cap is higher in one look; the rest has its turn at the next.
_A_HOST = 50

_OVERDUE = """
    UPDATE firing SET state = 'missed', decided_at = now(),
        reason = coalesce('its turn did not come in time: ' || reason, 'its turn did not come in time: nobody looked')
    WHERE state = 'waiting' AND give_up_at < now()
"""

_READY = f"""
    WITH due AS (
        SELECT firing.id, firing.policy_id, firing.schedule_id, firing.vm_id, firing.nominal_at, firing.due_at,
            vm.host_id, row_number() OVER (PARTITION BY vm.host_id ORDER BY firing.due_at, firing.id) AS place
        FROM firing JOIN vm ON vm.id = firing.vm_id
        WHERE firing.state = 'waiting' AND firing.due_at <= now()
    )
    SELECT due.id, due.policy_id, due.vm_id, due.host_id, due.nominal_at, now() AS now,
        policy.spec, policy.name AS policy_name, policy.account_id,
        schedule.spec ->> 'overlap' AS overlap, schedule.spec ->> 'timezone' AS timezone,
        vm.name AS vm_name, vm.state AS vm_state, vm.gone,
        room.depth, room.free_bytes,
        own.id AS own_job, merging.id AS merging
    FROM due
    JOIN policy ON policy.id = due.policy_id
    JOIN policy_schedule AS schedule ON schedule.id = due.schedule_id
    JOIN vm ON vm.id = due.vm_id
    LEFT JOIN LATERAL (
        SELECT max(volume.depth) AS depth, min(volume.free_bytes) AS free_bytes
        FROM volume WHERE volume.vm_id = due.vm_id AND volume.why_not IS NULL
    ) AS room ON true
    LEFT JOIN LATERAL (
        SELECT job.id FROM job JOIN snapshot ON snapshot.id = job.snapshot_id
        WHERE job.vm_id = due.vm_id AND job.state IN ({quoted(UNFINISHED)}) AND job.kind = 'create_snapshot'
        AND snapshot.policy_id = due.policy_id
        LIMIT 1
    ) AS own ON true
    LEFT JOIN LATERAL (
        SELECT job.id FROM job
        WHERE job.vm_id = due.vm_id AND job.state IN ({quoted(UNFINISHED)})
        AND job.kind IN ('delete_snapshot', 'prune_snapshots')
        LIMIT 1
    ) AS merging ON true
    WHERE due.place <= {_A_HOST}
    ORDER BY due.due_at, due.id
    LIMIT :limit
"""  # noqa: S608


@dataclass(frozen=True)
class Ready:
    """A firing whose time has come. `moment.on_host` is what was under way before any of these go."""

    id: UUID
    policy_id: UUID
    policy: Policy
    account_id: UUID
    vm_id: UUID
    host_id: UUID
    nominal_at: datetime
    overlap: Any
    timezone: str
    moment: Moment
    now: datetime


def take_the_lead(session: Session) -> bool:
    """Whether this transaction is the one that lets firings go; False if another is at it."""
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(literal(_LOCK, BigInteger)))))


def give_up_overdue(session: Session) -> int:
    """What waited longer than it may is missed, with what it waited for."""
    return int(session.execute(text(_OVERDUE)).rowcount)  # type: ignore[attr-defined]


def ready(session: Session, limit: int = 200) -> list[Ready]:
    """Waiting firings whose time has come, the longest due first, some of each host."""
    counted = _under_way(session)
    rows = session.execute(text(_READY).bindparams(bindparam("limit", limit)))
    return [_ready(row, counted) for row in rows]


def decide(
    session: Session, firing: UUID, state: FiringState, reason: str | None = None, job: UUID | None = None
) -> None:
    """What became of a firing."""
    session.execute(
        update(Firing)
        .where(Firing.id == firing, Firing.state == FiringState.WAITING)
        .values(state=state, reason=reason, job_id=job, decided_at=func.now())
    )


def still_waits(session: Session, reasons: Mapping[UUID, str | None]) -> None:
    """Why these wait on: told to whoever looks, and kept if their turn never comes."""
    for firing, reason in reasons.items():
        session.execute(
            update(Firing)
            .where(Firing.id == firing, Firing.reason.is_distinct_from(reason))
            .values(reason=reason)
        )


def _under_way(session: Session) -> dict[UUID, int]:
    rows = session.execute(
        select(Job.host_id, func.count())
        .where(Job.state.in_(sorted(UNFINISHED)), Job.priority >= SCHEDULED)
        .group_by(Job.host_id)
    )
    return {row[0]: row[1] for row in rows}


def _ready(row: Row[Any], under_way: Mapping[UUID, int]) -> Ready:
    moment = Moment(
        vm=row.vm_name,
        state=VmState.GONE if row.gone else VmState(row.vm_state),
        depth=row.depth or 0,
        free_bytes=row.free_bytes,
        own_job=row.own_job and str(row.own_job),
        merging=row.merging and str(row.merging),
        on_host=under_way.get(row.host_id, 0),
    )
    return Ready(
        id=row.id,
        policy_id=row.policy_id,
        policy=policy_from_json(row.spec),
        account_id=row.account_id,
        vm_id=row.vm_id,
        host_id=row.host_id,
        nominal_at=row.nominal_at,
        overlap=row.overlap,
        timezone=row.timezone,
        moment=moment,
        now=row.now,
    )


def ids(found: Iterable[Ready]) -> list[UUID]:
    """Their firings."""
    return [one.id for one in found]
