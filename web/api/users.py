"""Users: people who log in, made and looked after by administrators."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from models.queries import users as rows
from models.queries.paging import Wanted
from models.session import transaction
from models.tenants.actor import Actor
from models.users import keep
from stillframe.errors import (
    BeyondOwn,
    LoginsBusy,
    NameInvalid,
    PasswordInvalid,
    RightsNotOfRole,
    UserIsOneself,
    UserNameAmbiguous,
    UserNameTaken,
    UserNotFound,
)
from web.api.accounts import Admin
from web.auth import Reader
from web.described import BODY, CHANGE, NO_ACCOUNT, OWNED, PAGES, keyed
from web.house import House, HouseOf
from web.making import ONCE, Making, made
from web.shapes import Json, Page
from web.user_shapes import User, WishPassword, WishUser, WishUserEdit
from web.wishes import Filter, wanted

router = APIRouter(prefix="/v1/users", tags=["users"])

UNKNOWN = (
    UserNotFound(user="kim"),
    UserNameAmbiguous(user="kim", candidates="/acme/kim (01a206ee-...), /acme/dev/kim (01a206ef-...)"),
)
BEYOND = BeyondOwn(what="A user of the role root")
NOT_OF_ROLE = RightsNotOfRole(what="A user", role="user", rights="host", has="create, revert, delete")
PLAIN = PasswordInvalid(why="its characters follow one another")
UserPath = Annotated[
    str, Path(description="A user's id, or a name that only one has of those one sees", examples=["kim"])
]


@router.get(
    "",
    summary="List users",
    response_model=Page[User],
    responses=keyed(*PAGES, *OWNED),
)
def list_users(
    *,
    house: HouseOf,
    actor: Reader,
    wanted: Annotated[Wanted, Depends(wanted)],
    account: Filter = None,
    domain: Filter = None,
    login: Annotated[Filter, Query(description="Exactly this one's: /acme/kim")] = None,
    q: Annotated[Filter, Query(description="Part of the name, the display name or the email")] = None,
    disabled: bool | None = None,
) -> Any:
    """Users by name; `domain` means its whole subtree."""
    return house.read(
        rows.users,
        *(actor, wanted),
        account=account,
        domain=domain,
        login=login,
        q=q,
        disabled=disabled,
    )


@router.post(
    "",
    summary="Make a user",
    response_model=User,
    status_code=201,
    responses={
        **made(201, User, "/v1/users/01a206ee-..."),
        **keyed(
            *(*CHANGE, *BODY, *ONCE, *NO_ACCOUNT, UserNameTaken(login="/acme/kim"), BEYOND, NOT_OF_ROLE),
            *(PLAIN, NameInvalid(name="a/b", what="user", why="it has the character '/'")),
            LoginsBusy(retry_after_s=3),
        ),
    },
)
async def create_user(*, house: HouseOf, making: Making, actor: Admin, wish: WishUser) -> Any:
    """A user of an account, never with more rights than who asks. The password is to be changed at the first login.

    Two requests with one idempotency key that differ in the password only are one: nothing is kept of it to compare.
    """
    words = [wish.name, wish.display_name or "", (wish.email or "").partition("@")[0]]
    kept = await house.logins.hash(wish.password.get_secret_value(), words)
    asked = "user", wish.model_dump(exclude={"password"})
    add = partial(_add, actor=actor, wish=wish, kept=kept)
    id_ = await run_in_threadpool(making.make, actor, asked, add, at="/v1/users")
    return await run_in_threadpool(_look, house, actor, UUID(id_))


@router.get("/{user}", summary="Show a user", response_model=User, responses=keyed(*UNKNOWN))
def show_user(*, house: HouseOf, actor: Reader, user: UserPath) -> Any:
    """One user."""
    with transaction(house.engine) as session:
        row, _ = keep.find_user(session, actor, user)
    return _look(house, actor, row.id)


@router.patch(
    "/{user}",
    summary="Change a user",
    response_model=User,
    responses=keyed(*CHANGE, *BODY, *UNKNOWN, BEYOND, NOT_OF_ROLE),
)
def edit_user(*, house: HouseOf, actor: Admin, user: UserPath, wish: WishUserEdit) -> Any:
    """What is left out stays. Role and rights count at once, for logins that go on too."""
    id_ = house.write(keep.edit_user, actor, user, wish.given())
    return _look(house, actor, id_)


@router.post(
    "/{user}/password",
    summary="Set a user's password",
    response_model=User,
    responses=keyed(
        *(*CHANGE, *BODY, *UNKNOWN, BEYOND, PLAIN, LoginsBusy(retry_after_s=3)),
        UserIsOneself(what="set the password of"),
    ),
)
async def set_user_password(*, house: HouseOf, actor: Admin, user: UserPath, wish: WishPassword) -> Any:
    """All the user's logins end. The password is to be changed at the next one."""
    names = await run_in_threadpool(_names, house, actor, user)
    kept = await house.logins.hash(wish.password.get_secret_value(), names)
    change = partial(keep.set_password, user=user, password_hash=kept)
    return await run_in_threadpool(_do, house, actor, change)


@router.post(
    "/{user}/disable",
    summary="Disable a user",
    response_model=User,
    responses=keyed(*CHANGE, *UNKNOWN, UserIsOneself(what="disable")),
)
def disable_user(*, house: HouseOf, actor: Admin, user: UserPath) -> Any:
    """No login any more, and those that go on end at once. Twice is as once."""
    return _do(house, actor, partial(keep.disable_user, user=user))


@router.post(
    "/{user}/enable", summary="Enable a user", response_model=User, responses=keyed(*CHANGE, *UNKNOWN, BEYOND)
)
def enable_user(*, house: HouseOf, actor: Admin, user: UserPath) -> Any:
    """It may log in again, by the password it had. Twice is as once."""
    return _do(house, actor, partial(keep.enable_user, user=user))


@router.delete(
    "/{user}",
    summary="Delete a user",
    status_code=204,
    responses=keyed(*CHANGE, *UNKNOWN, UserIsOneself(what="delete")),
)
def delete_user(*, house: HouseOf, actor: Admin, user: UserPath) -> None:
    """Its logins end at once. What it did stays under its name, which another may have then."""
    house.write(keep.delete_user, actor, user)


def _add(session: Session, actor: Actor, wish: WishUser, kept: str) -> UUID:
    return keep.add_user(
        *(session, actor, wish.account, wish.name, kept),
        role=wish.role,
        scopes=wish.scopes,
        display_name=wish.display_name,
        email=wish.email,
        expires_at=wish.expires_at,
    )


def _names(house: House, actor: Actor, user: str) -> list[str]:
    with transaction(house.engine) as session:
        row, _ = keep.find_user(session, actor, user)
        return [row.name, row.display_name]


def _do(house: House, actor: Actor, change: Callable[[Session, Actor], UUID]) -> Json:
    id_ = house.write(change, actor)
    return _look(house, actor, id_)


def _look(house: House, actor: Actor, id_: UUID) -> Json:
    return house.read(rows.user, actor, id_)
