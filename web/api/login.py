"""To log in by name and password, to see who one is, and to end one's logins."""

from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from models.queries import users as rows
from models.queries.paging import Wanted
from models.session import transaction
from models.tenants.actor import Actor
from models.users import keep
from stillframe.errors import (
    CrossSite,
    DatabaseUnavailable,
    LoginRefused,
    LoginsBusy,
    PasswordInvalid,
    PasswordWrong,
    SessionNeeded,
    SessionNotFound,
    TooManyLogins,
)
from web.auth import Myself, Person
from web.browser import browser_of, check_same_origin, keep_token
from web.described import BODY, PAGES, keyed, problems, wrong_field
from web.house import House, HouseOf
from web.ids import id_or
from web.shapes import Json, Page
from web.user_shapes import Oneself, Session, WishLogin, WishOwnPassword
from web.wishes import wanted

router = APIRouter(prefix="/v1", tags=["login"])

TRIED = (TooManyLogins(retry_after_s=60), LoginsBusy(retry_after_s=3))
NO_SESSION = SessionNotFound(session="01a206ee")
_COOKIE = {
    "description": "The login's token: HttpOnly, SameSite=Strict, and Secure over https.",
    "schema": {
        "type": "string",
        "examples": ["__Host-stillframe=...; HttpOnly; Path=/; SameSite=strict; Secure"],
    },
}


@router.post(
    "/login",
    summary="Log in",
    response_model=Oneself,
    responses={
        200: {"headers": {"Set-Cookie": _COOKIE}},
        **problems(LoginRefused(), CrossSite(), *TRIED, *BODY, wrong_field(), DatabaseUnavailable()),
    },
)
async def login(*, house: HouseOf, request: Request, response: Response, wish: WishLogin) -> Any:
    """The answer's cookie opens what the user may see and do. A login that the browser had before is over.

    After too many tries that failed, of one name or from one address, more are refused for a while (429). What is
    answered does not tell whether there is such a user.
    """
    check_same_origin(request, unsaid=True)
    password = wish.password.get_secret_value()
    token, actor = await house.logins.login(wish.login, password, browser_of(request))
    keep_token(request, response, token)
    return await run_in_threadpool(_oneself, house, actor)


@router.post("/logout", summary="Log out", status_code=204, responses=keyed(CrossSite(), SessionNeeded()))
def logout(*, house: HouseOf, actor: Person, request: Request, response: Response) -> None:
    """The login is over, and the browser forgets its cookie."""
    with suppress(SessionNotFound), transaction(house.engine) as session:
        keep.end_session(session, actor, actor.session_id)
    keep_token(request, response, None)


@router.get("/me", summary="Who am I?", response_model=Oneself, responses=keyed())
def show_me(*, house: HouseOf, actor: Myself, response: Response) -> Any:
    """For keys and for logins: account, domain, role and rights, and until when it opens."""
    response.headers["Cache-Control"] = "no-store"
    return _oneself(house, actor)


@router.post(
    "/me/password",
    summary="Change one's own password",
    response_model=Oneself,
    responses={
        200: {"headers": {"Set-Cookie": _COOKIE}},
        **keyed(
            *(CrossSite(), SessionNeeded(), *BODY, *TRIED, PasswordWrong()),
            PasswordInvalid(why="it is the one that it was"),
        ),
    },
)
async def change_my_password(
    *, house: HouseOf, actor: Person, request: Request, response: Response, wish: WishOwnPassword
) -> Any:
    """All of one's logins end, and this browser gets a new one. The present password is asked for once more."""
    present, new = wish.present.get_secret_value(), wish.wanted.get_secret_value()
    token, again = await house.logins.change_password(actor, present, new, browser_of(request))
    keep_token(request, response, token)
    return await run_in_threadpool(_oneself, house, again)


@router.get(
    "/me/sessions",
    summary="List one's own logins",
    response_model=Page[Session],
    responses=keyed(*PAGES, SessionNeeded()),
)
def list_my_sessions(*, house: HouseOf, actor: Person, wanted: Annotated[Wanted, Depends(wanted)]) -> Any:
    """Those that go on, newest first, with where they came from."""
    return house.read(rows.sessions, actor, wanted, house.logins.lasts)


@router.delete(
    "/me/sessions/{session}",
    summary="End one of one's own logins",
    status_code=204,
    responses=keyed(CrossSite(), SessionNeeded(), NO_SESSION),
)
def end_my_session(
    *, house: HouseOf, actor: Person, session: Annotated[str, Path(description="Its id")]
) -> None:
    """It opens nothing any more."""
    id_ = id_or(session, SessionNotFound(session=session[:80]))
    house.write(keep.end_session, actor, id_)


def _oneself(house: House, actor: Actor) -> Json:
    return house.read(rows.oneself, actor, house.logins.lasts)
