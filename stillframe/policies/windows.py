"""Blackout windows: times of the wall clock in which no scheduled snapshot begins."""

import re
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

from stillframe.errors import Invalid

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


@dataclass(frozen=True, kw_only=True)
class Window:
    """From `begin` to `end` (not included) on some weekdays; over midnight if the end is not after the begin.

    A window over midnight belongs to the day on which it begins.
    """

    begin: str
    end: str
    days: tuple[str, ...] = DAYS

    def holds(self, at: datetime, zone: ZoneInfo) -> bool:
        """Whether a moment lies in it, by the wall clock of a place."""
        local = at.astimezone(zone)
        today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
        begin, end = _clock(self.begin), _clock(self.end)
        now = local.time().replace(tzinfo=None)
        if self.end == "24:00" or begin < end:
            return today in self.days and begin <= now and (self.end == "24:00" or now < end)
        return (today in self.days and now >= begin) or (yesterday in self.days and now < end)

    def __str__(self) -> str:
        days = "" if self.days == DAYS else f" on {', '.join(self.days)}"
        return f"{self.begin} to {self.end}{days}"


def check_window(window: Window) -> None:
    """Raises Invalid for clocks and days that are none, and for a window of no length."""
    for what, clock in (("begin", window.begin), ("end", window.end)):
        if not _CLOCK.fullmatch(clock) or (what == "begin" and clock == "24:00"):
            raise Invalid(detail=f"blackout {what} is {clock!r}; write a time of day as 22:30")
    if window.begin == window.end:
        raise Invalid(
            detail=f"a blackout from {window.begin} to {window.end} has no length; pause the policy instead"
        )
    if not window.days or not set(window.days) <= set(DAYS):
        raise Invalid(detail=f"blackout days are {', '.join(window.days)}; they are {', '.join(DAYS)}")


def _clock(text: str) -> time:
    return time(0, 0) if text == "24:00" else time.fromisoformat(text)
