"""`stillframe account ...`, `domain ...` and `key ...`, and `vm assign`."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stillframe.cli import show
from stillframe.cli.lists import items
from stillframe.cli.usage import Usage
from stillframe.client import Producer
from stillframe.client.answers import Key

_WORDS = {
    "max_snapshots_a_vm": "Snapshots a VM",
    "max_snapshots": "Snapshots",
    "max_bytes": "Bytes",
    "max_jobs": "Jobs",
}
_USED = {"max_snapshots": "snapshots", "max_bytes": "bytes", "max_jobs": "jobs"}


def create_account(client: Producer, asked: Namespace) -> int:
    """`account create`."""
    made = client.create_account(asked.name, asked.domain)
    return _told(asked, made, f"Account {made['name']} is made in domain {made['domain']}.")


def list_accounts(client: Producer, asked: Namespace) -> int:
    """`account list`."""
    found = items(client, client.accounts, asked, domain=asked.domain, q=asked.q)
    rows = [(one["name"], one["domain"], _short(one["limits"]), one["id"]) for one in found]
    return _table(asked, found, ("NAME", "DOMAIN", "LIMITS", "ID"), rows, "No accounts.")


def show_account(client: Producer, asked: Namespace) -> int:
    """`account show`."""
    one = client.account(asked.account)
    return _shown(asked, one, (("Name", one["name"]), ("Id", one["id"]), ("Domain", one["domain"])))


def limit_account(client: Producer, asked: Namespace) -> int:
    """`account limit`."""
    one = client.limit_account(asked.account, **_given(asked))
    return _told(asked, one, f"Limits of account {one['name']}: {_short(one['limits'])}.")


def create_domain(client: Producer, asked: Namespace) -> int:
    """`domain create`."""
    above, _, name = asked.path.rstrip("/").rpartition("/")
    made = client.create_domain(name, above or ("/" if asked.path.startswith("/") else None))
    return _told(asked, made, f"Domain {made['path']} is made.")


def list_domains(client: Producer, asked: Namespace) -> int:
    """`domain list`."""
    found = items(client, client.domains, asked, below=asked.below)
    rows = [(one["path"], _short(one["limits"]), one["id"]) for one in found]
    return _table(asked, found, ("PATH", "LIMITS", "ID"), rows, "No domains.")


def show_domain(client: Producer, asked: Namespace) -> int:
    """`domain show`."""
    one = client.domain(asked.domain)
    return _shown(asked, one, (("Path", one["path"]), ("Id", one["id"])))


def limit_domain(client: Producer, asked: Namespace) -> int:
    """`domain limit`."""
    one = client.limit_domain(asked.domain, **_given(asked))
    return _told(asked, one, f"Limits of domain {one['path']}: {_short(one['limits'])}.")


def create_key(client: Producer, asked: Namespace) -> int:
    """`key create`: the key alone on stdout, so that it can be taken from there."""
    made = client.create_key(
        asked.account, asked.name, asked.role, scopes=asked.right, expires_at=asked.expires
    )
    if asked.output == "json":
        show.data(made)
    else:
        print(made["key"])
        show.note(f"Key {made['id']} of account {made['account']} is made. It is not shown again.")
    return 0


def list_keys(client: Producer, asked: Namespace) -> int:
    """`key list`."""
    found = items(client, client.keys, asked, account=asked.account)
    rows = [
        (
            *(one["prefix"], one["account"], one["name"], one["role"]),
            _rights(one),
            "yes" if one["opens"] else "no",
            *(show.time(one["last_used_at"]), show.time(one["expires_at"]), one["id"]),
        )
        for one in found
    ]
    heads = ("KEY", "ACCOUNT", "NAME", "ROLE", "RIGHTS", "OPENS", "LAST USED", "EXPIRES", "ID")
    return _table(asked, found, heads, rows, "No keys.")


def _rights(key: Key) -> str:
    if not key["rights"]:
        return "looking only"
    return "all of its role" if key["scopes"] is None else ",".join(key["rights"])


def show_key(client: Producer, asked: Namespace) -> int:
    """`key show`."""
    one = client.key(asked.key)
    if asked.output == "json":
        show.data(one)
        return 0
    show.fields(
        (
            *(("Key", one["prefix"] + "..."), ("Id", one["id"]), ("Account", one["account"])),
            *(
                ("Name", one["name"]),
                ("Role", one["role"]),
                ("Rights", ", ".join(one["rights"]) or "looking only"),
            ),
            *(("Made", show.time(one["created_at"])), ("Last used", show.time(one["last_used_at"]))),
            *(("Expires", show.time(one["expires_at"])), ("Revoked", show.time(one["revoked_at"]))),
        )
    )
    return 0


def revoke_key(client: Producer, asked: Namespace) -> int:
    """`key revoke`."""
    one = client.revoke_key(asked.key)
    return _told(asked, one, f"Key {one['prefix']}... opens nothing any more.")


def assign_vm(client: Producer, asked: Namespace) -> int:
    """`vm assign`."""
    one = client.assign_vm(asked.vm, asked.account)
    return _told(asked, one, f"VM {one['name']} belongs to account {one['account']} now.")


def _given(asked: Namespace) -> dict[str, int | None]:
    given: dict[str, int | None] = {
        name: getattr(asked, name[4:]) for name in _WORDS if hasattr(asked, name[4:])
    }
    if not given:
        raise Usage(detail="say which limit: --snapshots 500, or --snapshots none for no limit")
    return given


def _short(limits: Mapping[str, Any]) -> str:
    set_ = [
        f"{name[4:].replace('_', ' ')} {_amount(name, value)}"
        for name, value in limits.items()
        if value is not None
    ]
    return ", ".join(set_) or "none"


def _amount(name: str, value: Any) -> Any:
    if value is None:
        return "none"
    return show.size(value) if name == "max_bytes" else value


def _told(asked: Namespace, one: Any, words: str) -> int:
    if asked.output == "json":
        show.data(one)
    else:
        show.note(words)
    return 0


def _shown(asked: Namespace, one: Any, pairs: tuple[tuple[str, str], ...]) -> int:
    if asked.output == "json":
        show.data(one)
        return 0
    show.fields(pairs)
    print()
    rows = [
        (
            _WORDS[name],
            _amount(name, one["used"][_USED[name]] if name in _USED else "-"),
            _amount(name, limit),
        )
        for name, limit in one["limits"].items()
    ]
    show.table(("WHAT", "USED", "LIMIT"), rows, "")
    return 0


def _table(asked: Namespace, found: Any, heads: tuple[str, ...], rows: list[Any], none: str) -> int:
    if asked.output == "json":
        show.data(found)
    else:
        show.table(heads, rows, none)
    return 0
