"""When a schedule fires: nominal instants, in the wall clock of one place, as instants in UTC.

Cron expressions are evaluated by cronsim, which does what Debian's cron does when clocks are changed: an entry with a
fixed hour fires once, in spring at the first instant after the gap; one that fires every hour or by steps of the hour
goes on in real time. `every` counts in real time from its anchor and knows no wall clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice, pairwise, takewhile
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from stillframe.errors import Invalid

Misfire = Literal["skip", "run_once", "run_all"]
Overlap = Literal["skip", "queue"]

#: As cron's own shorthands have it.
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
#: A schedule may not fire more often than this.
SHORTEST = timedelta(minutes=1)
#: An `every` without an anchor counts from here.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Beyond this nobody looks for the next instant of an expression that has none (30 February).
HORIZON = timedelta(days=8 * 366)
#: Instants that are looked at to say how close they lie: a day of an hourly schedule.
_LOOK = 25


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Either `cron` (five fields, or an alias) or `every`, a length of time counted from `anchor`.

    `start_at` and `end_at` bound it, both included. `jitter` spreads its VMs over that time behind each instant.
    """

    cron: str | None = None
    every: timedelta | None = None
    anchor: datetime | None = None
    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter: timedelta = timedelta(0)
    misfire: Misfire = "run_once"
    #: How many missed instants `run_all` makes up for, the newest ones.
    max_catch_up: int = 10
    #: How late it may begin and still count as in time.
    grace: timedelta = timedelta(minutes=15)
    overlap: Overlap = "skip"

    @cached_property
    def zone(self) -> ZoneInfo:
        """Its timezone; raises Invalid if there is none of that name."""
        return zone(self.timezone)

    def instants(self, after: datetime) -> Iterator[datetime]:
        """The nominal instants after a moment, in UTC, in order; may be endless."""
        if self.start_at is not None:
            after = max(after, self.start_at - timedelta(microseconds=1))
        for instant in self._all(after):
            if self.end_at is not None and instant > self.end_at:
                return
            yield instant

    def instants_back(self, before: datetime, now: datetime) -> Iterator[datetime]:
        """Those before a moment, the newest first, as if it had always been there; one that has an end is new now."""
        if self.end_at is not None:
            before = min(before, self.end_at + timedelta(microseconds=1))
        begin = max(now, self.start_at or now) if self.end_at is not None else None
        return takewhile(lambda instant: begin is None or instant >= begin, self._all_back(before))

    def next_after(self, after: datetime) -> datetime | None:
        """The first nominal instant after a moment, or None if there is none any more."""
        return next(self.instants(after), None)

    def due(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The nominal instants after one moment and not after another, in order."""
        return takewhile(lambda instant: instant <= until, self.instants(after))

    def usual_gap(self, around: datetime) -> timedelta | None:
        """The longest time between two of the next few instants; None if it fires but once more."""
        if self.every is not None:
            return self.every
        return max((later - sooner for sooner, later in pairwise(islice(self._all(around), 9))), default=None)

    def shortest_gap(self, around: datetime) -> timedelta | None:
        """The shortest time between two of the next instants; None if it fires but once more."""
        if self.every is not None:
            return self.every
        few = islice(self.instants(around), _LOOK)
        return min((later - sooner for sooner, later in pairwise(few)), default=None)

    def _all(self, after: datetime) -> Iterator[datetime]:
        if self.every is not None:
            return self._by_length(after)
        return self._by_cron(after)

    def _all_back(self, before: datetime) -> Iterator[datetime]:
        if self.every is not None:
            anchor, tick = self.anchor or EPOCH, timedelta(microseconds=1)
            instant = anchor + self.every * ((before - tick - anchor) // self.every)
            while True:
                yield instant.astimezone(UTC)
                instant -= self.every
        # cronsim looks at whole minutes, and at what comes before the one it is given.
        floor = before.replace(second=0, microsecond=0)
        start = floor if floor == before else floor + timedelta(minutes=1)
        last = before
        for found in self._cronsim(start.astimezone(self.zone), reverse=True):
            instant = found.astimezone(UTC)
            if instant < last:
                last = instant
                yield instant

    def _by_length(self, after: datetime) -> Iterator[datetime]:
        every, anchor = self.every or SHORTEST, self.anchor or EPOCH
        instant = anchor + every * ((after - anchor) // every + 1)
        while True:
            yield instant.astimezone(UTC)
            instant += every

    def _by_cron(self, after: datetime) -> Iterator[datetime]:
        # cronsim looks at whole seconds, and at what comes after the one it is given.
        start = after.astimezone(self.zone)
        last, limit = after, after + HORIZON
        for instant in self._cronsim(start):
            found = instant.astimezone(UTC)
            if found > limit:
                return
            # Two wall times that fall into one gap are one instant; it is told once.
            if found > last:
                last, limit = found, found + HORIZON
                yield found

    def _cronsim(self, start: datetime, *, reverse: bool = False) -> CronSim:
        try:
            return CronSim(self.expression, start, reverse=reverse)
        except CronSimError as error:
            raise Invalid(detail=f"{self.cron!r} is no cron expression that can fire: {error}") from None

    @cached_property
    def expression(self) -> str:
        """The cron expression with aliases written out."""
        text = (self.cron or "").strip()
        return ALIASES.get(text.lower(), text)


def zone(name: str) -> ZoneInfo:
    """A timezone by its IANA name; raises Invalid."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(
            detail=f"there is no timezone {name!r}; write its IANA name, such as UTC, Asia/Seoul or Europe/Berlin"
        ) from None


def check_schedule(schedule: Schedule, now: datetime) -> None:
    """Raises Invalid, with what is wrong and what to write instead, for a schedule that cannot be kept."""
    if (schedule.cron is None) == (schedule.every is None):
        raise Invalid(detail="a schedule has either `cron` or `every`")
    zone(schedule.timezone)
    if schedule.start_at and schedule.end_at and schedule.end_at < schedule.start_at:
        raise Invalid(detail=f"the schedule ends ({schedule.end_at}) before it starts ({schedule.start_at})")
    if schedule.every is not None and schedule.every < SHORTEST:
        raise Invalid(detail=f"`every` is {schedule.every.total_seconds():g} s; a minute is the least")
    if schedule.cron is not None:
        _check_cron(schedule)
    if schedule.max_catch_up < 1 or schedule.max_catch_up > 1000:
        raise Invalid(detail=f"`max_catch_up` is {schedule.max_catch_up}; it may be 1 to 1000")
    _check_fires(schedule, now)


def _check_cron(schedule: Schedule) -> None:
    if len(schedule.expression.split()) != 5:
        raise Invalid(
            detail=f"{schedule.cron!r} is no cron expression: it has five fields (minute hour day month weekday), "
            f"or is one of {', '.join(sorted(ALIASES))}"
        )


def _check_fires(schedule: Schedule, now: datetime) -> None:
    first = schedule.next_after(now)
    if first is None:
        raise Invalid(detail="the schedule never fires after now: its end is over, or there is no such day")
    gap = schedule.usual_gap(first)
    if gap is not None and schedule.jitter >= gap:
        raise Invalid(
            detail=f"the jitter ({schedule.jitter}) is not shorter than the time between two firings ({gap})"
        )
