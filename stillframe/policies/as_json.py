"""A policy as JSON and back: the form in which it is asked for, kept in rows, and shown."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from stillframe.errors import Invalid
from stillframe.policies.durations import duration, in_words
from stillframe.policies.policy import Extract, Guards, Policy, Selector
from stillframe.policies.retention import COUNTS, Retention
from stillframe.policies.schedule import Schedule
from stillframe.policies.windows import Window

Json = dict[str, Any]
Made = TypeVar("Made")


def policy_from_json(values: Any) -> Policy:
    """Raises Invalid for a field that nobody knows, one that is missing, and one of the wrong kind."""
    made: Policy = _part(Policy, _POLICY)(values, "policy")
    return made


def policy_to_json(policy: Policy) -> Json:
    """What `policy_from_json` reads; nothing is left out."""
    values: Json = _plain(policy, _NAMES)
    return values


def schedule_from_json(values: Any) -> Schedule:
    """One schedule alone; raises Invalid."""
    made: Schedule = _part(Schedule, _SCHEDULE)(values, "schedule")
    return made


def schedule_to_json(schedule: Schedule) -> Json:
    """What `schedule_from_json` reads."""
    values: Json = _plain(schedule, _NAMES)
    return values


def retention_from_json(values: Mapping[str, Any]) -> Retention:
    """The rules alone."""
    return _build(Retention, values, "retention", _RETENTION)


Reader = Callable[[Any, str], Any]


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise Invalid(detail=f"{what} is {value!r}, and has to be text")
    return value


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(detail=f"{what} is {value!r}, and has to be a whole number")
    return value


def _count(value: Any, what: str) -> int:
    if value is None:
        return 0
    if _whole(value, what) == 0:
        raise Invalid(
            detail=f"{what} is 0, which would keep none by it; leave it out, or write null, for no such rule"
        )
    return _whole(value, what)


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(detail=f"{what} is {value!r}, and has to be a number")
    return value


def _yes_or_no(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise Invalid(detail=f"{what} is {value!r}, and has to be true or false")
    return value


def _instant(value: Any, what: str) -> datetime:
    try:
        at = datetime.fromisoformat(_text(value, what))
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(detail=f"{what} is no ISO 8601 time: {value!r}") from None
    raise Invalid(detail=f"{what} has no time zone; write 2030-01-31T12:00:00Z")


def _span(value: Any, what: str) -> timedelta:
    return duration(value, what)


def _seconds(value: Any, what: str) -> timedelta:
    seconds = _number(value, what)
    if not 0 <= seconds <= 366 * 86400:
        raise Invalid(detail=f"{what} is {value!r}; it may be 0 to a year, in seconds")
    return timedelta(seconds=seconds)


def _one_of(*words: str) -> Reader:
    def read(value: Any, what: str) -> str:
        if value not in words:
            raise Invalid(detail=f"{what} is {value!r}, and may be {', '.join(words)}")
        return str(value)

    return read


def _many(read: Reader) -> Reader:
    def each(value: Any, what: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise Invalid(detail=f"{what} has to be a list")
        return tuple(read(one, f"{what}[{number}]") for number, one in enumerate(value))

    return each


def _or_none(read: Reader) -> Reader:
    return lambda value, what: None if value is None else read(value, what)


def _part(made: type[Any], readers: Mapping[str, Reader]) -> Reader:
    def read(value: Any, what: str) -> Any:
        if not isinstance(value, Mapping):
            raise Invalid(detail=f"{what} has to be an object")
        return _build(made, value, what, readers)

    return read


def _build(made: type[Made], values: Mapping[str, Any], what: str, readers: Mapping[str, Reader]) -> Made:
    if unknown := sorted(set(values) - set(readers)):
        raise Invalid(
            detail=f"{what} has a field {unknown[0]!r} that nobody knows; it may have {', '.join(readers)}"
        )
    of = {_NAMES.get(one.name, one.name): one for one in fields(made)}  # type: ignore[arg-type]
    found = {}
    for name, one in of.items():
        if name in values:
            found[one.name] = readers[name](values[name], f"{what}.{name}")
        elif one.default is MISSING and one.default_factory is MISSING:
            raise Invalid(detail=f"{what} has no {name}")
    return made(**found)


def _plain(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return in_words(value)
    if isinstance(value, list | tuple):
        return [_plain(one, names) for one in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    if isinstance(value, Retention):
        return {one.name: _of_retention(one.name, getattr(value, one.name)) for one in fields(value)}
    return {
        names.get(one.name, one.name): _in_seconds(getattr(value, one.name))
        if one.name in names
        else _plain(getattr(value, one.name), names)
        for one in fields(value)
    }


def _of_retention(name: str, value: Any) -> Any:
    """A rule that there is not is null: 0 would read as if it kept none."""
    return (value or None) if name in COUNTS else _plain(value, _NAMES)


def _in_seconds(span: timedelta) -> float:
    seconds = span.total_seconds()
    return int(seconds) if seconds == int(seconds) else seconds


#: Lengths of time that are seconds in JSON carry that in their name.
_NAMES = {"jitter": "jitter_s", "grace": "grace_s", "start_within": "start_within_s"}

_SCHEDULE: dict[str, Reader] = {
    "cron": _or_none(_text),
    "every": _or_none(_span),
    "anchor": _or_none(_instant),
    "timezone": _text,
    "start_at": _or_none(_instant),
    "end_at": _or_none(_instant),
    "jitter_s": _seconds,
    "misfire": _one_of("skip", "run_once", "run_all"),
    "max_catch_up": _whole,
    "grace_s": _seconds,
    "overlap": _one_of("skip", "queue"),
}
_RETENTION: dict[str, Reader] = {
    **dict.fromkeys(COUNTS, _count),
    "within": _or_none(_span),
    "max_age": _or_none(_span),
    "max_count": _or_none(_whole),
    "min_keep": _whole,
}
_SELECTOR: dict[str, Reader] = {
    **dict.fromkeys(("ids", "names", "tags"), _many(_text)),
    **dict.fromkeys(("account", "domain", "host"), _or_none(_text)),
}
_GUARDS: dict[str, Reader] = {
    "max_depth": _whole,
    "min_free_bytes": _whole,
    "min_free_percent": _number,
    "skip_while_merging": _yes_or_no,
    "max_per_host": _whole,
    "max_per_storage": _whole,
}
_WINDOW: dict[str, Reader] = {"begin": _text, "end": _text, "days": _many(_text)}
_EXTRACT: dict[str, Reader] = {"targets": _many(_text), "retention": _part(Retention, _RETENTION)}
_POLICY: dict[str, Reader] = {
    "name": _text,
    "selector": _part(Selector, _SELECTOR),
    "schedules": _many(_part(Schedule, _SCHEDULE)),
    "retention": _part(Retention, _RETENTION),
    "mode": _one_of("auto", "hot", "cold", "memory"),
    "quiesce": _one_of("require", "prefer", "never"),
    "priority": _one_of("normal", "low"),
    "guards": _part(Guards, _GUARDS),
    "blackouts": _many(_part(Window, _WINDOW)),
    "extract": _or_none(_part(Extract, _EXTRACT)),
    "tags": _many(_text),
    "enabled": _yes_or_no,
    "paused_until": _or_none(_instant),
    "max_failures": _whole,
    "start_within_s": _seconds,
}
