"""docs/problems.md: every code, what it means and what to do about it."""

from itertools import groupby

from stillframe.catalogue import CATALOGUE, meaning_of
from stillframe.errors import StillframeError
from web.problems import status_of_kind

_HEAD = """\
# Problems

Made by `make made` from `stillframe/errors/`; not to be changed by hand.

Whatever is refused or fails has a code that stays as it is from version to version, one plain sentence and a remedy. Over
HTTP it is a problem of RFC 9457 (`application/problem+json`): its `type` is `/problems/<code>`, which answers with the line
below, and `evidence` holds the names and numbers of the case, by the words in braces. A job that did not end well has the
same in its `error`; the status does not apply there. In Python it is the class of `stillframe.errors` with that code.

To ask again without change makes sense for `not_now` codes, 429, 503 and `idempotency.in_flight` only.
"""

_COLUMNS = "| code | status | meaning | remedy |\n|---|---|---|---|\n"


def problems() -> str:
    """The page."""
    codes = sorted(CATALOGUE, key=lambda code: ("." in code, code))
    parts = [_HEAD]
    for subject, of in groupby(codes, key=lambda code: code.split(".")[0] if "." in code else "families"):
        parts.append(
            f"\n## {subject.replace('_', ' ').capitalize()}\n\n| code | status | meaning | remedy |\n|---|---|---|---|\n"
        )
        parts.extend(_line(CATALOGUE[code]) for code in of)
    return "".join(parts)


def _line(error: type[StillframeError]) -> str:
    cells = (f"`{error.code}`", str(status_of_kind(error)), meaning_of(error), error.remedy)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |\n"
