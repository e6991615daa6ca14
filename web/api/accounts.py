"""Accounts: who owns VMs and snapshots, and how much each may have."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from models.queries import accounts as rows
from models.queries.paging import Wanted
from models.tenants import keep, removing
from models.tenants.actor import Actor
from stillframe.errors import (
    AccountInUse,
    AccountNameTaken,
    BeyondOwn,
    NameInvalid,
    Undeletable,
)
from stillframe.rights import Right
from web.account_shapes import Account, WishAccount, WishLimits
from web.auth import Reader, needs
from web.described import BODY, CHANGE, NO_ACCOUNT, NO_DOMAIN, PAGES, keyed
from web.house import HouseOf
from web.making import ONCE, Making, made
from web.shapes import Page
from web.wishes import Filter, wanted

router = APIRouter(prefix="/v1/accounts", tags=["accounts"])

Admin = Annotated[Actor, needs(Right.ACCOUNT)]
AccountPath = Annotated[
    str, Path(description="An account's name, `domain/name`, or id", examples=["acme", "/acme/dev"])
]
Deleted = Annotated[bool, Query(description="Those that were deleted too")]


@router.get("", summary="List accounts", response_model=Page[Account], responses=keyed(*PAGES, NO_DOMAIN))
def list_accounts(
    *,
    house: HouseOf,
    actor: Reader,
    wanted: Annotated[Wanted, Depends(wanted)],
    domain: Filter = None,
    q: Filter = None,
    deleted: Deleted = False,
) -> Any:
    """Accounts by name; `domain` means its whole subtree, `q` a part of the name."""
    return house.read(rows.accounts, actor, wanted, domain, q, deleted=deleted)


@router.post(
    "",
    summary="Make an account",
    response_model=Account,
    status_code=201,
    responses={
        **made(201, Account, "/v1/accounts/01a206ee-..."),
        **keyed(
            *(*CHANGE, *BODY, *ONCE, NO_DOMAIN, AccountNameTaken(account="acme", domain="/acme")),
            NameInvalid(name="a/b", what="account", why="it has the character '/'"),
        ),
    },
)
def create_account(*, house: HouseOf, making: Making, actor: Admin, wish: WishAccount) -> Any:
    """An account in a domain, where its name is its own. It has no key and no VM yet."""
    id_ = making.make(
        actor,
        ("account", wish.model_dump()),
        lambda session: keep.add_account(session, actor, wish.name, wish.domain or actor.domain),
        at="/v1/accounts",
    )
    return house.read(rows.account, actor, id_)


@router.get(
    "/{account:path}", summary="Show an account", response_model=Account, responses=keyed(*NO_ACCOUNT)
)
def show_account(*, house: HouseOf, actor: Reader, account: AccountPath) -> Any:
    """One account, with its limits and what it uses of them; also one that was deleted, if no other has its name."""
    return house.read(rows.account, actor, account)


@router.patch(
    "/{account:path}",
    summary="Limit an account",
    response_model=Account,
    responses=keyed(*CHANGE, *BODY, *NO_ACCOUNT),
)
def limit_account(*, house: HouseOf, actor: Admin, account: AccountPath, wish: WishLimits) -> Any:
    """Sets some of its limits, null for none. What is there already stays."""
    id_ = house.write(keep.limit_account, actor, account, wish.given())
    return house.read(rows.account, actor, str(id_))


@router.delete(
    "/{account:path}",
    summary="Delete an account",
    status_code=204,
    responses=keyed(
        *(*CHANGE, *NO_ACCOUNT, BeyondOwn(what="To delete account acme, which has keys that see further,")),
        AccountInUse(account="acme", has="2 VMs, 14 snapshots", counts={"VMs": 2, "snapshots": 14}),
        Undeletable(what="Account admin", why="what was given to nobody belongs to it"),
    ),
)
def delete_account(*, house: HouseOf, actor: Admin, account: AccountPath) -> None:
    """Only when nothing is left in it. Its keys open nothing any more; its past stays for those above it."""
    house.write(removing.delete_account, actor, account)
