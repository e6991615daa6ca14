"""Firings whose time has come, with what has to be known to let them go; and what becomes of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Text,
    Uuid,
    bindparam,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.orm import Session

from models.base import AnyRow, quoted
from models.jobs.tables import SCHEDULED, UNFINISHED
from models.policies.spec import batch, read
from models.policies.storages import BUSY
from models.policies.tables import FiringState
from models.vms.tables import Vm
from stillframe.policies.guards import Moment
from stillframe.policies.policy import Policy
from stillframe.rights import Role
from stillframe.states import VmState

#: One that starts firings at a time: caps are counted, and two who count at once would both find room.
_LOCK = 7_236_018_245
#: Firings of one transaction.
AT_ONCE = 500
_OVERDUE = """
    UPDATE firing SET state = 'missed', decided_at = now(),
        reason = coalesce('its turn did not come in time: ' || reason, 'its turn did not come in time: nobody looked')
    WHERE id IN (
        SELECT id FROM firing WHERE state = 'waiting' AND due_at <= now() AND give_up_at < now()
        ORDER BY due_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    )
"""
#: Of those, in one transaction; the others wait on, and do not go.
_GIVEN_UP_AT_ONCE = 5000

#: Fails for no policy, whatever stands there instead of a number.
_ROOM = """CASE WHEN jsonb_typeof(policy.spec #> '{{guards,{cap}}}') = 'number'
            THEN to_jsonb(coalesce({jobs}, 0)) < policy.spec #> '{{guards,{cap}}}' ELSE true END"""
#: Beyond those of a host or a storage that has no room, which were told so: looking at them again would keep others waiting.
_READY = f"""
    WITH under_way AS (
        SELECT host_id, count(*) AS jobs FROM job
        WHERE state IN ({quoted(UNFINISHED)}) AND priority >= {SCHEDULED} GROUP BY host_id
    ), busy AS ({BUSY})
    SELECT firing.id, firing.policy_id, firing.vm_id, firing.nominal_at, firing.due_at, now() AS now,
        policy.spec, policy.account_id, policy.role, home.path AS domain,
        schedule.spec ->> 'overlap' AS overlap, schedule.spec ->> 'timezone' AS timezone,
        vm.name AS vm_name, vm.state AS vm_state, vm.gone, vm.host_id, coalesce(under_way.jobs, 0) AS on_host,
        room.depth, room.free_bytes, room.free_percent, room.storages,
        CASE WHEN firing.asked_by IS NULL THEN standing.set_aside_reason END AS set_aside,
        own.id AS own_job, merging.id AS merging
    FROM firing
    JOIN vm ON vm.id = firing.vm_id
    JOIN policy ON policy.id = firing.policy_id
    JOIN account AS owner ON owner.id = policy.account_id JOIN domain AS home ON home.id = owner.domain_id
    JOIN policy_schedule AS schedule ON schedule.id = firing.schedule_id
    LEFT JOIN policy_vm AS standing ON standing.policy_id = firing.policy_id AND standing.vm_id = firing.vm_id
    LEFT JOIN under_way ON under_way.host_id = vm.host_id
    LEFT JOIN LATERAL (
        SELECT max(volume.depth) AS depth, min(volume.free_bytes) AS free_bytes, max(busy.jobs) AS jobs,
            min(100.0 * volume.free_bytes / nullif(volume.total_bytes, 0))::float AS free_percent,
            jsonb_object_agg(volume.storage_id, coalesce(busy.jobs, 0))
                FILTER (WHERE volume.storage_id IS NOT NULL) AS storages
        FROM volume LEFT JOIN busy ON busy.storage_id = volume.storage_id
        WHERE volume.vm_id = firing.vm_id AND volume.why_not IS NULL
    ) AS room ON true
    LEFT JOIN LATERAL (
        SELECT job.id FROM job JOIN snapshot ON snapshot.id = job.snapshot_id
        WHERE job.vm_id = firing.vm_id AND job.state IN ({quoted(UNFINISHED)}) AND job.kind = 'create_snapshot'
        AND snapshot.policy_id = firing.policy_id
        LIMIT 1
    ) AS own ON true
    LEFT JOIN LATERAL (
        SELECT job.id FROM job
        WHERE job.vm_id = firing.vm_id AND job.state IN ({quoted(UNFINISHED)})
        AND job.kind IN ('delete_snapshot', 'prune_snapshots')
        LIMIT 1
    ) AS merging ON true
    WHERE firing.state = 'waiting' AND firing.due_at <= now() AND (firing.due_at, firing.id) > (:due_at, :id)
    AND (firing.give_up_at IS NULL OR firing.give_up_at >= now())
    AND (firing.reason IS NULL
         OR {_ROOM.format(jobs="under_way.jobs", cap="max_per_host")}
         AND {_ROOM.format(jobs="room.jobs", cap="max_per_storage")})
    ORDER BY firing.due_at, firing.id
    LIMIT :limit
    FOR NO KEY UPDATE OF firing SKIP LOCKED
"""  # noqa: S608

_DECIDE = """
    UPDATE firing SET state = decided.state, reason = decided.reason, job_id = decided.job_id, decided_at = now()
    FROM unnest(:id, :state, :reason, :job_id) AS decided (id, state, reason, job_id)
    WHERE firing.id = decided.id AND firing.state = 'waiting'
"""

_TELL = """
    UPDATE firing SET reason = told.reason FROM unnest(:id, :reason) AS told (id, reason)
    WHERE firing.id = told.id AND firing.reason IS DISTINCT FROM told.reason
"""


@dataclass(frozen=True)
class Place:
    """How far a look through the line has come: behind this firing."""

    due_at: datetime
    id: UUID


BEGIN = Place(datetime(1, 1, 1, tzinfo=UTC), UUID(int=0))


@dataclass(frozen=True)
class Ready:
    """A firing whose time has come. `moment.on_host` is what was under way before any of these go."""

    id: UUID
    policy_id: UUID
    policy: Policy
    account_id: UUID
    role: Role
    domain: str
    vm_id: UUID
    host_id: UUID
    nominal_at: datetime
    due_at: datetime
    overlap: Any
    timezone: str
    moment: Moment
    #: How many scheduled jobs were under way on each of the storages that its volumes are on.
    storages: Mapping[str, int]
    now: datetime


@dataclass(frozen=True)
class Line:
    """A part of the line of those that wait, and how far it reaches; `end` is None if nobody stands behind it."""

    ready: list[Ready]
    end: Place | None
    #: By policy, why what it asks for cannot be read here: its firings are passed over.
    unreadable: Mapping[UUID, str]


@dataclass(frozen=True)
class Decided:
    """What became of a firing: its state, why, and its job if it has one."""

    id: UUID
    state: FiringState
    reason: str | None = None
    job_id: UUID | None = None


def take_the_lead(session: Session) -> bool:
    """Whether this transaction is the one that lets firings go; False if another is at it."""
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(literal(_LOCK, BigInteger)))))


