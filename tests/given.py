"""What may be absent by its type, and is there in this test."""

from typing import TypeVar

Thing = TypeVar("Thing")


def given(thing: Thing | None) -> Thing:
    """The thing, which has to be there."""
    assert thing is not None
    return thing
