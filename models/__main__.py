"""`python -m models upgrade|check|key [read_only]|user NAME`: the database of the settings from the command line.

`upgrade` applies the missing migrations; `check` says whether any is missing; `key` makes an API key of the first
administrator and prints it, this once; `key read_only` one that may look at everything and change nothing. `user`
makes a person who logs in and may do everything, or lets that one in again; the password is asked for, or read from stdin.
"""

import sys

from sqlalchemy import Engine

from models.session import make_engine, transaction
from models.tenants.keys import make_key
from models.tenants.tables import ADMIN_ACCOUNT
from models.upgrade import is_current, upgrade
from stillframe.cli.secret import typed_password
from stillframe.errors import StillframeError
from stillframe.passwords import check_password
from stillframe.rights import Role
from stillframe.settings import Settings

USAGE = "usage: python -m models upgrade | check | key [read_only] | user NAME"

KEYS = {
    ("key",): (Role.ROOT, "first administrator"),
    ("key", "read_only"): (Role.READ_ONLY, "reader"),
}
KNOWN = (["upgrade"], ["check"], *map(list, KEYS))


def main(arguments: list[str]) -> int:
    """Exit code 0 when the database is (now) current, 1 when `check` finds it is not, 2 on wrong usage."""
    settings = Settings.from_env()
    person = len(arguments) == 2 and arguments[0] == "user" and not arguments[1].startswith("-")
    if not (arguments in KNOWN or person) or not settings.database_url:
        sys.stderr.write((USAGE if settings.database_url else "STILLFRAME_DATABASE_URL is not set") + "\n")
        return 2
    engine = make_engine(settings.database_url)
    if arguments[0] == "key":
        role, name = KEYS[tuple(arguments)]
        with transaction(engine) as session:
            key, _ = make_key(session, ADMIN_ACCOUNT, role, name)
        sys.stdout.write(f"{key}\n")
        return 0
    if person:
        return _let_in(engine, arguments[1])
    if arguments == ["upgrade"]:
        upgrade(engine)
    current = is_current(engine)
    sys.stdout.write("current\n" if current else "migrations are missing: python -m models upgrade\n")
    return 0 if current else 1


def _let_in(engine: Engine, name: str) -> int:
    # Here: who upgrades tables needs nothing that hashes passwords.
    from models.users.first import let_administrator_in
    from models.users.passwords import Passwords

    try:
        kept = Passwords().hash(check_password(typed_password(), [name]))
        with transaction(engine) as session:
            new = let_administrator_in(session, name, kept)
    except StillframeError as error:
        sys.stderr.write(f"{error.detail}\n{error.remedy}\n")
        return 2
    sys.stdout.write(f"User /{name} {'is made' if new else 'has another password'}, and may do everything.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
