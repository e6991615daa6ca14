"""What JSON's own types say of a value, before pydantic reads a meaning into it."""

import re
from datetime import datetime
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

_NUMBER = re.compile(r"\s*[+-]?[\d.]*([eE][+-]?\d*)?\s*")


@cache
def kinds(model: type[BaseModel], field: str) -> frozenset[Any]:
    """The plain types that a field may have."""
    return frozenset(_plain(model.model_fields[field].annotation))


def check_type(value: Any, may: frozenset[Any]) -> None:
    """Raises ValueError for a boolean or a word where a number is meant, and for anything else where a boolean is."""
    if isinstance(value, bool):
        if may & {int, float} and bool not in may:
            raise ValueError("input should be a number")
    elif isinstance(value, str) and may & {int, float} and not may & {str, datetime}:
        raise ValueError("input should be a number")
    elif bool in may and not may & {int, float, str}:
        raise ValueError("input should be true or false")


def instant(value: Any) -> Any:
    """A time is a text; a number, also as a text, is not taken for seconds since 1970."""
    if not isinstance(value, str | datetime) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise ValueError("it is written as ISO 8601, such as 2030-01-31T12:00:00Z")
    return value


def _plain(annotation: Any) -> set[Any]:
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _plain(inner[0])
    return set().union(*map(_plain, inner)) if inner else {annotation}


def some(value: Any) -> Any:
    """Of a change: for a field that may be left out, and has a value in any case."""
    if value is None:
        raise ValueError("it cannot be null; leave it out and it stays")
    return value
