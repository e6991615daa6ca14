"""Several refusals of one request: all are told, for who asks about many wants to hear of each at once."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from stillframe.errors import DeletionsRefused, StillframeError

#: A snapshot, and why it cannot be deleted.
Refusal = dict[str, Any]


def refused(snapshot: UUID | str, check: Callable[[], object]) -> list[Refusal]:
    """What the check raises about a snapshot, if it does; of a refusal of several, each."""
    try:
        check()
    except DeletionsRefused as several:
        refusals: list[Refusal] = several.context["refusals"]
        return refusals
    except StillframeError as error:
        said = error.to_json()
        return [{"snapshot": str(snapshot)} | {name: said[name] for name in ("code", "detail", "remedy")}]
    return []


def all_refused(refusals: Sequence[Refusal], of: int) -> DeletionsRefused:
    """One error that tells all of them."""
    why = " ".join(dict.fromkeys(one["detail"] for one in refusals))
    count = len({one["snapshot"] for one in refusals})
    return DeletionsRefused(count=count, of=of, why=why, refusals=list(refusals))
