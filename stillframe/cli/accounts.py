"""`stillframe account ...`, and `vm assign`."""

from argparse import Namespace

from stillframe.cli import limits, show
from stillframe.cli.lists import items
from stillframe.cli.sure import sure
from stillframe.client import Producer

OK, REFUSED = 0, 5


def create(client: Producer, asked: Namespace) -> int:
    """`account create`."""
    made = client.create_account(asked.name, asked.domain, idempotency_key=asked.idempotency_key)
    return show.told(asked, made, f"Account {made['name']} is made in domain {made['domain']}.")


def show_list(client: Producer, asked: Namespace) -> int:
    """`account list`."""
    found = items(
        client, client.accounts, asked, domain=asked.domain, q=asked.q, deleted=asked.deleted or None
    )
    rows = [
        (
            *(one["name"], one["domain"], limits.short(one["limits"])),
            *([show.time(one["deleted_at"])] if asked.deleted else []),
            one["id"],
        )
        for one in found
    ]
    heads = ("NAME", "DOMAIN", "LIMITS", *(["DELETED"] if asked.deleted else []), "ID")
    return show.listed(asked, found, heads, rows, "No accounts.")


def show_one(client: Producer, asked: Namespace) -> int:
    """`account show`."""
    one = client.account(asked.account)
    if asked.output == "json":
        show.data(one)
        return OK
    named = (("Name", one["name"]), ("Id", one["id"]), ("Domain", one["domain"]))
    show.fields((*named, ("Deleted", show.time(one["deleted_at"]) if one["deleted_at"] else None)))
    print()
    limits.table(one)
    return OK


def limit(client: Producer, asked: Namespace) -> int:
    """`account limit`."""
    one = client.limit_account(asked.account, **limits.given(asked))
    return show.told(asked, one, f"Limits of account {one['name']}: {limits.short(one['limits'])}.")


def delete(client: Producer, asked: Namespace) -> int:
    """`account delete`."""
    one = client.account(asked.account)
    name = f"{one['domain'].rstrip('/')}/{one['name']}"
    if not sure(asked, lambda: f"Delete account {name}? Its keys open nothing any more."):
        return REFUSED
    client.delete_account(one["id"])
    return show.told(asked, one, f"Account {name} is deleted. What it did before can still be looked at.")


def assign_vm(client: Producer, asked: Namespace) -> int:
    """`vm assign`."""
    one = client.assign_vm(asked.vm, asked.account, idempotency_key=asked.idempotency_key)
    brought = one["brought"]
    with_it = (
        f"{_so_many(brought['snapshots'], 'snapshot')} and {_so_many(brought['volumes'], 'extracted volume')}"
    )
    words = f"VM {one['name']} belongs to account {one['account']} now, with {with_it}."
    if brought["policies"]:
        words += f" These policies do not reach it any more and prune nothing of it: {', '.join(brought['policies'])}."
    return show.told(asked, one, words)


def _so_many(count: int, of: str) -> str:
    return f"{count} {of}{'' if count == 1 else 's'}"
