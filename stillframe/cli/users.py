"""`stillframe user ...` and `stillframe whoami`."""

from argparse import Namespace
from secrets import token_urlsafe
from typing import Any

from stillframe.cli import show
from stillframe.cli.lists import items
from stillframe.cli.refs import user_ref
from stillframe.cli.secret import typed_password
from stillframe.cli.sure import sure
from stillframe.cli.usage import Usage
from stillframe.client import Producer
from stillframe.client.answers import User

OK, REFUSED = 0, 5
#: Random bytes of a password that is made up: 20 characters.
_BYTES = 15


def create(client: Producer, asked: Namespace) -> int:
    """`user create`."""
    password = _password(asked)
    made = client.create_user(asked.account, asked.name, password, role=asked.role, **_wishes(asked))
    return _with_password(asked, made, password, "is made")


def show_list(client: Producer, asked: Namespace) -> int:
    """`user list`."""
    of = {"account": asked.account, "domain": asked.domain, "q": asked.q, "disabled": asked.disabled}
    found = items(client, client.users, asked, **of)
    if asked.output == "json":
        show.data(found)
        return OK
    rows = [
        (
            *(one["login"], one["display_name"], one["account"], one["role"], _rights(one)),
            "yes" if one["opens"] else "no",
            *(show.time(one["last_login_at"]), show.time(one["expires_at"]), show.Id(one["id"])),
        )
        for one in found
    ]
    heads = ("LOGIN", "NAME", "ACCOUNT", "ROLE", "RIGHTS", "OPENS", "LAST LOGIN", "EXPIRES", "ID")
    show.table(heads, rows, "No users. `stillframe user create --help` shows how one is made.")
    return OK


def show_one(client: Producer, asked: Namespace) -> int:
    """`user show`."""
    one = client.user(user_ref(client, asked.user))
    if asked.output == "json":
        show.data(one)
    else:
        show.fields(_fields(one))
    return OK


def edit(client: Producer, asked: Namespace) -> int:
    """`user edit`."""
    changes = _wishes(asked) | ({"role": asked.role} if asked.role else {})
    for field, taken_away in (
        *(("scopes", asked.all_rights), ("email", asked.no_email)),
        ("expires_at", asked.no_expiry),
    ):
        if taken_away:
            changes[field] = None
    if not changes:
        raise Usage(detail="nothing is to be changed; --help shows what can be")
    return _told(asked, client.edit_user(user_ref(client, asked.user), **changes), "is changed")


def set_password(client: Producer, asked: Namespace) -> int:
    """`user password`."""
    user, password = user_ref(client, asked.user), _password(asked)
    return _with_password(asked, client.set_user_password(user, password), password, "has another password")


def disable(client: Producer, asked: Namespace) -> int:
    """`user disable`."""
    return _told(asked, client.disable_user(user_ref(client, asked.user)), "does not log in any more")


def enable(client: Producer, asked: Namespace) -> int:
    """`user enable`."""
    return _told(asked, client.enable_user(user_ref(client, asked.user)), "may log in again")


def delete(client: Producer, asked: Namespace) -> int:
    """`user delete`."""
    one = client.user(user_ref(client, asked.user))
    if not sure(asked, lambda: f"Delete user {one['login']} ({one['display_name']})?"):
        return REFUSED
    client.delete_user(one["id"])
    return _told(asked, one, "is deleted")


def whoami(client: Producer, asked: Namespace) -> int:
    """`whoami`."""
    one = client.me()
    if asked.output == "json":
        show.data(one)
        return OK
    key = one["key"]
    show.fields(
        (
            *(("Account", one["account"]["name"]), ("Domain", one["domain"]), ("Role", one["role"])),
            ("Rights", ", ".join(one["rights"]) or "looking only"),
            ("Key", f"{key['prefix']}... ({key['name']})" if key else None),
            ("Expires", show.time(key["expires_at"]) if key else None),
        )
    )
    return OK


def _password(asked: Namespace) -> str:
    return token_urlsafe(_BYTES) if asked.generate else typed_password()


def _with_password(asked: Namespace, one: User, password: str, words: str) -> int:
    """A password that was made up goes alone to stdout, so that it can be taken from there."""
    if not asked.generate:
        return _told(asked, one, words)
    if asked.output == "json":
        show.data({**one, "password": password})
        return OK
    print(password)
    show.note(
        f"User {one['login']} {words}. The password is not shown again; it is changed at the next login."
    )
    return OK


def _told(asked: Namespace, one: User, words: str) -> int:
    if asked.output == "json":
        show.data(one)
    else:
        show.note(f"User {one['login']} {words}.")
    return OK


def _wishes(asked: Namespace) -> dict[str, Any]:
    wishes = {
        "display_name": asked.display_name,
        "email": asked.email,
        "scopes": asked.right,
        "expires_at": asked.expires,
    }
    return {name: value for name, value in wishes.items() if value is not None}


def _rights(one: User) -> str:
    if not one["rights"]:
        return "looking only"
    return "all of its role" if one["scopes"] is None else ",".join(one["rights"])


def _fields(one: User) -> tuple[tuple[str, Any], ...]:
    return (
        *(("Login", one["login"]), ("Id", one["id"]), ("Name", one["display_name"]), ("Email", one["email"])),
        *(("Account", one["account"]), ("Role", one["role"])),
        ("Rights", ", ".join(one["rights"]) or "looking only"),
        ("Password", "to be changed at the next login" if one["must_change_password"] else "their own"),
        *(("Set", show.time(one["password_set_at"])), ("Last login", show.time(one["last_login_at"]))),
        *(("Made", show.time(one["created_at"])), ("By", one["created_by"])),
        *(("Expires", show.time(one["expires_at"])), ("Disabled", show.time(one["disabled_at"]))),
    )
