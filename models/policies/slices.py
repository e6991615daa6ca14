"""One slice of what fell due: the rows that one transaction writes, and how far each schedule came by it.

A schedule goes from one instant to the next, and through the VMs of each by their ids. What it has written so far is
what its mark says, and `half_at` with `half_behind` in the middle of an instant: so each slice can be the last one for a
while, and each moment of each VM is written once.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.orm import Session

from models.ids import new_id
from models.policies.resolve import next_vms
from stillframe.errors import Invalid
from stillframe.policies.as_json import schedule_from_json
from stillframe.policies.firing import Missed, decide, jitter_of
from stillframe.policies.schedule import Schedule, zone

#: Seconds after which no further schedule is taken up.
_LONGEST_S = 5.0
#: How many VMs policies mean shows with these; then as many schedules are taken up together as will fit.
_FIRST_FEW = 20


@dataclass
class Due:
    """A schedule that is due, and how far it has come."""

    id: UUID
    policy_id: UUID
    schedule: Schedule
    start_within: timedelta
    now: datetime
    mark: datetime
    half_at: datetime | None
    half_behind: UUID | None
    ended: bool = False
    next_at: datetime | None = None


def due_of(row: Row[Any]) -> Due:
    """Raises Invalid if it cannot be read."""
    within = row.start_within_s
    if isinstance(within, bool) or not isinstance(within, int | float) or not 0 <= within <= 366 * 86400:
        raise Invalid(detail=f"policy.start_within_s is {within!r}, and has to be seconds")
    schedule = schedule_from_json(row.spec)
    zone(schedule.timezone)
    start_within = timedelta(seconds=within)
    place = (row.mark, row.half_at, row.half_behind)
    return Due(row.id, row.policy_id, schedule, start_within, row.now, *place)


class Slice:
    """`rows` of firings to be written, of the schedules that were `taken` up."""

    def __init__(self, session: Session, most: int) -> None:
        self.rows: list[dict[str, Any]] = []
        self.taken: list[Due] = []
        self._session, self._most = session, most
        self._end = time.monotonic() + _LONGEST_S

    def fill(self, due: Sequence[Due]) -> Iterator[tuple[Due, Invalid]]:
        """Takes up one after the other while there is room; gives back those that cannot be decided about, and why."""
        left, few = deque(due), _FIRST_FEW
        while left and self._has_room() and self._has_time():
            some = [left.popleft() for _ in range(min(few, len(left)))]
            found = next_vms(self._session, [(one.policy_id, one.half_behind) for one in some], self._most)
            for one, vms in zip(some, found, strict=True):
                if not (self._has_room() and self._has_time()):
                    return
                try:
                    self._take(one, vms)
                    self.taken.append(one)
                except (Invalid, ArithmeticError, ValueError) as error:
                    yield one, error if isinstance(error, Invalid) else Invalid(detail=str(error))
            usual = max(1, len(self.rows) // max(1, len(self.taken)))
            few = max(1, (self._most - len(self.rows)) // usual)

    def _has_time(self) -> bool:
        return not self.taken or time.monotonic() < self._end

    def _has_room(self) -> bool:
        return len(self.rows) < self._most

    def _take(self, due: Due, vms: list[UUID]) -> None:
        """`vms` are those behind the one where it stands, or all; as many as there may be rows at the most."""
        if due.half_at is not None:
            if not self._fire(due, due.half_at, vms, begun=True):
                return
            (vms,) = next_vms(self._session, [(due.policy_id, None)], self._most)
        decided = decide(due.schedule, due.mark, due.now)
        for missed in decided.missed:
            self.rows.append(_missed(due, missed))
            due.mark = max(due.mark, missed.last)
        for instant in decided.fires:
            if not self._has_room() or not self._fire(due, instant, vms):
                return
        due.mark, due.next_at, due.ended = decided.mark, decided.next_at, True

    def _fire(self, due: Due, instant: datetime, vms: list[UUID], *, begun: bool = False) -> bool:
        """Whether it has fired for all; if not, it stands behind the last one that it has fired for."""
        room = max(self._most - len(self.rows), 0)
        now, more = vms[:room], len(vms) > room or len(vms) == self._most
        if not vms and not begun:
            self.rows.append(_row(due, instant) | _NOBODY)
        self.rows.extend(_turn(due, instant, vm) for vm in now)
        if more:
            due.half_at, due.half_behind = instant, now[-1] if now else due.half_behind
            return False
        due.mark, due.half_at, due.half_behind = instant, None, None
        return True


_NOBODY = {"state": "skipped", "reason": "the selector matches no VM at this moment"}


def _missed(due: Due, missed: Missed) -> dict[str, Any]:
    several = missed.last if missed.count > 1 else None
    told = {"until_at": several, "moments": missed.count, "state": "missed", "reason": missed.reason}
    return _row(due, missed.first) | told


def _turn(due: Due, instant: datetime, vm: UUID) -> dict[str, Any]:
    at = instant + jitter_of(due.policy_id, due.id, vm, due.schedule.jitter)
    turn = {"vm_id": vm, "due_at": at, "give_up_at": max(at, due.now) + due.start_within}
    return _row(due, instant) | turn


def _row(due: Due, nominal: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "policy_id": due.policy_id,
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
