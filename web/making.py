"""What makes something else than a job, once for one Idempotency-Key."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Response
from sqlalchemy.orm import Session

from models.once import make_once, once
from models.session import transaction
from models.tenants.actor import Actor
from stillframe.errors import IdempotencyInFlight, IdempotencyMismatch
from web.house import HouseOf
from web.wishes import IdempotencyKey

REPLAYED = {
    "description": "`true` when an earlier request with this idempotency key had made it",
    "schema": {"type": "string", "enum": ["true"]},
}
ONCE = (IdempotencyMismatch(key="nightly-2026-11-23"), IdempotencyInFlight(key="nightly-2026-11-23"))


class Maker:
    """Part of a route that makes something: it knows the request's key, and tells in the answer where that is."""

    def __init__(self, house: HouseOf, response: Response, idempotency_key: IdempotencyKey = None) -> None:
        self._house, self._response, self._key = house, response, idempotency_key
        #: Whether an earlier request with the same key had made it.
        self.replayed = False

    def make(
        self, actor: Actor, request: tuple[Any, ...], by: Callable[[Session], object], at: str | None = None
    ) -> str:
        """What `by` returns as text, or what it returned to the first request with this key.

        `request` is what is asked for, with words for the route; `at` is the list that has it, if that text is an id.
        Raises IdempotencyMismatch, IdempotencyInFlight, and what `by` raises.
        """
        asked = once(actor, self._key, *request)
        with transaction(self._house.engine) as session:
            made = make_once(session, asked, lambda: by(session))
        self.replayed = made.replayed
        replayed_or_not(self._response, replayed=made.replayed)
        if at is not None:
            self._response.headers["Location"] = f"{at}/{made.what}"
        return made.what


Making = Annotated[Maker, Depends(Maker)]


def replayed_or_not(response: Response, *, replayed: bool) -> None:
    """The header of an answer to a request that was sent before."""
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"


def made(status: int, model: Any, location: str | None = None) -> dict[int | str, dict[str, Any]]:
    """How the answer of a route that makes something is declared; `location` is an example of where it is."""
    headers: dict[str, Any] = {"Idempotency-Replayed": REPLAYED}
    if location is not None:
        headers["Location"] = {
            "description": "Where it is to be looked at",
            "schema": {"type": "string", "examples": [location]},
        }
    return {status: {"model": model, "headers": headers}}
