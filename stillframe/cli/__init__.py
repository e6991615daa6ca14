"""`stillframe`: the same verbs for people. Nothing is imported before it is known to be needed: --help must be quick."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    from stillframe.cli.parser import parse

    asked = parse(sys.argv[1:] if argv is None else list(argv))

    from stillframe.cli.run import run

    return run(asked)
