"""A password from a person or a pipe: never from an argument, which `ps` shows to everybody."""

import sys
from getpass import getpass

from stillframe.cli.usage import Usage


def typed_password() -> str:
    """Asked for twice on a terminal; else the first line of stdin. Raises Usage."""
    if not sys.stdin.isatty():
        given = sys.stdin.readline().rstrip("\r\n")
        if not given:
            raise Usage(detail="No password came on stdin.")
        return given
    first = getpass("Password: ")
    if getpass("Once more: ") != first:
        raise Usage(detail="The two are not the same.")
    return first
