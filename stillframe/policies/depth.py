"""How many snapshots of a VM a policy keeps at the most, once it has run for long: by the code that prunes.

What is kept at a moment does not depend on what was pruned before: the newest of a period was kept as long as it was the
newest, and stays so. So any moment can be looked at by itself, with all instants before it, of which only those matter
that a rule may keep.
"""

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from stillframe.policies.retention import PERIODS, Kept, Retention, begin_of, decide
from stillframe.policies.schedule import Schedule

_DAY = timedelta(days=1)
#: Periods fall differently in a year's days, and those of a year fall nearly as in any other.
_YEAR = 366
#: Instants that are looked for, all in all: of one that keeps hundreds not each day is looked at.
_LOOKS = 20_000


def most_kept(retention: Retention, schedules: Sequence[Schedule], now: datetime, enough: int) -> int:
    """The most that is kept after any firing; looked for no further than `enough`. Jitter and failures are left out."""
    if not _may_reach(retention, enough):
        return 0
    most = 0
    for moment in _moments(schedules, now, _stride(retention, enough)):
        most = max(most, _kept_at(moment, retention, schedules, now, enough))
        if most >= enough:
            break
    return most


def _may_reach(retention: Retention, enough: int) -> bool:
    """Whether it is worth looking: the newest one is every rule's."""
    if retention.keeps_all or (retention.max_count is not None and retention.max_count < enough):
        return False
    if retention.within or not retention.has_rules:
        return True
    counts: list[int] = [getattr(retention, name) for name in PERIODS]
    given = [count for count in (max(retention.last, retention.min_keep), *counts) if count]
    return sum(given) - (len(given) - 1) >= enough


def _stride(retention: Retention, enough: int) -> int:
    """Days from one that is looked at to the next; never a week, so that each weekday has its turn."""
    counts: list[int] = [getattr(retention, name) for name in PERIODS]
    looks = enough + sum(min(count, enough) for count in counts)
    stride = 1 + _YEAR * looks // _LOOKS
    return stride + 1 if stride % 7 == 0 else stride


def _moments(schedules: Sequence[Schedule], now: datetime, stride: int) -> Iterator[datetime]:
    """Right after the last firing of each day, of a year from now on, or up to the end of those that have one."""
    ends = {schedule.end_at for schedule in schedules if schedule.end_at is not None}
    horizons = [now + _YEAR * _DAY, *(end for end in ends if end > now)]
    place = schedules[0].zone
    for horizon in horizons:
        last = None
        for days in range(0, _YEAR, stride):
            midnight = begin_of("daily", (horizon - days * _DAY).astimezone(place))
            moment = next(_back(schedules, midnight, now), None)
            if moment is not None and moment != last and moment <= horizon:
                last = moment
                yield moment


def _kept_at(
    moment: datetime, retention: Retention, schedules: Sequence[Schedule], now: datetime, enough: int
) -> int:
    after = moment + timedelta(microseconds=1)
    place = schedules[0].zone
    found = set(_newest(retention, _back(schedules, after, now), moment, enough))
    for name in PERIODS:
        before = after
        for _ in range(min(getattr(retention, name), enough)):
            one = next(_back(schedules, before, now), None)
            if one is None:
                break
            found.add(one)
            before = begin_of(name, one.astimezone(place))
    snapshots = [Kept(id=UUID(int=number), created_at=at) for number, at in enumerate(sorted(found))]
    return sum(verdict.keep for verdict in decide(retention, snapshots, moment, place))


def _newest(
    retention: Retention, back: Iterator[datetime], moment: datetime, enough: int
) -> Iterator[datetime]:
    """Those that are kept since they are new, by number or by age."""
    count = max(retention.last, retention.min_keep, 1)
    length = retention.within
    if not retention.has_rules:
        count, length = max(count, retention.max_count or 0), retention.max_age
        if length is None:
            count = retention.max_count or count
    for number, one in enumerate(islice(back, enough + 1)):
        if number >= count and (length is None or moment - one > length):
            return
        yield one


def _back(schedules: Sequence[Schedule], before: datetime, now: datetime) -> Iterator[datetime]:
    """The instants of all of them before a moment, newest first. One that has an end has a beginning too: not before now."""
    last = None
    for instant in heapq.merge(*(one.instants_back(before, now) for one in schedules), reverse=True):
        if instant != last:
            last = instant
            yield instant
