"""The only statements that change the state of a job, a snapshot or a volume snapshot.

Each is one compare-and-set: the state must be one that the tables of `stillframe.states` allow, and a worker's attempt
must still be the last one. A job's move writes its event in the same statement.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Insert,
    Select,
    String,
    Text,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from models.base import AnyRow, Sql
from models.events.tables import Event
from models.jobs.tables import Job
from models.snapshots.tables import Snapshot, VolumeSnapshot
from models.tenants.scope import whose_vm
from stillframe.errors import JobNotFound, LostLease, LostRace, SnapshotNotFound, StillframeError
from stillframe.events import EventType, Level
from stillframe.states import (
    OVER,
    SNAPSHOT_MOVES,
    VOLUME_SNAPSHOT_MOVES,
    JobState,
    SnapshotState,
    VolumeSnapshotState,
    came_from,
)
from stillframe.trace import traced

#: Where Postgres says, after commit, the id of each job that does not go on by itself any more, and of each rescan that ended.
OVER_CHANNEL = "stillframe_jobs"

#: What a move gives back of the job it moved.
_FACTS = (
    *(Job.id, Job.kind, Job.vm_id, Job.vm_name, Job.snapshot_id, Job.volume_snapshot_id, Job.host_id),
    Job.account_id,
)


@dataclass(frozen=True)
class Told:
    """An event to be written with a change."""

    type: EventType
    actor: str
    level: Level = Level.INFO
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def move_job(
    sql: Sql, job: UUID, to: JobState, told: Told, values: Mapping[str, Any], *, attempt: int | None = None
) -> AnyRow:
    """Move a job and tell it, in one statement. Raises LostLease or LostRace, and then nothing has changed.

    `attempt` None is for those who hold no lease: a person, a tick.
    """
    allowed = came_from(to)
    change = update(Job).where(Job.id == job, Job.state.in_(sorted(allowed)))
    if attempt is not None:
        change = change.where(Job.attempt == attempt)
    moved = change.values(**values, state=to).returning(*_FACTS).cte("moved")
    found = select(moved).add_cte(_event_of(moved, told).cte("told"))
    if to in OVER:
        found = found.add_columns(func.pg_notify(OVER_CHANNEL, cast(moved.c.id, Text)).label("rung"))
    row = sql.execute(found).one_or_none()
    if row is None:
        raise why_not_moved(sql, job, attempt, allowed)
    return row


def why_not_moved(sql: Sql, job: UUID, attempt: int | None, allowed: frozenset[JobState]) -> StillframeError:
    """What to raise when a job's compare-and-set has changed nothing."""
    found = sql.execute(select(Job.state, Job.attempt).where(Job.id == job)).one_or_none()
    if found is None:
        return JobNotFound(job=job)
    if attempt is not None and found.attempt != attempt:
        return LostLease(job=job)
    return LostRace(what=f"job {job}", expected=" or ".join(sorted(allowed)), found=found.state)


def move_snapshot(
    sql: Sql,
    snapshot: UUID,
    to: SnapshotState,
    *,
    told: Told | None = None,
    job: UUID | None = None,
    **values: Any,
) -> None:
    """Move a snapshot; raises LostRace when it is in a state that does not lead there."""
    allowed = sorted(old for old, moves in SNAPSHOT_MOVES.items() if to in moves)
    moved = (
        update(Snapshot)
        .where(Snapshot.id == snapshot, Snapshot.state.in_(allowed))
        .values(state=to, **values)
        .returning(
            *(Snapshot.id.label("snapshot_id"), Snapshot.vm_id, Snapshot.host_id, Snapshot.account_id),
            _uuid(job).label("id"),
        )
        .cte("moved")
    )
    statement: Select[Any] = select(moved)
    if told is not None:
        statement = statement.add_cte(_event_of(moved, told).cte("told"))
    if sql.execute(statement).one_or_none() is None:
        found = sql.execute(select(Snapshot.state).where(Snapshot.id == snapshot)).scalar_one_or_none()
        if found is None:
            raise SnapshotNotFound(snapshot=snapshot)
        raise LostRace(what=f"snapshot {snapshot}", expected=" or ".join(allowed), found=found)


def move_volume_snapshot(
    sql: Sql, volume_snapshot: UUID | None, to: VolumeSnapshotState, **values: Any
) -> None:
    """Move a volume snapshot; raises LostRace when it is in a state that does not lead there."""
    allowed = sorted(old for old, moves in VOLUME_SNAPSHOT_MOVES.items() if to in moves)
    moved = sql.execute(
        update(VolumeSnapshot)
        .where(VolumeSnapshot.id == volume_snapshot, VolumeSnapshot.state.in_(allowed))
        .values(state=to, **values)
        .returning(VolumeSnapshot.id)
    )
    if moved.one_or_none() is None:
        raise LostRace(
            what=f"volume snapshot {volume_snapshot}", expected=" or ".join(allowed), found="another"
        )


def tell(
    sql: Sql,
    told: Told,
    *,
    vm: UUID | None = None,
    snapshot: UUID | None = None,
    job: UUID | None = None,
    host: UUID | None = None,
    account: UUID | None = None,
) -> int:
    """Write an event that goes with no change of a state; returns its id. It is its VM's account's, unless another is given."""
    whose = whose_vm(vm) if account is None and vm is not None else account
    about = {"vm_id": vm, "snapshot_id": snapshot, "job_id": job, "host_id": host, "account_id": whose}
    return int(sql.execute(event(told, **about).returning(Event.id)).scalar_one())


def event(told: Told, **about: UUID | ColumnElement[Any] | None) -> Insert:
    """The writing of an event; `about` are ids by the names of its columns."""
    return insert(Event).values(**about, **_said(told))


def _event_of(moved: CTE, told: Told) -> Insert:
    ids = ("vm_id", "snapshot_id", "job_id", "host_id", "account_id")
    said = {
        "type": literal(told.type.value, Text),
        "level": literal(told.level.value, String),
        "actor": literal(told.actor, Text),
        "message": literal(told.message, Text),
        "data": literal(traced(told.data), JSONB),
    }
    about = (moved.c.vm_id, moved.c.snapshot_id, moved.c.id, moved.c.host_id, moved.c.account_id)
    source = select(*about, *said.values())
    return insert(Event).from_select([*ids, *said], source, include_defaults=False)


def _said(told: Told) -> dict[str, Any]:
    return {
        "type": told.type.value,
        "level": told.level,
        "actor": told.actor,
        "message": told.message,
        "data": traced(told.data),
    }


def _uuid(value: UUID | None) -> ColumnElement[Any]:
    return cast(null() if value is None else literal(value), Job.id.type)


def now_plus(seconds: float) -> ColumnElement[Any]:
    """The database's clock, some seconds on: leases are measured by one clock only."""
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
