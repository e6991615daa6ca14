"""What becomes of the instants that fell due since the last look: each fires, or is missed with a reason.

The mark (the newest instant that was decided about) only ever moves forward, whatever clocks do: an instant is decided
about once.
"""

import hashlib
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from stillframe.policies.durations import roughly
from stillframe.policies.schedule import Schedule

#: So many missed instants are told one by one; of a longer time of silence the older ones are told together.
TOLD_SINGLY = 100


@dataclass(frozen=True)
class Missed:
    """Instants that do not fire, from the first to the last, both included, and why."""

    first: datetime
    last: datetime
    count: int
    reason: str


@dataclass(frozen=True)
class Decided:
    """What fires and what is missed, oldest first; `mark` is the newest of all, `next_at` what comes after it."""

    fires: tuple[datetime, ...]
    missed: tuple[Missed, ...]
    mark: datetime
    next_at: datetime | None


def decide(schedule: Schedule, mark: datetime, now: datetime) -> Decided:
    """Decides about every nominal instant after `mark` and not after `now`."""
    recent: deque[datetime] = deque(maxlen=max(TOLD_SINGLY, schedule.max_catch_up))
    older: list[datetime] = []  # first and last of what no longer fits
    count = 0
    for instant in schedule.due(mark, now):
        if len(recent) == recent.maxlen:
            older = [older[0] if older else recent[0], recent[0]]
            count += 1
        recent.append(instant)
    due = list(recent)
    fires = _firing(schedule, due, now)
    missed = [Missed(older[0], older[1], count, _why_older(schedule))] if older else []
    missed += [
        Missed(one, one, 1, _why(schedule, one, due[-1], fires, now)) for one in due if one not in fires
    ]
    newest = due[-1] if due else mark
    return Decided(tuple(fires), tuple(missed), newest, schedule.next_after(max(newest, now)))


def _firing(schedule: Schedule, due: list[datetime], now: datetime) -> list[datetime]:
    if not due:
        return []
    if schedule.misfire == "run_all":
        return due[-schedule.max_catch_up :]
    in_time = now - due[-1] <= schedule.grace
    return due[-1:] if in_time or schedule.misfire == "run_once" else []


def _why(schedule: Schedule, one: datetime, newest: datetime, fires: list[datetime], now: datetime) -> str:
    late = f"nobody looked for {roughly(now - one)}"
    if schedule.misfire == "run_all":
        return f"{late}; no more than {schedule.max_catch_up} are made up for"
    if fires:
        return f"{late}; made up for by that of {newest:%Y-%m-%d %H:%M:%S} UTC"
    return f"{late}, and misfire is skip"


def _why_older(schedule: Schedule) -> str:
    return f"nobody looked for a long time; misfire is {schedule.misfire}"


def jitter_of(policy: UUID, schedule: UUID, vm: UUID, most: timedelta) -> timedelta:
    """How long after the nominal instant this VM's turn is: always the same, and spread evenly over VMs."""
    if not most:
        return timedelta(0)
    digest = hashlib.sha256(policy.bytes + schedule.bytes + vm.bytes).digest()
    return timedelta(seconds=int(most.total_seconds() * int.from_bytes(digest[:8]) / 2**64))
