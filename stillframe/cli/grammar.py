"""What verbs of all nouns have in common. Knows argparse and nothing else, so that --help stays light."""

import argparse
from collections.abc import Callable

#: Makes a verb of one noun: `verb_of` with that.
Verb = Callable[..., argparse.ArgumentParser]

#: `typing` is left out: importing it costs a tenth of --help. Type checkers take this name as true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def sentence(text: str) -> str:
    """As a description has it."""
    return text[0].upper() + text[1:] + "."


def verb_of(
    verbs: "Verbs", name: str, command: str, text: str, *, changes: bool = False
) -> argparse.ArgumentParser:
    """One verb of a noun. `command` names what does it: `module.function`; `changes` is for what is no mere looking."""
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=sentence(text), allow_abbrev=False
    )
    verb.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="for people or programs"
    )
    verb.set_defaults(command=command, verb=verb, changes=changes)
    return verb


def listed(verb: argparse.ArgumentParser) -> None:
    """The options of a list."""
    verb.add_argument("--limit", type=count, default=50, metavar="N", help="at most so many (50)")
    verb.add_argument("--all", action="store_true", help="all of them, however many")


def owned(verb: argparse.ArgumentParser) -> None:
    """The options of a list that says whose things are."""
    verb.add_argument("--account", metavar="ACCOUNT", help="of this account: name, DOMAIN/NAME, or id")
    verb.add_argument("--domain", metavar="PATH", help="of this domain and those below it")


def job_options(verb: argparse.ArgumentParser) -> None:
    """The options of what becomes a job."""
    verb.add_argument(
        "--wait", action="store_true", help="wait for the job's end and show how far it is; Ctrl-C detaches"
    )
    verb.add_argument(
        "--dry-run",
        action="store_true",
        help="show what it would do and cost; nothing is done. Exit code 5 if it would be refused",
    )
    verb.add_argument("--idempotency-key", metavar="KEY", help="asking twice with one key asks once")
    verb.add_argument(
        "--start-within",
        type=seconds,
        metavar="TIME",
        help="not begun by then, the job expires and nothing is done: 90s, 15m, 12h, 2d",
    )
    verb.add_argument(
        "--timeout",
        type=seconds,
        metavar="TIME",
        help="not ended so long after its beginning, it is stopped",
    )


def seconds(text: str) -> float:
    """A length of time, 1 s to 30 days."""
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:])
    try:
        long = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 90s, 15m, 12h or 2d") from None
    if not 1 <= long <= 30 * 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range; 1s to 30d can be had")
    return long


def count(text: str) -> int:
    """How many."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)
