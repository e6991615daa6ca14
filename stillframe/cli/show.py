"""How things look: tables that align in any script, sizes, times, problems. Data goes to stdout, words about it to stderr."""

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

Json = dict[str, Any]


def data(value: Any) -> None:
    """One JSON value, readable by people too."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def note(text: str) -> None:
    """A sentence beside the data."""
    print(text, file=sys.stderr)


def problem(error: Json, output: str) -> None:
    """What went wrong and what to do about it; for programs the whole object."""
    if output == "json":
        print(json.dumps(error, ensure_ascii=False, indent=2), file=sys.stderr)
        return
    note(plain(f"{error['detail']}"))
    if error.get("remedy"):
        note(plain(f"{error['remedy']}"))


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], none: str) -> None:
    """Rows under heads; `none` is said, on stderr, when there are none."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if not cells:
        note(none)
        return
    widths = [max(map(width, column)) for column in zip(heads, *cells, strict=True)]
    for line in (heads, *cells):
        print("  ".join(pad(cell, size) for cell, size in zip(line, widths, strict=True)).rstrip())


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
    if count is None:
        return "-"
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def time(at: str | None) -> str:
    """An instant in the local zone of whoever looks."""
    return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}" if at else "-"


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
