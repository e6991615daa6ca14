"""`stillframe comment ...`."""

from argparse import Namespace
from typing import Any

from stillframe.cli import refs, show
from stillframe.cli.lists import items
from stillframe.client import Producer
from stillframe.client.answers import Comment, Page


def add(client: Producer, asked: Namespace) -> int:
    """`comment add`."""
    said = client.add_comment(refs.snapshot_id(client, asked.snapshot), asked.text)
    if asked.output == "json":
        show.data(said)
    else:
        show.note("Added.")
    return 0


def show_list(client: Producer, asked: Namespace) -> int:
    """`comment list`."""
    id_ = refs.snapshot_id(client, asked.snapshot)

    def page(**filters: Any) -> Page[Comment]:
        return client.comments(id_, **filters)

    found = items(client, page, asked)
    if asked.output == "json":
        show.data(found)
        return 0
    rows = [(show.time(one["created_at"]), one["author"], one["text"]) for one in found]
    show.table(("WHEN", "WHO", "WORDS"), rows, "No comments.")
    return 0
