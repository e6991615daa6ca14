"""Every route under /v1 says which right it needs: `actor: Reader`, or `actor: Annotated[Actor, needs(Right.CREATE)]`."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from models.tenants.actor import Actor
from stillframe.errors import Forbidden, KeyMissing, KeyRefused
from stillframe.operations import OPERATIONS
from stillframe.rights import Right
from web.house import House, HouseOf

_bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer <key>`.")

#: Any of the rights that jobs are asked for with: the job at hand says which one it has to be.
OF_A_JOB = tuple(sorted({operation.right for operation in OPERATIONS.values()}))


async def actor(
    house: HouseOf, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Actor:
    """Who is asking; raises KeyMissing or KeyRefused."""
    if credentials is None:
        raise KeyMissing
    key = credentials.credentials
    lately = house.keys.known(key)
    return lately if lately is not None else await run_in_threadpool(house.keys.verify, key)


class Needs:
    """A dependency that lets through who has one of these rights; with none of them, whoever has a key may look."""

    def __init__(self, rights: tuple[Right, ...]) -> None:
        self.rights = rights

    async def __call__(self, actor: Annotated[Actor, Depends(actor)]) -> Actor:
        """Who is asking; raises Forbidden."""
        if self.rights and actor.rights.isdisjoint(self.rights):
            raise Forbidden(right=" or ".join(self.rights))
        return actor


def needs(*rights: Right) -> Any:
    """For a route that changes something: who asks has to have one of these rights."""
    return Depends(Needs(rights))


Reader = Annotated[Actor, needs()]


async def still_welcome(request: Request, house: House) -> bool:
    """Whether the key of a request that goes on for long is still good."""
    try:
        await actor(house, await _bearer(request))
    except (KeyMissing, KeyRefused):
        return False
    return True


def check_declared(app: FastAPI) -> None:
    """Raises RuntimeError for a route under /v1 that does not say what it needs."""
    for route, needed in declared(app):
        if needed is None and route.path.startswith("/v1"):
            raise RuntimeError(
                f"{sorted(route.methods or ())} {route.path} does not say which right it needs"
            )


def declared(app: FastAPI) -> Iterator[tuple[APIRoute, tuple[Right, ...] | None]]:
    """Each route with the rights of which it needs one; None for one that says nothing."""
    for route in app.state.routes:
        if isinstance(route, APIRoute):
            said = (one.call for one in route.dependant.dependencies)
            yield route, next((call.rights for call in said if isinstance(call, Needs)), None)
