"""What `policy show` says of a policy only where it is not as usual."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from stillframe.policies.durations import roughly

Json = Mapping[str, Any]

#: What a policy has that says nothing else; the service's own words are in `stillframe.policies`, which needs more.
GUARDS = {
    **{"max_depth": 16, "min_free_bytes": 1 << 30, "min_free_percent": 5},
    **{"skip_while_merging": True, "max_per_host": 2, "max_per_storage": 2},
}
SCHEDULE = {"misfire": "run_once", "max_catch_up": 10, "grace_s": 900, "overlap": "skip"}
_ALL_DAYS = 7


def jitter(schedules: Sequence[Json]) -> str:
    """Over what time its VMs are spread."""
    return _each(schedules, lambda one: f"over {_span(one['jitter_s'])}" if one["jitter_s"] else "")


def misfire(schedules: Sequence[Json]) -> str:
    """What becomes of moments that were missed, or that overlap."""
    return _each(schedules, _misfire)


def guards(given: Json) -> str:
    """Those that differ."""
    return ", ".join(f"{name} {_word(given[name])}" for name, usual in GUARDS.items() if given[name] != usual)


def blackouts(windows: Sequence[Json]) -> str:
    """When nothing begins, with the days if not all."""
    return "; ".join(f"{one['begin']} to {one['end']}{_days(one['days'])}" for one in windows)


def _misfire(one: Json) -> str:
    differ = [
        f"{name.removesuffix('_s')} {_span(one[name]) if name.endswith('_s') else one[name]}"
        for name, usual in SCHEDULE.items()
        if one[name] != usual
    ]
    return ", ".join(differ)


def _each(schedules: Sequence[Json], say: Callable[[Json], str]) -> str:
    """One word for all if all agree, else by schedule."""
    said = [say(one) for one in schedules]
    if len(set(said)) == 1:
        return said[0]
    return "; ".join(
        f"{one['cron'] or 'every ' + str(one['every'])}: {text or 'as usual'}"
        for one, text in zip(schedules, said, strict=True)
    )


def _days(days: Sequence[str]) -> str:
    return "" if len(days) == _ALL_DAYS else f" on {', '.join(days)}"


def _span(seconds: float) -> str:
    return roughly(timedelta(seconds=seconds)) if seconds >= 1 else f"{seconds:g}s"


def _word(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
