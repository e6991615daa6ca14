"""So much of a list as was asked for, page after page."""

from argparse import Namespace
from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

from stillframe.cli import show
from stillframe.client import Producer
from stillframe.client.answers import Page

PAGE = 200
Item = TypeVar("Item")


def items(
    client: Producer, page: Callable[..., Page[Item]], asked: Namespace, which: str = "first", **filters: Any
) -> list[Item]:
    """The items; says so when there are more than were asked for."""
    if asked.all:
        return list(client.every(page, limit=PAGE, **filters))
    found = list(islice(client.every(page, limit=min(PAGE, asked.limit + 1), **filters), asked.limit + 1))
    if len(found) > asked.limit and asked.output == "table":
        shown = f"{which} {asked.limit} are" if asked.limit > 1 else f"{which} one is"
        show.note(f"The {shown} shown; there are more (--limit N, --all).")
    return found[: asked.limit]
