"""The grammar of `stillframe user`."""

import argparse

from stillframe.cli.account_grammar import RIGHTS, ROLES
from stillframe.cli.grammar import Verb, listed, owned

A_USER = "login (/acme/kim), id, or a name that only one has"


def grow(verb: Verb) -> None:
    """The verbs of users."""
    create = verb(
        "create", "users.create", "make a user, who changes the password at the first login", changes=True
    )
    create.add_argument("name", metavar="NAME", help="a-z A-Z 0-9 . _ -")
    create.add_argument("--account", required=True, metavar="ACCOUNT", help="name or id")
    create.add_argument("--role", choices=ROLES, default="user", help="(user)")
    _wish(create)
    _password(create)
    table = verb("list", "users.show_list", "list users by name")
    owned(table)
    table.add_argument("-q", metavar="TEXT", help="part of the name, the display name or the email")
    table.add_argument("--disabled", action=argparse.BooleanOptionalAction, help="only those, or the others")
    listed(table)
    _of_one(verb, "show", "show_one", "show one user")
    edit = _of_one(verb, "edit", "edit", "change a user; what is not given stays", changes=True)
    edit.add_argument("--role", choices=ROLES)
    _wish(edit)
    edit.add_argument("--all-rights", action="store_true", help="all of the role's again")
    edit.add_argument("--no-email", action="store_true")
    edit.add_argument("--no-expiry", action="store_true", help="it does not end by itself")
    password = _of_one(
        verb, "password", "set_password", "set another password, and end all its logins", changes=True
    )
    _password(password)
    _of_one(verb, "disable", "disable", "let it log in no more, and end all its logins", changes=True)
    _of_one(verb, "enable", "enable", "let it log in again", changes=True)
    delete = _of_one(verb, "delete", "delete", "remove it; what it did stays under its name", changes=True)
    delete.add_argument("--yes", action="store_true", help="do not ask")


def _of_one(
    verb: Verb, name: str, command: str, text: str, *, changes: bool = False
) -> argparse.ArgumentParser:
    one = verb(name, f"users.{command}", text, changes=changes)
    one.add_argument("user", metavar="USER", help=A_USER)
    return one


def _wish(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--display-name", metavar="TEXT", help="any words in any script")
    verb.add_argument("--email", metavar="ADDRESS")
    verb.add_argument("--right", action="append", choices=RIGHTS, help="only these of its role's; several")
    verb.add_argument(
        "--expires", metavar="TIME", help="7d, or ISO 8601, such as 2027-01-31: no login from then on"
    )


def _password(verb: argparse.ArgumentParser) -> None:
    verb.epilog = "The password is asked for, or read from stdin: in an argument others would see it."
    verb.add_argument("--generate", action="store_true", help="make one up, and print it, this once")
