"""Due schedules become firings: in slices, each moment of each VM once, whoever else looks at the same time.

The rows of the schedules are locked while they are decided about, and passed over by others; what a crash or a second
beat would do again, the uniqueness of (schedule, VM, nominal instant) drops. A slice is one transaction, and bounded
however much fell due: what does not fit into it stays due, in the middle of an instant too (`half_at`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Text, Uuid, bindparam, text
from sqlalchemy.orm import Session

from models.policies.slices import Due, Slice, due_of
from models.policies.spec import unreadable
from stillframe.errors import Invalid

#: Schedules of one slice, and rows of firings that it writes (some more, if one schedule missed that many instants).
AT_ONCE = 1000
ROWS = 5000

_DUE = """
    SELECT schedule.id, schedule.policy_id, schedule.spec, schedule.mark, schedule.half_at, schedule.half_behind,
        now() AS now, policy.spec -> 'start_within_s' AS start_within_s
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

#: One that is not at its end stays due.
_MARK = """
    UPDATE policy_schedule SET mark = decided.mark, half_at = decided.half_at, half_behind = decided.half_behind,
        next_at = CASE WHEN decided.ended THEN decided.next_at ELSE policy_schedule.next_at END
    FROM unnest(:id, :mark, :half_at, :half_behind, :ended, :next_at)
        AS decided (id, mark, half_at, half_behind, ended, next_at)
    WHERE policy_schedule.id = decided.id
"""
_MARK_TYPES: dict[str, Any] = {
    **dict.fromkeys(("id", "half_behind"), ARRAY(Uuid())),
    **dict.fromkeys(("mark", "half_at", "next_at"), ARRAY(DateTime(timezone=True))),
    "ended": ARRAY(Boolean()),
}
_PUT_OFF = "UPDATE policy_schedule SET next_at = now() + interval '5 min' WHERE id = ANY (:ids)"


@dataclass(frozen=True)
class Claimed:
    """What one slice did: schedules that are not due any more, and rows of firings written (less those that were there)."""

    schedules: int
    firings: int
    #: Whether another slice may have something to do.
    more: bool
    #: By policy, why a schedule of it cannot be read here. It is put off, and with it nobody else's.
    unreadable: Mapping[UUID, str] = field(default_factory=dict)


def claim_due(
    session: Session, limit: int = AT_ONCE, policy: UUID | None = None, *, rows: int = ROWS
) -> Claimed:
    """Decides about due schedules, the most overdue first, as far as one slice goes.

    Those of one policy only, by whoever is about to change it: what was due before the change is decided as it stood.
    """
    found = session.execute(text(_DUE), {"limit": limit, "policy": policy}).all()
    slice_, why, put_off = Slice(session, rows), dict[UUID, str](), list[UUID]()
    due: list[Due] = []
    for row in found:
        try:
            due.append(due_of(row))
        except Invalid as error:
            why[row.policy_id] = unreadable(error)
            put_off.append(row.id)
    for one, wrong in slice_.fill(due):
        why[one.policy_id] = unreadable(wrong)
        put_off.append(one.id)
    written = _write(session, _FIRE, _FIRE_TYPES, slice_.rows)
    _write(session, _MARK, _MARK_TYPES, [vars(one) for one in slice_.taken])
    _put_off(session, put_off)
    done = len(put_off) + sum(one.ended for one in slice_.taken)
    return Claimed(done, written, more=len(found) == limit or done < len(found), unreadable=why)


def claim_all(session: Session, policy: UUID) -> None:
    """All that is due of one policy, whose schedules are locked by who calls."""
    while claim_due(session, policy=policy).more:
        pass


def _put_off(session: Session, schedules: list[UUID]) -> None:
    if schedules:
        session.execute(text(_PUT_OFF).bindparams(bindparam("ids", type_=ARRAY(Uuid()))), {"ids": schedules})


def _write(session: Session, statement: str, types: dict[str, Any], rows: list[dict[str, Any]]) -> int:
    """All rows in one statement, a column an array: a thousand rows cost one way to the database."""
    if not rows:
        return 0
    typed = text(statement).bindparams(*(bindparam(name, type_=type_) for name, type_ in types.items()))
    done = session.execute(typed, {name: [row[name] for row in rows] for name in types})
    return int(done.rowcount)  # type: ignore[attr-defined]
