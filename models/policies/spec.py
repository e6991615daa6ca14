"""What a policy's row says it asks for: written by this version, by a newer one, or damaged."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from models.base import AnyRow
from stillframe.errors import Invalid
from stillframe.policies.as_json import policy_from_json
from stillframe.policies.policy import Policy

Made = TypeVar("Made")


def read(spec: Any) -> Policy:
    """Raises Invalid if it cannot be read here."""
    wish = policy_from_json(spec)
    if not wish.schedules:
        raise Invalid(detail="policy has no schedules")
    return wish


def why_not(spec: Any) -> str | None:
    """Why it cannot be read, if so."""
    try:
        read(spec)
    except Invalid as error:
        return unreadable(error)
    return None


def unreadable(error: Invalid) -> str:
    """The words for a policy that cannot be read."""
    return f"what it asks for cannot be read here: {error.context['detail']}"


@dataclass(frozen=True)
class Batch(Generic[Made]):
    """What is made of rows; and the rows of policies that cannot be read, with the reason by policy."""

    items: list[Made]
    bad: list[AnyRow]
    unreadable: Mapping[UUID, str]

    @property
    def is_empty(self) -> bool:
        """Whether there were no rows at all."""
        return not (self.items or self.bad)


def batch(rows: Iterable[AnyRow], made: Callable[[AnyRow], Made]) -> Batch[Made]:
    """What is made of each row: one that cannot be read keeps no other from its own."""
    items: list[Made] = []
    bad: list[AnyRow] = []
    why: dict[UUID, str] = {}
    for row in rows:
        try:
            items.append(made(row))
        except Invalid as error:
            bad.append(row)
            why[row.policy_id] = unreadable(error)
    return Batch(items, bad, why)
