"""Limits of accounts and domains, and what is used of them, for people."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stillframe.cli import show
from stillframe.cli.usage import Usage

WORDS = {
    "max_snapshots_a_vm": "Snapshots a VM",
    "max_snapshots": "Snapshots",
    "max_bytes": "Bytes",
    "max_jobs": "Jobs",
}
_USED = {"max_snapshots": "snapshots", "max_bytes": "bytes", "max_jobs": "jobs"}


def given(asked: Namespace) -> dict[str, int | None]:
    """The limits that were named; raises Usage if none was."""
    found: dict[str, int | None] = {
        name: getattr(asked, name[4:]) for name in WORDS if hasattr(asked, name[4:])
    }
    if not found:
        raise Usage(detail="say which limit: --snapshots 500, or --snapshots none for no limit")
    return found


def short(limits: Mapping[str, Any]) -> str:
    """In one line: those that there are."""
    set_ = [
        f"{name[4:].replace('_', ' ')} {amount(name, value)}"
        for name, value in limits.items()
        if value is not None
    ]
    return ", ".join(set_) or "none"


def table(one: Mapping[str, Any]) -> None:
    """What is used of each."""
    rows = [
        (WORDS[name], amount(name, one["used"][_USED[name]] if name in _USED else "-"), amount(name, limit))
        for name, limit in one["limits"].items()
    ]
    show.table(("WHAT", "USED", "LIMIT"), rows, "")


def amount(name: str, value: Any) -> Any:
    """A figure of that limit, bytes in the units that people read."""
    if value is None:
        return "none"
    return show.size(value) if name == "max_bytes" and value != "-" else value
