"""Lengths of time as people write them: `15m`, `6h`, `7d`, `2w`; a plain number is seconds."""

import re
from datetime import timedelta

from stillframe.errors import Invalid

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_WRITTEN = re.compile(r"(\d{1,9})([smhdw])")


def duration(text: str | float, what: str) -> timedelta:
    """A length of time; raises Invalid, naming `what`, if it is none or not above zero."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        seconds: float = text
    else:
        written = _WRITTEN.fullmatch(str(text).strip().lower())
        if written is None:
            raise Invalid(detail=f"{what} is {text!r}; write a length of time as 15m, 6h, 7d or 2w")
        seconds = int(written[1]) * _UNITS[written[2]]
    if not 0 < seconds <= 100 * 366 * 86400:
        raise Invalid(detail=f"{what} is {text!r}; it has to be above zero and below a hundred years")
    return timedelta(seconds=seconds)


def is_duration(text: str) -> bool:
    """Whether it is written like a length of time."""
    return _WRITTEN.fullmatch(text.strip().lower()) is not None


def in_words(span: timedelta) -> str:
    """The largest unit that says it without a rest."""
    seconds = int(span.total_seconds())
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


def roughly(span: timedelta) -> str:
    """For people: its two largest units, as `6h 17m`."""
    rest = int(span.total_seconds())
    found: list[str] = []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            found.append(f"{count}{unit}")
    return " ".join(found[:2]) or "0s"
