"""What became of each instant of a schedule, by the rows: none twice, none without a word."""

from bisect import bisect_left, bisect_right
from collections import Counter
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.policies.tables import Firing, FiringState, PolicySchedule
from stillframe.policies.as_json import schedule_from_json


def check_account(session: Session, schedule: PolicySchedule, begin: datetime, vms: int) -> int:
    """Each instant after `begin` up to its mark has a firing of each of its VMs, or is told of in one row; their number."""
    wanted = list(schedule_from_json(schedule.spec).due(begin, schedule.mark))
    own = select(Firing.nominal_at, Firing.until_at, Firing.moments, Firing.state, Firing.reason)
    own = own.where(Firing.schedule_id == schedule.id)
    fired = Counter(row.nominal_at for row in session.execute(own.where(Firing.vm_id.is_not(None))))
    assert set(fired.values()) <= {vms}
    told = list(fired)
    for row in session.execute(own.where(Firing.vm_id.is_(None))):
        assert row.state is FiringState.MISSED
        assert row.reason
        first, behind = (
            bisect_left(wanted, row.nominal_at),
            bisect_right(wanted, row.until_at or row.nominal_at),
        )
        assert behind - first == row.moments
        told += wanted[first:behind]
    assert sorted(told) == wanted
    return len(wanted)
