"""`stillframe`: the same verbs for people. Nothing is imported before it is known to be needed: --help must be quick."""

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    try:
        code = _main(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) has seen enough
        for stream in (sys.stdout, sys.stderr):
            _let_go(stream.fileno())
        return 0
    return code


def _main(argv: list[str]) -> int:
    from stillframe.cli.parser import parse

    try:
        asked = parse(argv)
    except SystemExit:  # after --help and --version, which a reader may not want to the end either
        sys.stdout.flush()
        raise

    from stillframe.cli.run import run

    return run(asked)


def _let_go(descriptor: int) -> None:
    """What is still to be written goes nowhere, so that the interpreter's last flush does not fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
