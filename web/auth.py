"""Every route under /v1 needs a key."""

from typing import Annotated

from fastapi import Depends
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from models.actor import Actor
from stillframe.errors import KeyMissing
from web.house import HouseOf

_bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer <key>`.")


async def actor(
    house: HouseOf, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Actor:
    """Who is asking; raises KeyMissing or KeyRefused."""
    if credentials is None:
        raise KeyMissing
    key = credentials.credentials
    lately = house.keys.known(key)
    return lately if lately is not None else await run_in_threadpool(house.keys.verify, key)


ActorOf = Annotated[Actor, Depends(actor)]
