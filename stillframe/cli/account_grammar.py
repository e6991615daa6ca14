"""The grammar of `stillframe account`, `domain` and `key`."""

import argparse
from collections.abc import Callable, Iterable

from stillframe.rights import RIGHTS as OF_ROLE
from stillframe.rights import Right, Role

Verb = Callable[..., argparse.ArgumentParser]
Listed = Callable[[argparse.ArgumentParser], None]
ROLES = tuple(role.value for role in Role)
RIGHTS = tuple(right.value for right in Right)
#: Each with whether a domain has it too.
LIMITS = {"snapshots-a-vm": False, "snapshots": True, "bytes": True, "jobs": False}


def grow_account(verb: Verb, listed: Listed) -> None:
    """The verbs of accounts."""
    create = verb("create", "accounts.create_account", "make an account", changes=True)
    create.add_argument("name", metavar="NAME")
    create.add_argument("--domain", metavar="PATH", help="such as /acme/dev; else your own")
    table = verb("list", "accounts.list_accounts", "list accounts")
    table.add_argument("--domain", metavar="PATH", help="in this domain and below it")
    table.add_argument("-q", metavar="TEXT", help="part of the name")
    listed(table)
    verb("show", "accounts.show_account", "show one, with what it uses of its limits").add_argument(
        "account", metavar="ACCOUNT", help="name or id"
    )
    limit = verb("limit", "accounts.limit_account", "set how much it may have", changes=True)
    limit.add_argument("account", metavar="ACCOUNT", help="name or id")
    _limits(limit, LIMITS)


def grow_domain(verb: Verb, listed: Listed) -> None:
    """The verbs of domains."""
    create = verb("create", "accounts.create_domain", "make a domain", changes=True)
    create.add_argument("path", metavar="PATH", help="such as /acme/dev: dev below /acme")
    table = verb("list", "accounts.list_domains", "list the tree of domains")
    table.add_argument("--below", metavar="PATH", help="this one and those below it")
    listed(table)
    verb("show", "accounts.show_domain", "show one, with what its subtree uses of its limits").add_argument(
        "domain", metavar="DOMAIN", help="path or id"
    )
    limit = verb("limit", "accounts.limit_domain", "set how much its subtree may have", changes=True)
    limit.add_argument("domain", metavar="DOMAIN", help="path or id")
    _limits(limit, [name for name, of_domain in LIMITS.items() if of_domain])


def grow_key(verb: Verb, listed: Listed) -> None:
    """The verbs of keys."""
    create = verb("create", "accounts.create_key", "make a key; it is shown this once", changes=True)
    create.formatter_class = argparse.RawDescriptionHelpFormatter
    create.epilog = "\n".join(("What each role may do, wherever it sees:", *map(_of_role, Role)))
    create.add_argument("account", metavar="ACCOUNT", help="name or id")
    create.add_argument("--name", required=True, metavar="TEXT", help="who or what uses it")
    create.add_argument("--role", choices=ROLES, default="user", help="(user)")
    create.add_argument("--right", action="append", choices=RIGHTS, help="only these of its role's; several")
    create.add_argument("--expires", metavar="TIME", help="7d, or ISO 8601, such as 2027-01-31")
    table = verb("list", "accounts.list_keys", "list keys, newest first")
    table.add_argument("--account", metavar="ACCOUNT")
    listed(table)
    for name, text, changes in (
        ("show", "show one", False),
        ("revoke", "let it open nothing any more", True),
    ):
        verb(name, f"accounts.{name}_key", text, changes=changes).add_argument(
            "key", metavar="KEY", help="id"
        )


def _of_role(role: Role) -> str:
    lacking = [right.value for right in Right if right not in OF_ROLE[role]]
    if len(lacking) == len(Right):
        return f"  {role:<10} nothing: it looks"
    return f"  {role:<10} " + ("all of these rights" if not lacking else f"all but {', '.join(lacking)}")


def _limits(verb: argparse.ArgumentParser, names: Iterable[str]) -> None:
    for name in names:
        verb.add_argument(
            f"--{name}",
            type=_size if name == "bytes" else _limit,
            metavar="N",
            help="a number, or none" + ("; such as 500GiB too" if name == "bytes" else ""),
            default=argparse.SUPPRESS,
        )


def _size(text: str) -> int | None:
    for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), 1):
        if text.endswith(unit):
            amount = float(text.removesuffix(unit))
            if not 0 <= amount < 2**40:
                raise argparse.ArgumentTypeError("must be 0 or more")
            return int(amount * 1024**power)
    return _limit(text)


def _limit(text: str) -> int | None:
    if text == "none":
        return None
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be 0 or more, or none")
    return number
