"""Every route under /v1 says which right it needs: `actor: Reader`, or `actor: Annotated[Actor, needs(Right.CREATE)]`."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from models.tenants.actor import Actor
from stillframe.errors import (
    Forbidden,
    KeyMissing,
    KeyRefused,
    PasswordToBeChanged,
    SessionNeeded,
    SessionRefused,
)
from stillframe.operations import OPERATIONS
from stillframe.rights import Right
from web.browser import COOKIE, PLAIN_COOKIE, check_same_origin, token_of
from web.house import House, HouseOf

_bearer = HTTPBearer(
    auto_error=False, scheme_name="key", description="An API key: `Authorization: Bearer <key>`."
)
_cookie = APIKeyCookie(
    name=COOKIE,
    auto_error=False,
    scheme_name="login",
    description=f"What `POST /v1/login` set. Over plain http its name is `{PLAIN_COOKIE}`. What changes something has to "
    "come from a page of the same origin, as browsers say by `Sec-Fetch-Site` or `Origin`.",
)

#: What comes of these outlives the key: other keys, users, policies, webhooks. So it is asked once more whether that still opens,
#: lest somebody whose key was just revoked make themselves another.
LASTING = frozenset({Right.ACCOUNT, Right.POLICY, Right.WEBHOOK})

#: Any of the rights that jobs are asked for with: the job at hand says which one it has to be.
OF_A_JOB = tuple(sorted({operation.right for operation in OPERATIONS.values()}))


async def actor(
    request: Request,
    house: HouseOf,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    _: Annotated[str | None, Depends(_cookie)],
) -> Actor:
    """Who is asking, by a key or else by a login's cookie; raises KeyMissing, KeyRefused, SessionRefused or CrossSite."""
    if credentials is not None:
        key = credentials.credentials
        lately = house.keys.known(key)
        return lately if lately is not None else await run_in_threadpool(house.keys.verify, key)
    token = token_of(request)
    if token is None:
        raise KeyMissing
    check_same_origin(request)
    return await run_in_threadpool(house.logins.verify, token)


class Needs:
    """A dependency that lets through who has one of these rights; with none of them, whoever has a key may look.

    `first`: also who is to change their password first. `person`: only who is logged in.
    """

    def __init__(self, rights: tuple[Right, ...], *, first: bool = False, person: bool = False) -> None:
        self.rights = rights
        self.first = first
        self.person = person

    async def __call__(self, house: HouseOf, actor: Annotated[Actor, Depends(actor)]) -> Actor:
        """Who is asking; raises Forbidden, PasswordToBeChanged, SessionNeeded, or KeyRefused."""
        if actor.must_change and not self.first:
            raise PasswordToBeChanged
        if self.person and actor.session_id is None:
            raise SessionNeeded
        if self.rights and actor.rights.isdisjoint(self.rights):
            raise Forbidden(right=" or ".join(self.rights))
        if actor.key_id is not None and not LASTING.isdisjoint(self.rights):
            await run_in_threadpool(house.keys.check, actor.key_id)
        return actor


def needs(*rights: Right) -> Any:
    """For a route that changes something: who asks has to have one of these rights."""
    return Depends(Needs(rights))


Reader = Annotated[Actor, needs()]
#: For what everybody may see and do of themselves.
Myself = Annotated[Actor, Depends(Needs((), first=True))]
#: The same for what a key has not: a password, logins.
Person = Annotated[Actor, Depends(Needs((), first=True, person=True))]
#: Without a key: who logs in has none.
OPEN = frozenset({"/v1/login"})


async def still_welcome(request: Request, house: House, before: Actor) -> bool:
    """Whether the key or the login of a request that goes on for long is still good, and sees what it saw.

    It is no use of the login.
    """
    credentials, token = await _bearer(request), token_of(request)
    try:
        if credentials is None and token is not None:
            now = await run_in_threadpool(house.logins.verify, token, used=False)
        else:
            now = await actor(request, house, credentials, None)
    except (KeyMissing, KeyRefused, SessionRefused):
        return False
    return (now.role, now.account_id, now.domain) == (before.role, before.account_id, before.domain)


def check_declared(app: FastAPI) -> None:
    """Raises RuntimeError for a route under /v1 that does not say what it needs."""
    for route, needed in declared(app):
        if needed is None and route.path.startswith("/v1") and route.path not in OPEN:
            raise RuntimeError(
                f"{sorted(route.methods or ())} {route.path} does not say which right it needs"
            )


def declared(app: FastAPI) -> Iterator[tuple[APIRoute, tuple[Right, ...] | None]]:
    """Each route with the rights of which it needs one; None for one that says nothing."""
    for route in app.state.routes:
        if isinstance(route, APIRoute):
            said = (one.call for one in route.dependant.dependencies)
            yield route, next((call.rights for call in said if isinstance(call, Needs)), None)
