"""`python -m models upgrade|check|key`: the database of the settings from the command line.

`upgrade` applies the missing migrations; `check` says whether any is missing; `key` makes an API key of the first
administrator and prints it, this once.
"""

import sys

from models.account import ADMIN_ACCOUNT, Role
from models.keys import make_key
from models.session import make_engine, transaction
from models.upgrade import is_current, upgrade
from stillframe.settings import Settings

USAGE = "usage: python -m models upgrade | check | key"


def main(arguments: list[str]) -> int:
    """Exit code 0 when the database is (now) current, 1 when `check` finds it is not, 2 on wrong usage."""
    settings = Settings.from_env()
    if arguments not in (["upgrade"], ["check"], ["key"]) or not settings.database_url:
        sys.stderr.write((USAGE if settings.database_url else "STILLFRAME_DATABASE_URL is not set") + "\n")
        return 2
    engine = make_engine(settings.database_url)
    if arguments == ["key"]:
        with transaction(engine) as session:
            key, _ = make_key(session, ADMIN_ACCOUNT, Role.ROOT, "first administrator")
        sys.stdout.write(f"{key}\n")
        return 0
    if arguments == ["upgrade"]:
        upgrade(engine)
    current = is_current(engine)
    sys.stdout.write("current\n" if current else "migrations are missing: python -m models upgrade\n")
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
