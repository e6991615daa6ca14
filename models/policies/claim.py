"""Due schedules become firings: in batches, each moment of each VM once, whoever else looks at the same time.

The rows of the schedules are locked while they are decided about, and passed over by others; what a crash or a second
beat would do again, the uniqueness of (schedule, VM, nominal instant) drops.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, DateTime, Row, Text, Uuid, bindparam, text
from sqlalchemy.orm import Session

from models.ids import new_id
from models.policies.resolve import vms_in
from stillframe.errors import Invalid
from stillframe.policies.as_json import schedule_from_json
from stillframe.policies.firing import Decided, decide, jitter_of
from stillframe.policies.schedule import Schedule

AT_ONCE = 1000

_DUE = """
    SELECT schedule.id, schedule.policy_id, schedule.spec, schedule.mark, now() AS now,
        (policy.spec ->> 'start_within_s')::float AS start_within_s
    FROM policy_schedule AS schedule JOIN policy ON policy.id = schedule.policy_id
    WHERE schedule.next_at <= now() AND (cast(:policy AS uuid) IS NULL OR schedule.policy_id = :policy)
    ORDER BY schedule.next_at
    LIMIT :limit
    FOR UPDATE OF schedule SKIP LOCKED
"""

_FIRE = """
    INSERT INTO firing (id, policy_id, schedule_id, vm_id, nominal_at, until_at, moments, due_at, give_up_at, state, reason)
    SELECT * FROM unnest(:id, :policy_id, :schedule_id, :vm_id, :nominal_at, :until_at, :moments, :due_at, :give_up_at,
        :state, :reason)
    ON CONFLICT DO NOTHING
"""
_FIRE_TYPES: dict[str, Any] = {
    **dict.fromkeys(("id", "policy_id", "schedule_id", "vm_id"), ARRAY(Uuid())),
    **dict.fromkeys(("nominal_at", "until_at", "due_at", "give_up_at"), ARRAY(DateTime(timezone=True))),
    **dict.fromkeys(("state", "reason"), ARRAY(Text())),
    "moments": ARRAY(BigInteger()),
}

_MARK = """
    UPDATE policy_schedule SET mark = decided.mark, next_at = decided.next_at
    FROM unnest(:id, :mark, :next_at) AS decided (id, mark, next_at)
    WHERE policy_schedule.id = decided.id
"""
_PUT_OFF = "UPDATE policy_schedule SET next_at = now() + interval '5 min' WHERE id = :id"
_MARK_TYPES: dict[str, Any] = {
    "id": ARRAY(Uuid()),
    **dict.fromkeys(("mark", "next_at"), ARRAY(DateTime(timezone=True))),
}


@dataclass(frozen=True)
class Claimed:
    """What one claim did: schedules decided about, and rows of firings written (less those that were there)."""

    schedules: int
    firings: int
    #: By policy, why a schedule of it cannot be read here. It is put off, and with it nobody else's.
    unreadable: Mapping[UUID, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Due:
    id: UUID
    policy: UUID
    schedule: Schedule
    start_within: timedelta
    now: datetime
    decided: Decided


def claim_due(session: Session, limit: int = AT_ONCE, policy: UUID | None = None) -> Claimed:
    """Decides about due schedules, the most overdue first; nothing is to do when `schedules` is below the limit.

    Those of one policy only, by whoever is about to change it: what was due before the change is decided as it stood.
    """
    found = session.execute(text(_DUE), {"limit": limit, "policy": policy}).all()
    due, unreadable = _read(session, found)
    if not due:
        return Claimed(len(found), 0, unreadable)
    vms = vms_in(session, {one.policy for one in due if one.decided.fires})
    rows = [row for one in due for row in _rows(one, vms.get(one.policy, []))]
    written = _write(session, _FIRE, _FIRE_TYPES, rows) if rows else 0
    marks = [{"id": one.id, "mark": one.decided.mark, "next_at": one.decided.next_at} for one in due]
    _write(session, _MARK, _MARK_TYPES, marks)
    return Claimed(len(found), written, unreadable)


def _read(session: Session, found: Iterable[Row[Any]]) -> tuple[list[_Due], dict[UUID, str]]:
    """What is decided; and by policy why one cannot be, as when this host knows no timezone of that name (any more)."""
    due: list[_Due] = []
    unreadable: dict[UUID, str] = {}
    for row in found:
        try:
            due.append(_decided(row))
        except Invalid as error:
            unreadable[row.policy_id] = error.detail
            session.execute(text(_PUT_OFF), {"id": row.id})
    return due, unreadable


def _decided(row: Row[Any]) -> _Due:
    schedule = schedule_from_json(row.spec)
    start_within = timedelta(seconds=row.start_within_s)
    return _Due(row.id, row.policy_id, schedule, start_within, row.now, decide(schedule, row.mark, row.now))


def _rows(due: _Due, vms: list[UUID]) -> Iterator[dict[str, Any]]:
    for missed in due.decided.missed:
        several = missed.last if missed.count > 1 else None
        told = {"until_at": several, "moments": missed.count, "state": "missed", "reason": missed.reason}
        yield _row(due, missed.first) | told
    for instant in due.decided.fires:
        if not vms:
            yield _row(due, instant) | {
                "state": "skipped",
                "reason": "the selector matches no VM at this moment",
            }
        for vm in vms:
            at = instant + jitter_of(due.policy, due.id, vm, due.schedule.jitter)
            turn = {"vm_id": vm, "due_at": at, "give_up_at": max(at, due.now) + due.start_within}
            yield _row(due, instant) | turn


def _row(due: _Due, nominal: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "policy_id": due.policy,
        "schedule_id": due.id,
        "vm_id": None,
        "nominal_at": nominal,
        "until_at": None,
        "moments": 1,
        "due_at": nominal,
        "give_up_at": None,
        "state": "waiting",
        "reason": None,
    }


def _write(session: Session, statement: str, types: dict[str, Any], rows: list[dict[str, Any]]) -> int:
    """All rows in one statement, a column an array: a thousand rows cost one way to the database."""
    typed = text(statement).bindparams(*(bindparam(name, type_=type_) for name, type_ in types.items()))
    done = session.execute(typed, {name: [row[name] for row in rows] for name in types})
    return int(done.rowcount)  # type: ignore[attr-defined]
