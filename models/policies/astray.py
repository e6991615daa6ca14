"""Schedules that have decided about times to come: the database's clock was far ahead once, and went back.

They would fire nothing until that time comes. They begin again at this moment: what has fired already does not fire
again, for a firing of that moment is there; rows that say what was missed in a time to come are no truth, and go.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, delete, func, select, text, update
from sqlalchemy.orm import Session

from models.base import AnyRow
from models.moves import Told, now_plus, tell
from models.policies.tables import Firing, Policy, PolicySchedule
from stillframe.errors import Invalid
from stillframe.events import EventType, Level
from stillframe.policies.as_json import schedule_from_json

#: Clocks that are put right by less are nobody's trouble: nothing fires twice, and little is late.
_ASTRAY_S = 300.0

_VMS = """
    UPDATE policy_vm SET last_good_at = least(last_good_at, now()), last_bad_at = least(last_bad_at, now()),
        counted_from = least(counted_from, now()), prune_due_at = now(), volumes_due_at = now()
    WHERE policy_id = ANY (:policies)
"""


@dataclass(frozen=True)
class Mended:
    """A schedule that was ahead, up to when it had decided, and when it fires next."""

    schedule_id: UUID
    was: datetime
    next_at: datetime | None


def mend(session: Session, limit: int = 500) -> list[Mended]:
    """Those that are ahead of the clock begin again now, each with an event of its policy; a pause's end is no such time."""
    found = session.execute(
        select(
            *(PolicySchedule.id, PolicySchedule.policy_id, PolicySchedule.spec, PolicySchedule.mark),
            *(Policy.name, Policy.account_id, func.now().label("now")),
        )
        .join(Policy, Policy.id == PolicySchedule.policy_id)
        .where(
            PolicySchedule.next_at > func.now(),
            PolicySchedule.mark > now_plus(_ASTRAY_S),
            PolicySchedule.mark > func.coalesce(Policy.paused_until, text("'-infinity'::timestamptz")),
        )
        .order_by(PolicySchedule.id)
        .limit(limit)
        .with_for_update(of=PolicySchedule, skip_locked=True)
    ).all()
    mended = [_mend(session, row) for row in found]
    if found:
        policies = sorted({row.policy_id for row in found})
        typed = text(_VMS).bindparams(bindparam("policies", type_=ARRAY(Uuid())))
        session.execute(typed, {"policies": policies})
    return mended


def _mend(session: Session, row: AnyRow) -> Mended:
    to_come = (Firing.schedule_id == row.id, Firing.vm_id.is_(None), Firing.nominal_at > row.now)
    session.execute(delete(Firing).where(*to_come))
    try:
        next_at = schedule_from_json(row.spec).next_after(row.now)
    except Invalid:  # the claim finds it due, and says so
        next_at = row.now
    values = {"mark": row.now, "next_at": next_at, "half_at": None, "half_behind": None}
    session.execute(update(PolicySchedule).where(PolicySchedule.id == row.id).values(values))
    why = f"the database's clock went back: it had decided about what was due up to {row.mark:%Y-%m-%d %H:%M} UTC"
    data = {"policy_id": str(row.policy_id), "name": row.name, "was": row.mark.isoformat(), "reason": why}
    told = Told(EventType.POLICY_CLOCK_WENT_BACK, "stillframe", Level.WARNING, why, data)
    tell(session, told, account=row.account_id)
    return Mended(row.id, row.mark, next_at)
