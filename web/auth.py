"""Every route under /v1 needs a key, and those that change something one that may."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from models.account import Role
from models.actor import Actor
from stillframe.errors import Forbidden, KeyMissing, KeyRefused
from web.house import House, HouseOf

_bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer <key>`.")

#: What a key that may only read can ask.
READING = frozenset({"GET", "HEAD", "OPTIONS"})
#: How the path of a route ends that only tells what would be done.
PLAN = ":plan"


async def actor(
    request: Request,
    house: HouseOf,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Actor:
    """Who is asking; raises KeyMissing, KeyRefused, or Forbidden when a key that may only read asks for a change."""
    if credentials is None:
        raise KeyMissing
    key = credentials.credentials
    lately = house.keys.known(key)
    found = lately if lately is not None else await run_in_threadpool(house.keys.verify, key)
    if found.role is Role.READ_ONLY and not _only_reads(request):
        raise Forbidden
    return found


def _only_reads(request: Request) -> bool:
    # By the route, not by what was typed into the path.
    return request.method in READING or request.scope["route"].path.endswith(PLAN)


ActorOf = Annotated[Actor, Depends(actor)]


async def still_welcome(request: Request, house: House) -> bool:
    """Whether the key of a request that goes on for long is still good."""
    try:
        await actor(request, house, await _bearer(request))
    except (KeyMissing, KeyRefused, Forbidden):
        return False
    return True
