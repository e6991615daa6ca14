"""When schedules fire: against an independent model of the wall clock, over every change of clocks from 2020 to 2040."""

import functools
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.errors import Invalid
from stillframe.policies.schedule import Schedule, check_schedule

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
moments = st.integers(0, 20 * 365 * 86400).map(
    lambda n: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=n)
)


def changes_of(zone: zoneinfo.ZoneInfo) -> Iterator[datetime]:
    """The first instant of each new offset, found by halving."""
    at, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC)
    while at < end:
        low, high = at, at + timedelta(days=7)
        if _offset(low, zone) != _offset(high, zone):
            while high - low > timedelta(seconds=1):
                middle = (low + (high - low) / 2).replace(microsecond=0)
                low, high = (middle, high) if _offset(middle, zone) == _offset(low, zone) else (low, middle)
            yield high
        at += timedelta(days=7)


def _offset(at: datetime, zone: zoneinfo.ZoneInfo) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


@functools.cache
def every_change() -> list[tuple[str, datetime]]:
    """Each change of clocks once, with one of the zones that have the same ones."""
    seen: dict[tuple[tuple[datetime, timedelta | None], ...], str] = {}
    for name in sorted(zoneinfo.available_timezones()):
        zone = zoneinfo.ZoneInfo(name)
        changes = tuple((at, _offset(at, zone)) for at in changes_of(zone))
        seen.setdefault(changes, name)
    return [(name, at) for changes, name in seen.items() for at, _ in changes]


def by_the_wall(day: date, at: time, zone: zoneinfo.ZoneInfo) -> datetime:
    """When a clock on the wall first shows that time on that day, or would have, had it not been put forward."""
    shown = datetime.combine(day, at, zone)
    instant = shown.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == shown.replace(tzinfo=None):
        return instant
    low, high = instant - DAY, instant + DAY
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        late = middle.astimezone(zone).replace(tzinfo=None) >= shown.replace(tzinfo=None)
        low, high = (low, middle) if late else (middle, high)
    return high.replace(microsecond=0)


def test_a_fixed_time_fires_once_a_day_through_every_change_of_clocks() -> None:
    """For every half hour of the day: the first time the wall shows it, or the end of the gap that swallowed it."""
    changes = every_change()
    assert len(changes) > 1000
    for name, at in changes:
        zone = zoneinfo.ZoneInfo(name)
        days = [at.astimezone(zone).date() + n * DAY for n in (-1, 0, 1)]
        for half_hour in range(48):
            clock = time(half_hour // 2, half_hour % 2 * 30)
            schedule = Schedule(cron=f"{clock.minute} {clock.hour} * * *", timezone=name)
            wanted = [by_the_wall(day, clock, zone) for day in days]
            got = list(schedule.due(wanted[0] - timedelta(seconds=1), wanted[-1]))
            assert got == wanted, (name, at, schedule.cron)


def test_hourly_goes_on_in_real_time_through_every_change_of_clocks() -> None:
    """An hourly entry fires whenever the wall shows a full hour, twice in an hour that is lived twice."""
    for name, at in every_change():
        zone = zoneinfo.ZoneInfo(name)
        begin = at - timedelta(hours=6)
        minutes = [begin + timedelta(minutes=n) for n in range(1, 12 * 60 + 1)]
        wanted = [one for one in minutes if one.astimezone(zone).minute == 0]
        got = list(Schedule(cron="0 * * * *", timezone=name).due(begin, begin + timedelta(hours=12)))
        assert got == wanted, (name, at)


@given(st.integers(60, 40 * 86400), moments, moments)
def test_every_counts_from_its_anchor(seconds: int, anchor: datetime, after: datetime) -> None:
    """The next instant is after the moment, at most one length away, and a whole number of lengths from the anchor."""
    every = timedelta(seconds=seconds)
    found = Schedule(every=every, anchor=anchor).next_after(after)
    assert found is not None
    assert after < found <= after + every
    assert (found - anchor) % every == timedelta(0)


CRONS = ["*/5 * * * *", "0 3 * * *", "30 2 * * 0", "0 0 29 2 *", "15 */6 * * *", "0 9 1 * MON", "@weekly"]
ZONES = ["UTC", "Asia/Seoul", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Antarctica/Troll"]


@given(
    st.sampled_from(CRONS),
    st.sampled_from(ZONES),
    moments,
    st.lists(st.integers(1, 200_000), min_size=1, max_size=20),
)
def test_looking_often_or_seldom_finds_the_same_instants(
    cron: str, zone: str, begin: datetime, steps: list[int]
) -> None:
    """However time is cut into pieces, each instant is found in exactly one of them."""
    schedule, at = Schedule(cron=cron, timezone=zone), begin
    end = at + timedelta(seconds=sum(steps))
    whole = list(schedule.due(at, end))
    pieces: list[datetime] = []
    for step in steps:
        pieces += schedule.due(at, at + timedelta(seconds=step))
        at += timedelta(seconds=step)
    assert pieces == whole
    assert whole == sorted(set(whole))


def test_it_keeps_to_its_bounds() -> None:
    """Nothing fires before its start or after its end, and both count."""
    schedule = Schedule(cron="0 * * * *", start_at=NOW, end_at=NOW + timedelta(hours=2))
    instants = list(schedule.instants(NOW - DAY))
    assert instants == [NOW + timedelta(hours=n) for n in range(3)]
    assert schedule.next_after(instants[-1]) is None


@pytest.mark.parametrize(
    ("schedule", "word"),
    [
        (Schedule(cron="0 0 30 2 *"), "no cron expression that can fire"),
        (Schedule(cron="0 0 31 4,6 *"), "no cron expression that can fire"),
        (Schedule(cron="61 * * * *"), "no cron expression that can fire"),
        (Schedule(cron="* * * *"), "five fields"),
        (Schedule(cron="* * * * * *"), "five fields"),
        (Schedule(cron="@reboot"), "five fields"),
        (Schedule(cron="0 0 * * *", timezone="Mars/Olympus"), "no timezone"),
        (Schedule(cron="0 0 * * *", timezone="../etc/passwd"), "no timezone"),
        (Schedule(), "either"),
        (Schedule(cron="0 0 * * *", every=DAY), "either"),
        (Schedule(every=timedelta(seconds=59)), "a minute is the least"),
        (Schedule(cron="0 0 * * *", end_at=NOW - DAY), "never fires"),
        (Schedule(cron="0 0 * * *", start_at=NOW, end_at=NOW - DAY), "ends"),
        (Schedule(cron="0 * * * *", jitter=timedelta(hours=1)), "jitter"),
        (Schedule(cron="0 * * * *", max_catch_up=0), "max_catch_up"),
    ],
)
def test_what_cannot_be_kept_is_refused(schedule: Schedule, word: str) -> None:
    """A schedule that could never fire, or not as its owner thinks, is refused in words that say what is wrong."""
    with pytest.raises(Invalid, match=word):
        check_schedule(schedule, NOW)


def test_a_leap_day_is_found() -> None:
    """29 February is a day like any other, though the next one is years away."""
    schedule = Schedule(cron="0 0 29 2 *")
    check_schedule(schedule, NOW)
    assert schedule.next_after(NOW) == datetime(2028, 2, 29, tzinfo=UTC)
