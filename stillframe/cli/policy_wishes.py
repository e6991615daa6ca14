"""What the options of `policy create` and `policy edit` ask for, put on what there is: a file, or the policy as it is."""

import json
import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from stillframe.cli.usage import Usage
from stillframe.policies.durations import duration
from stillframe.policies.retention import Retention

Wish = dict[str, Any]

FIELDS = (
    *("name", "selector", "schedules", "retention", "mode", "quiesce", "guards", "blackouts", "extract"),
    *("priority", "tags", "enabled", "paused_until", "max_failures", "start_within_s"),
)
RULES = tuple(one.name for one in fields(Retention))
#: What the API says of a policy and nobody asks for.
_ANSWERED = {
    *("id", "suspended", "set_aside", "next_fire_at", "account", "domain"),
    *("created_by", "created_at", "updated_at", "warnings"),
}
_LACKS = {
    "selector": "a policy needs VMs: --vm 'web-*', --vm-tag production or --host hv1 (or --file)",
    "schedules": "a policy needs a schedule: --cron '30 2 * * *' or --every 6h (or --file)",
    "retention": "a policy needs to know what it keeps: --keep last=3,daily=7, or --keep all (or --file)",
}
_OPTIONS = (
    *("file", "vm", "vm_tag", "host", "cron", "every", "timezone", "jitter", "keep", "extract"),
    *("keep_extracted", "mode", "quiesce", "priority", "rename"),
)


def new(asked: Namespace) -> Wish:
    """The wish for a policy that is made; raises Usage for what it lacks."""
    wish = _changed(asked, _read(asked.file) if asked.file else {})
    if asked.name:
        wish["name"] = asked.name
    return wish


def changed(asked: Namespace, present: Wish) -> Wish:
    """The wish for a policy that is there, with what is asked for changed; a file takes the place of all of it."""
    wish = _read(asked.file) if asked.file else {name: present[name] for name in FIELDS}
    if asked.rename:
        wish["name"] = asked.rename
    return _changed(asked, wish)


def check_asked(asked: Namespace) -> None:
    """Raises Usage if there is no option that changes anything."""
    if all(getattr(asked, name) is None for name in _OPTIONS):
        raise Usage(detail="say what to change, such as --every 6h, --keep last=3 or --rename NAME")


def _changed(asked: Namespace, wish: Wish) -> Wish:
    selector = {"names": asked.vm, "tags": asked.vm_tag, "host": asked.host}
    given = {name: value for name, value in selector.items() if value}
    if given:
        wish["selector"] = given
    _schedule(asked, wish)
    if asked.keep:
        wish["retention"] = _retention(asked.keep, "--keep")
    _extraction(asked, wish)
    for name in ("mode", "quiesce", "priority"):
        if value := getattr(asked, name):
            wish[name] = value
    for name, lacks in _LACKS.items():
        if not asked.file and name not in wish:
            raise Usage(detail=lacks)
    return wish


def _schedule(asked: Namespace, wish: Wish) -> None:
    """New times in the schedules that are there, and a new timezone and jitter in all of them."""
    present: Sequence[Wish] = wish.get("schedules") or ()
    times = [{"cron": cron} for cron in asked.cron or ()] + [{"every": every} for every in asked.every or ()]
    if times:
        wish["schedules"] = [_in_place(time, number, present) for number, time in enumerate(times)]
    common: Wish = {}
    if asked.timezone is not None:
        common["timezone"] = asked.timezone
    if asked.jitter is not None:
        common["jitter_s"] = _seconds(asked.jitter)
    if common and wish.get("schedules"):
        wish["schedules"] = [schedule | common for schedule in wish["schedules"]]


def _in_place(time: Wish, number: int, present: Sequence[Wish]) -> Wish:
    """A schedule of another time. All else stays as in the one at its place, or in the last one."""
    before = dict(present[min(number, len(present) - 1)]) if present else {}
    anchor = before.get("anchor") if "every" in time else None
    return before | {"cron": None, "every": None, "anchor": anchor} | time


def _seconds(text: str) -> float:
    if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text):
        return float(text)
    return duration(text, "--jitter").total_seconds()


def _retention(text: str, option: str) -> Wish:
    if text == "all":
        return {}
    found: Wish = {}
    for part in text.split(","):
        name, sign, value = part.strip().partition("=")
        if not sign or not value:
            raise Usage(detail=f"{option} {text!r}: write it as last=3,daily=7,within=2d, or all")
        if name not in RULES:
            raise Usage(detail=f"{option} {text!r}: there is no rule {name!r}; there are {', '.join(RULES)}")
        found[name] = int(value) if value.isdigit() else value
    if not any(found.values()):
        raise Usage(detail=f"{option} {text!r} would keep nothing; to keep everything write {option} all")
    return found


def _extraction(asked: Namespace, wish: Wish) -> None:
    if asked.extract == []:
        wish["extract"] = None
    elif asked.extract or asked.keep_extracted:
        made = dict(wish.get("extract") or {})
        if asked.extract:
            made["targets"] = asked.extract
        if asked.keep_extracted:
            made["retention"] = _retention(asked.keep_extracted, "--keep-extracted")
        if set(made) != {"targets", "retention"}:
            raise Usage(
                detail="to extract, write which volumes and what is kept: --extract vda --keep-extracted last=2"
            )
        wish["extract"] = made


def _read(path: str) -> Wish:
    """A wish as JSON; of a policy as it is shown, what can be asked for."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise Usage(detail=f"--file {path}: {error}") from None
    if not isinstance(found, dict):
        raise Usage(detail=f"--file {path}: it has to hold one JSON object")
    return {name: value for name, value in found.items() if name not in _ANSWERED}
