"""The grammar of `stillframe account`, `domain` and `key`."""

import argparse
from collections.abc import Iterable

from stillframe.cli.grammar import Verb, listed
from stillframe.rights import RIGHTS as OF_ROLE
from stillframe.rights import Right, Role

ROLES = tuple(role.value for role in Role)
RIGHTS = tuple(right.value for right in Right)
AN_ACCOUNT = "name, DOMAIN/NAME, or id"
#: Each with whether a domain has it too.
LIMITS = {"snapshots-a-vm": False, "snapshots": True, "bytes": True, "jobs": False}


def grow_account(verb: Verb) -> None:
    """The verbs of accounts."""
    create = verb("create", "accounts.create", "make an account", changes=True)
    create.add_argument("name", metavar="NAME")
    create.add_argument("--domain", metavar="PATH", help="such as /acme/dev; else your own")
    _once(create)
    table = verb("list", "accounts.show_list", "list accounts")
    table.add_argument("--domain", metavar="PATH", help="in this domain and below it")
    table.add_argument("-q", metavar="TEXT", help="part of the name")
    _deleted_too(table)
    listed(table)
    shown = verb("show", "accounts.show_one", "show one, with what it uses of its limits")
    limit = verb("limit", "accounts.limit", "set how much it may have", changes=True)
    _limits(limit, LIMITS)
    delete = verb("delete", "accounts.delete", "delete it, once nothing is left in it", changes=True)
    delete.add_argument("--yes", action="store_true", help="do not ask")
    for one in (shown, limit, delete):
        one.add_argument("account", metavar="ACCOUNT", help=AN_ACCOUNT)


def grow_domain(verb: Verb) -> None:
    """The verbs of domains."""
    create = verb("create", "domains.create", "make a domain", changes=True)
    create.add_argument("path", metavar="PATH", help="such as /acme/dev: dev below /acme")
    _once(create)
    table = verb("list", "domains.show_list", "list the tree of domains")
    table.add_argument("--below", metavar="PATH", help="this one and those below it")
    _deleted_too(table)
    listed(table)
    shown = verb("show", "domains.show_one", "show one, with what its subtree uses of its limits")
    limit = verb("limit", "domains.limit", "set how much its subtree may have", changes=True)
    _limits(limit, [name for name, of_domain in LIMITS.items() if of_domain])
    delete = verb("delete", "domains.delete", "delete it, once nothing is left in it", changes=True)
    delete.add_argument("--yes", action="store_true", help="do not ask")
    for one in (shown, limit, delete):
        one.add_argument("domain", metavar="DOMAIN", help="path or id")


def grow_key(verb: Verb) -> None:
    """The verbs of keys."""
    create = verb("create", "keys.create", "make a key; it is shown this once", changes=True)
    create.formatter_class = argparse.RawDescriptionHelpFormatter
    create.epilog = "\n".join(("What each role may do, wherever it sees:", *map(_of_role, Role)))
    create.add_argument("account", metavar="ACCOUNT", help=AN_ACCOUNT)
    create.add_argument("--name", required=True, metavar="TEXT", help="who or what uses it")
    create.add_argument("--role", choices=ROLES, default="user", help="(user)")
    create.add_argument("--right", action="append", choices=RIGHTS, help="only these of its role's; several")
    create.add_argument("--expires", metavar="TIME", help="7d, or ISO 8601, such as 2027-01-31")
    _once(create)
    table = verb("list", "keys.show_list", "list keys, newest first: your own, or those below you")
    table.add_argument("--account", metavar="ACCOUNT", help=AN_ACCOUNT)
    table.add_argument("-q", metavar="TEXT", help="part of the name, or the key's beginning")
    listed(table)
    shown = verb("show", "keys.show_one", "show one")
    revoke = verb("revoke", "keys.revoke", "let it open nothing any more", changes=True)
    for one in (shown, revoke):
        one.add_argument("key", metavar="KEY", help="name, its beginning as it is listed, or id")


def _once(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--idempotency-key", metavar="KEY", help="asking twice with one key asks once")


def _deleted_too(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--deleted", action="store_true", help="those that were deleted too")


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
