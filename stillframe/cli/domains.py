"""`stillframe domain ...`."""

from argparse import Namespace

from stillframe.cli import limits, show
from stillframe.cli.lists import items
from stillframe.cli.sure import sure
from stillframe.client import Producer

OK, REFUSED = 0, 5


def create(client: Producer, asked: Namespace) -> int:
    """`domain create`."""
    above, _, name = asked.path.rstrip("/").rpartition("/")
    parent = above or ("/" if asked.path.startswith("/") else None)
    made = client.create_domain(name, parent, idempotency_key=asked.idempotency_key)
    return show.told(asked, made, f"Domain {made['path']} is made.")


def show_list(client: Producer, asked: Namespace) -> int:
    """`domain list`."""
    found = items(client, client.domains, asked, below=asked.below, deleted=asked.deleted or None)
    rows = [(one["path"], limits.short(one["limits"]), one["id"]) for one in found]
    return show.listed(asked, found, ("PATH", "LIMITS", "ID"), rows, "No domains.")


def show_one(client: Producer, asked: Namespace) -> int:
    """`domain show`."""
    one = client.domain(asked.domain)
    if asked.output == "json":
        show.data(one)
        return OK
    deleted = ("Deleted", show.time(one["deleted_at"]) if one["deleted_at"] else None)
    show.fields((("Path", one["path"]), ("Id", one["id"]), deleted))
    print()
    limits.table(one)
    return OK


def limit(client: Producer, asked: Namespace) -> int:
    """`domain limit`."""
    one = client.limit_domain(asked.domain, **limits.given(asked))
    return show.told(asked, one, f"Limits of domain {one['path']}: {limits.short(one['limits'])}.")


def delete(client: Producer, asked: Namespace) -> int:
    """`domain delete`."""
    one = client.domain(asked.domain)
    if not sure(asked, lambda: f"Delete domain {one['path']}?"):
        return REFUSED
    client.delete_domain(one["id"])
    return show.told(asked, one, f"Domain {one['path']} is deleted.")
