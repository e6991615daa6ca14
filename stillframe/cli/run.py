"""From a parsed command to an exit code: finds the API, calls the command, words what went wrong."""

import argparse
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from stillframe.cli import show
from stillframe.cli.usage import Usage
from stillframe.client import Client, ProblemError
from stillframe.errors import NotFound, StillframeError
from stillframe.settings import Settings

OK, FAILED, USAGE, SKIPPED, STILL_GOING, REFUSED = range(6)
#: Answers after which nothing was done and nothing is broken; 400 and 422 are a wrong request.
EXIT_OF_STATUS = {400: USAGE, 422: USAGE} | dict.fromkeys((401, 403, 404, 405, 409, 412, 413), REFUSED)

Command = Callable[[Client, argparse.Namespace], int]


def run(asked: argparse.Namespace) -> int:
    """Does what was asked."""
    try:
        return _call(asked)
    except ProblemError as problem:
        show.problem(problem.to_json(), asked.output)
        return EXIT_OF_STATUS.get(problem.status, FAILED)
    except StillframeError as error:
        show.problem(error.to_json(), asked.output)
        return REFUSED if isinstance(error, NotFound) else USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _call(asked: argparse.Namespace) -> int:
    settings = _settings()
    module, name = asked.command.split(".")
    command: Command = getattr(import_module(f"stillframe.cli.{module}"), name)
    with Client(settings.url, settings.key) as client:
        code = command(client, asked)
    sys.stdout.flush()
    return code


def _settings() -> Settings:
    try:
        return Settings.from_env({**_stack_env(Path.cwd()), **os.environ})
    except ValueError as error:
        raise Usage(detail=f"{error}.") from error


def _stack_env(folder: Path) -> dict[str, str]:
    """What `make up` wrote, here or in the nearest folder above; nothing if there is no such file."""
    for place in (folder, *folder.parents):
        try:
            text = (place / "var" / "stack.env").read_text("utf-8")
        except OSError:
            continue
        pairs = (line.removeprefix("export ").partition("=") for line in text.splitlines() if "=" in line)
        return {
            name.strip(): value.strip().strip("'\"") for name, _, value in pairs if not name.startswith("#")
        }
    return {}
