"""Twenty years of any schedule on a simulated clock: restarts, silences, clocks that are put forward and back.

Each nominal instant fires once, or a row says why not; none twice. The rows are kept as the database keeps them: a
moment that is there already is not written again, and what a crash undid is not there.
"""

import bisect
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from stillframe.errors import Invalid
from stillframe.policies.firing import Decided, decide
from stillframe.policies.schedule import Schedule, check_schedule

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=20 * 365.25)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Asia/Seoul", "Asia/Tehran"),
    *("Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "America/Asuncion", "Antarctica/Troll"),
)

minutes = st.integers(0, 59).map(str)
hours = st.lists(st.integers(0, 23), min_size=1, max_size=2, unique=True).map(
    lambda some: ",".join(map(str, sorted(some)))
)
days = st.sampled_from(["*", "*", "1", "L", "28-31", "*/2"])
months = st.sampled_from(["*", "*", "*", "2", "3,10", "*/3"])
weekdays = st.sampled_from(["*", "*", "0", "1-5", "SUN"])
crons = st.tuples(minutes, hours, days, months, weekdays).map(" ".join)
lengths = st.integers(5 * 60, 40 * 24 * 60).map(lambda number: number * MINUTE)
moments = st.floats(0, 1).map(lambda share: BEGIN + share * (END - BEGIN))


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """One that `check_schedule` lets through, of up to four instants a day."""
    by_length = draw(st.booleans())
    bounds = sorted(draw(st.tuples(moments, moments)))
    schedule = Schedule(
        cron=None if by_length else draw(crons),
        every=draw(lengths) if by_length else None,
        anchor=draw(st.none() | moments),
        timezone=draw(st.sampled_from(ZONES)),
        start_at=draw(st.none() | st.just(bounds[0])),
        end_at=draw(st.none() | st.just(bounds[1])),
        misfire=draw(st.sampled_from(["skip", "run_once", "run_all"])),
        max_catch_up=draw(st.integers(1, 200)),
        grace=draw(st.sampled_from([timedelta(0), 15 * MINUTE, DAY])),
    )
    try:
        check_schedule(schedule, BEGIN)
    except Invalid:
        reject()
    return schedule


@dataclass
class Rows:
    """What a database would hold of one schedule: its mark, when it is looked at next, and what was decided."""

    mark: datetime
    next_at: datetime | None
    fired: set[datetime] = field(default_factory=set)
    missed: dict[datetime, tuple[datetime, int]] = field(default_factory=dict)
    doubled: int = 0

    def write(self, found: Decided) -> None:
        self.doubled += len(self.fired.intersection(found.fires))
        self.doubled += len(self.missed.keys() & {one.first for one in found.missed})
        self.fired.update(found.fires)
        self.missed |= {one.first: (one.last, one.count) for one in found.missed}
        self.mark, self.next_at = found.mark, found.next_at


def lived(schedule: Schedule, seed: int) -> Rows:
    """Twenty years of looks at any times, some of them for nothing."""
    chance = random.Random(seed)
    rows = Rows(BEGIN, schedule.next_after(BEGIN))
    usual = schedule.usual_gap(BEGIN) or DAY
    now, astray = BEGIN, timedelta(0)
    while now < END:
        silence = chance.choice([usual / 3, usual, 2 * usual, 3 * DAY, 30 * DAY, 400 * DAY])
        now += max(silence * chance.random(), MINUTE)
        if chance.random() < 0.1:  # the clock is set, by up to an hour
            astray = chance.uniform(-1, 1) * HOUR
        seen = now + astray
        if rows.next_at is None or rows.next_at > seen:
            continue  # a tick reads no more than this
        found = decide(schedule, rows.mark, seen)
        if chance.random() < 0.1:
            continue  # it died before it committed; the other one looks later
        assert found.mark >= rows.mark
        rows.write(found)
    return rows


def check_each_instant_is_accounted_for(schedule: Schedule, rows: Rows) -> None:
    """Against the list of all instants, which is made in one go from the beginning."""
    wanted = list(schedule.due(BEGIN, rows.mark))
    told = sorted(rows.fired)
    for first, (last, count) in rows.missed.items():
        begin, end = bisect.bisect_left(wanted, first), bisect.bisect_right(wanted, last)
        assert wanted[begin] == first
        assert wanted[end - 1] == last
        assert end - begin == count
        told += wanted[begin:end]
    assert sorted(told) == wanted
    assert rows.doubled == 0


@given(schedules(), st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_each_instant_of_twenty_years_fires_once_or_says_why_not(schedule: Schedule, seed: int) -> None:
    """Whatever the schedule and however often nobody looked: no instant twice, none without a word."""
    check_each_instant_is_accounted_for(schedule, lived(schedule, seed))


@pytest.mark.slow
@given(schedules(), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_the_same_of_a_hundred_schedules(schedule: Schedule, seed: int) -> None:
    """As above, with more of chance."""
    check_each_instant_is_accounted_for(schedule, lived(schedule, seed))


@given(schedules(), st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_after_twenty_years_nothing_is_left_behind(schedule: Schedule, seed: int) -> None:
    """A last look decides about everything up to then: the mark is the newest instant, and what comes next lies ahead."""
    rows = lived(schedule, seed)
    found = decide(schedule, rows.mark, END + HOUR)
    rest = list(schedule.due(rows.mark, END + HOUR))
    assert found.mark == (rest[-1] if rest else rows.mark)
    assert sum(one.count for one in found.missed) + len(found.fires) == len(rest)
    assert found.next_at is None or found.next_at > END + HOUR
