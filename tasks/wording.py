"""Whether the words of a request can be kept and shown. Needs no database."""

import unicodedata
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

from stillframe.errors import Invalid
from stillframe.names import check_display_name, check_name
from stillframe.operations import CreateSnapshot, ExtractVolume, Operation
from stillframe.policies.durations import duration, is_duration

_LONGEST_DESCRIPTION = 4096
_MOST_TAGS = 32
_LONGEST_TAG = 64


def check_words(operation: Operation) -> Operation:
    """The request with its display name as it will be kept; raises Invalid with the reason."""
    _check_choices(operation)
    _check_limits(operation)
    if isinstance(operation, CreateSnapshot):
        return _checked(operation)
    if isinstance(operation, ExtractVolume) and operation.name is not None:
        check_name(operation.name, "volume snapshot")
    return operation


def expiry(operation: CreateSnapshot, now: datetime) -> datetime | None:
    """When the snapshot is to expire; raises Invalid when that is no time, has no zone, or is over."""
    if operation.expires_at is None:
        return None
    if is_duration(operation.expires_at):
        return now + duration(operation.expires_at, "expires_at")
    try:
        at = datetime.fromisoformat(operation.expires_at)
    except ValueError as error:
        raise Invalid(detail=f"expires_at is not an ISO 8601 time: {operation.expires_at!r}") from error
    if at.tzinfo is None:
        raise Invalid(detail="expires_at has no time zone; write 2030-01-31T12:00:00Z")
    if at <= now:
        raise Invalid(detail=f"expires_at is over: {operation.expires_at}")
    return at.astimezone(UTC)


def _checked(operation: CreateSnapshot) -> CreateSnapshot:
    if operation.name is not None:
        check_name(operation.name, "snapshot")
    shown = None if operation.display_name is None else check_display_name(operation.display_name)
    _check_text("description", operation.description, _LONGEST_DESCRIPTION)
    if len(operation.tags) > _MOST_TAGS:
        raise Invalid(detail=f"{len(operation.tags)} tags, and {_MOST_TAGS} are allowed")
    for tag in operation.tags:
        _check_text("a tag", tag, _LONGEST_TAG)
        if not tag.strip():
            raise Invalid(detail="a tag is empty")
    known: dict[str, Any] = {field.name: getattr(operation, field.name) for field in fields(operation)}
    return CreateSnapshot(**known | {"display_name": shown, "tags": tuple(dict.fromkeys(operation.tags))})


def _check_text(what: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise Invalid(detail=f"{what} has {len(text)} characters, and {longest} are allowed")
    if any(unicodedata.category(letter) in {"Cc", "Cs"} and letter not in "\n\r\t" for letter in text):
        raise Invalid(detail=f"{what} has a control character")


def _check_limits(operation: Operation) -> None:
    for name in ("start_within_s", "timeout_s"):
        value = getattr(operation, name)
        # Written so that what is no number at all is refused too.
        if value is not None and not operation.SHORTEST_S <= value <= operation.LONGEST_S:
            bounds = f"{operation.SHORTEST_S:g} to {operation.LONGEST_S:g} seconds (30 days)"
            raise Invalid(detail=f"{name} is {value}, and may be {bounds}")


def _check_choices(operation: Operation) -> None:
    """Fields that are one of a few words; a caller in Python may have given any other."""
    for name, hint in get_type_hints(type(operation)).items():
        choices = [
            word for part in (hint, *get_args(hint)) for word in get_args(part) if isinstance(word, str)
        ]
        value = getattr(operation, name)
        if choices and value is not None and value not in choices:
            raise Invalid(detail=f"{name} is {value!r}, and may be {', '.join(sorted(set(choices)))}")