def give_up_overdue(session: Session) -> int:
    """What waited longer than it may is missed, with what it waited for."""
    done = session.execute(text(_OVERDUE), {"limit": _GIVEN_UP_AT_ONCE})
    return int(done.rowcount)  # type: ignore[attr-defined]


def ready(session: Session, behind: Place, limit: int = AT_ONCE) -> Line:
    """The next waiting firings of the line whose time has come, the longest due first; their VMs are in the session.

    Locked: who pauses their policy meanwhile waits until their jobs are there. Those that somebody pauses now are passed over.
    """
    found = session.execute(text(_READY), {"due_at": behind.due_at, "id": behind.id, "limit": limit}).all()
    if found:  # read at once what each request would ask for on its own
        session.scalars(select(Vm).where(Vm.id.in_({row.vm_id for row in found}))).all()
    line = batch(found, _ready)
    last = Place(found[-1].due_at, found[-1].id) if len(found) == limit else None
    return Line(line.items, last, line.unreadable)


def decide(session: Session, decided: Collection[Decided]) -> None:
    """What became of firings."""
    types = {"id": ARRAY(Uuid()), "state": ARRAY(Text()), "reason": ARRAY(Text()), "job_id": ARRAY(Uuid())}
    columns = {name: [getattr(one, name) for one in decided] for name in types}
    session.execute(text(_DECIDE).bindparams(*_typed(types)), columns)


def still_waits(session: Session, reasons: Mapping[UUID, str | None]) -> None:
    """Why these wait on: told to whoever looks, and kept if their turn never comes."""
    types = {"id": ARRAY(Uuid()), "reason": ARRAY(Text())}
    columns = {"id": list(reasons), "reason": list(reasons.values())}
    session.execute(text(_TELL).bindparams(*_typed(types)), columns)


def _typed(types: Mapping[str, Any]) -> list[BindParameter[Any]]:
    return [bindparam(name, type_=type_) for name, type_ in types.items()]


def _ready(row: AnyRow) -> Ready:
    moment = Moment(
        vm=row.vm_name,
        state=VmState.GONE if row.gone else VmState(row.vm_state),
        depth=row.depth or 0,
        free_bytes=row.free_bytes,
        free_percent=row.free_percent,
        own_job=row.own_job and str(row.own_job),
        merging=row.merging and str(row.merging),
        set_aside=row.set_aside,
        on_host=row.on_host,
    )
    return Ready(
        id=row.id,
        policy_id=row.policy_id,
        policy=read(row.spec),
        account_id=row.account_id,
        role=Role(row.role),
        domain=row.domain,
        vm_id=row.vm_id,
        host_id=row.host_id,
        nominal_at=row.nominal_at,
        due_at=row.due_at,
        overlap=row.overlap,
        timezone=row.timezone,
        moment=moment,
        storages=row.storages or {},
        now=row.now,
    )
