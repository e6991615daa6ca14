"""From a parsed command to an exit code: finds the API, calls the command, words what went wrong."""

import argparse
import sys
from collections.abc import Callable
from importlib import import_module

from stillframe.cli import show
from stillframe.cli.where import Where
from stillframe.client import Producer
from stillframe.errors import ApiUnreachable, NotFound, StillframeError

OK, FAILED, USAGE, SKIPPED, STILL_GOING, REFUSED = range(6)
#: Answers after which nothing was done and nothing is broken; 400 and 422 are a wrong request.
EXIT_OF_STATUS = {400: USAGE, 422: USAGE} | dict.fromkeys((401, 403, 404, 405, 409, 412, 413), REFUSED)

Command = Callable[[Producer, argparse.Namespace], int]


def run(asked: argparse.Namespace) -> int:
    """Does what was asked."""
    try:
        where = Where.find()
        if asked.changes and where.file and asked.output == "table":
            show.note(f"API {where}")
        try:
            return _call(where, asked)
        except StillframeError as error:
            if not (error.status or isinstance(error, ApiUnreachable)):
                raise
            show.problem(where.advice({**error.to_json(), "status": error.status}), asked.output)
            return EXIT_OF_STATUS.get(error.status, FAILED)
    except StillframeError as error:
        show.problem(error.to_json(), asked.output)
        return REFUSED if isinstance(error, NotFound) else USAGE
    except KeyboardInterrupt:
        return 130


def _call(where: Where, asked: argparse.Namespace) -> int:
    module, name = asked.command.split(".")
    command: Command = getattr(import_module(f"stillframe.cli.{module}"), name)
    # A person reads at once that nobody answers, and decides.
    with Producer(where.url, where.key, patience_s=0) as client:
        code = command(client, asked)
    sys.stdout.flush()
    return code
