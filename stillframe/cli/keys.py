"""`stillframe key ...`."""

from argparse import Namespace

from stillframe.cli import show
from stillframe.cli.lists import items
from stillframe.cli.refs import key_id
from stillframe.client import Producer
from stillframe.client.answers import Key

OK, FAILED = 0, 1


def create(client: Producer, asked: Namespace) -> int:
    """`key create`: the key alone on stdout, so that it can be taken from there."""
    made = client.create_key(
        *(asked.account, asked.name, asked.role),
        scopes=asked.right,
        expires_at=asked.expires,
        idempotency_key=asked.idempotency_key,
    )
    if asked.output == "json":
        show.data(made)
    elif made["key"]:
        print(made["key"])
        show.note(f"Key {made['id']} of account {made['account']} is made. It is not shown again.")
    else:
        show.note(f"Key {made['id']} was made when this was first asked, and is not shown again.")
        show.note(f"`stillframe key revoke {made['id']}`, and make another.")
    return OK if made["key"] else FAILED


def show_list(client: Producer, asked: Namespace) -> int:
    """`key list`."""
    found = items(client, client.keys, asked, account=asked.account, q=asked.q)
    rows = [
        (
            *(one["prefix"], f"{one['domain'].rstrip('/')}/{one['account']}", one["name"], one["role"]),
            _rights(one),
            "yes" if one["opens"] else "no",
            *(show.time(one["last_used_at"]), show.time(one["expires_at"]), one["id"]),
        )
        for one in found
    ]
    heads = ("KEY", "ACCOUNT", "NAME", "ROLE", "RIGHTS", "OPENS", "LAST USED", "EXPIRES", "ID")
    return show.listed(asked, found, heads, rows, "No keys.")


def _rights(key: Key) -> str:
    if not key["rights"]:
        return "looking only"
    return "all of its role" if key["scopes"] is None else ",".join(key["rights"])


def show_one(client: Producer, asked: Namespace) -> int:
    """`key show`."""
    one = client.key(key_id(client, asked.key))
    if asked.output == "json":
        show.data(one)
        return OK
    show.fields(
        (
            *(("Key", one["prefix"] + "..."), ("Id", one["id"])),
            *(("Account", one["account"]), ("Domain", one["domain"])),
            *(("Name", one["name"]), ("Role", one["role"])),
            ("Rights", ", ".join(one["rights"]) or "looking only"),
            *(("Made", show.time(one["created_at"])), ("Last used", show.time(one["last_used_at"]))),
            *(("Expires", show.time(one["expires_at"])), ("Revoked", show.time(one["revoked_at"]))),
        )
    )
    return OK


def revoke(client: Producer, asked: Namespace) -> int:
    """`key revoke`."""
    one = client.revoke_key(key_id(client, asked.key))
    return show.told(asked, one, f"Key {one['prefix']}... opens nothing any more.")
