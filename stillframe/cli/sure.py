"""Asking before something is done that cannot be taken back."""

import sys
from argparse import Namespace
from collections.abc import Callable

from stillframe.cli import show
from stillframe.cli.usage import NeedsYes


def sure(asked: Namespace, question: Callable[[], str]) -> bool:
    """Asks on a terminal; without one, and without --yes, it is a usage error."""
    if asked.yes:
        return True
    if not sys.stdin.isatty():
        raise NeedsYes
    sys.stderr.write(show.plain(question()) + " [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    show.note("Nothing was done.")
    return False
