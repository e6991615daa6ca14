"""How things look: tables that align in any script, sizes, times, problems. Data goes to stdout, words about it to stderr."""

import json
import sys
import unicodedata
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from shutil import get_terminal_size
from typing import Any

from stillframe import counting

Json = Mapping[str, Any]

#: Characters of one piece of evidence that are shown to people.
EVIDENCE = 300
#: Characters of an id's end that tell it apart.
SHORT = 8

#: Several snapshots that one job deletes: the word of where it is done, and that of people.
_PRUNE, _DELETE = "prune_snapshots", "delete_snapshots"


class Id(str):
    """An id in a table: on a terminal that is too narrow for whole ids, its end is shown, which every command takes."""

    __slots__ = ()


def data(value: Any) -> None:
    """One JSON value, readable by people too."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def note(text: str) -> None:
    """A sentence beside the data."""
    print(text, file=sys.stderr)


def told(asked: Namespace, one: Any, words: str) -> int:
    """What was done: a sentence for people, the thing itself for programs. Returns the exit code for done."""
    if asked.output == "json":
        data(one)
    else:
        note(plain(words))
    return 0


def listed(
    asked: Namespace, found: Any, heads: Sequence[str], rows: Iterable[Sequence[Any]], none: str
) -> int:
    """A list: a table for people, the items for programs. Returns the exit code for done."""
    if asked.output == "json":
        data(found)
    else:
        table(heads, rows, none)
    return 0


def problem(error: Json, output: str) -> None:
    """What went wrong and what to do about it; for programs the whole object."""
    if output == "json":
        print(json.dumps(error, ensure_ascii=False, indent=2), file=sys.stderr)
        return
    note(plain(f"{error['detail']}"))
    if error.get("remedy"):
        note(plain(f"{error['remedy']}"))
    if "evidence" in (error.get("remedy") or "").lower():
        for line in _evidence(error.get("evidence") or {}):
            note(f"  {plain(line)}")


def _evidence(evidence: Json) -> Iterator[str]:
    """What a remedy points at. Of a long value the beginning: all of it comes with -o json."""
    if isinstance(refusals := evidence.get("refusals"), list):
        yield from (f"{one['snapshot']}: {one['detail']} {one['remedy']}" for one in refusals)
        return
    for name, value in evidence.items():
        if name == "fields" and isinstance(value, list):
            yield from (f"{field['where']}: {field['why']}" for field in value)
        elif name not in {"summary", "detail"}:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{name}: {text if len(text) <= EVIDENCE else text[:EVIDENCE] + '...'}"


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], none: str) -> None:
    """Rows under heads; `none` is said, on stderr, when there are none."""
    whole = list(rows)
    if not whole:
        note(none)
        return
    lines = _aligned(heads, whole)
    if sys.stdout.isatty() and max(map(width, lines)) > get_terminal_size().columns:
        cut = [[short(cell) if isinstance(cell, Id) else cell for cell in row] for row in whole]
        lines = _aligned(heads, cut)
    for line in lines:
        print(line)


def _aligned(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    cells = [heads, *([plain(cell) for cell in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(pad, line, widths)).rstrip() for line in cells]


def short(id_: str) -> str:
    """The end of an id."""
    return id_[-SHORT:]


def fields(pairs: Iterable[tuple[str, Any]]) -> None:
    """One thing: a name and a value a line; what is not there is left out."""
    there = [(name, plain(value)) for name, value in pairs if value not in (None, "", [], ())]
    size = max(width(name) for name, _ in there)
    for name, value in there:
        print(f"{pad(name, size)}  {value}")


def width(text: str) -> int:
    """Columns of a terminal: Hangul and its like take two, marks that sit on a letter none."""
    return sum(_columns(letter) for letter in text)


def _columns(letter: str) -> int:
    if unicodedata.category(letter) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def pad(text: str, size: int) -> str:
    """The text and as many blanks as it lacks."""
    return text + " " * (size - width(text))


def plain(value: Any) -> str:
    """Text that can do nothing to a terminal: control characters are shown, not sent."""
    text = "-" if value is None else str(value)
    return "".join(
        letter if unicodedata.category(letter) not in {"Cc", "Cs"} else _spelled(letter) for letter in text
    )


def _spelled(letter: str) -> str:
    return " " if letter in "\n\t" else "\N{REPLACEMENT CHARACTER}"


def size(count: int | None) -> str:
    """`1.5 GiB`."""
    return "-" if count is None else counting.size(count)


def time(at: str | None) -> str:
    """An instant in the local zone of whoever looks."""
    return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}" if at else "-"


def took(seconds: float) -> str:
    """How long something has taken: `0.4 s`, and from ten seconds on as `span` has it."""
    return f"{seconds:.1f} s" if seconds < 9.95 else span(seconds)


def span(seconds: float) -> str:
    """`3 s`, `4 min 10 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def seconds(at: str) -> float:
    """An instant as seconds, to be subtracted."""
    return datetime.fromisoformat(at).timestamp()


def kind(job: Json) -> str:
    """What a job does, in the words of who asked for it: people delete several at once, policies prune."""
    by_policy = str(job.get("requested_by") or "").startswith("policy:")
    return str(job["kind"]) if by_policy or job["kind"] != _PRUNE else _DELETE


def kind_asked(text: str) -> str:
    """A kind of job as it is called where it is done."""
    return _PRUNE if text == _DELETE else text
