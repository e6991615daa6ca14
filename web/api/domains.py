"""Domains: the tree that accounts live in, and how much each subtree may have."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from models.queries import accounts as rows
from models.queries.paging import Wanted
from models.tenants import keep, removing
from stillframe.errors import BeyondOwn, DomainInUse, DomainNameTaken, NameInvalid, Undeletable
from web.account_shapes import Domain, WishDomain, WishLimitsOfDomain
from web.api.accounts import Admin, Deleted
from web.auth import Reader
from web.described import BODY, CHANGE, NO_DOMAIN, PAGES, keyed
from web.house import HouseOf
from web.making import ONCE, Making, made
from web.shapes import Page
from web.wishes import Filter, wanted

router = APIRouter(prefix="/v1/domains", tags=["accounts"])

DomainPath = Annotated[
    str,
    Path(description="A domain's path, such as acme/dev (nothing is the root), or its id", examples=["acme"]),
]


@router.get("", summary="List domains", response_model=Page[Domain], responses=keyed(*PAGES, NO_DOMAIN))
def list_domains(
    *,
    house: HouseOf,
    actor: Reader,
    wanted: Annotated[Wanted, Depends(wanted)],
    below: Filter = None,
    deleted: Deleted = False,
) -> Any:
    """The tree of domains by path, each before those below it; `below` is one whose subtree is meant."""
    return house.read(rows.domains, actor, wanted, below, deleted=deleted)


@router.post(
    "",
    summary="Make a domain",
    response_model=Domain,
    status_code=201,
    responses={
        **made(201, Domain, "/v1/domains/01a206ee-..."),
        **keyed(
            *(*CHANGE, *BODY, *ONCE, NO_DOMAIN, DomainNameTaken(domain="/acme")),
            NameInvalid(name="a/b", what="domain", why="it has the character '/'"),
        ),
    },
)
def create_domain(*, house: HouseOf, making: Making, actor: Admin, wish: WishDomain) -> Any:
    """A domain below another."""
    id_ = making.make(
        actor,
        ("domain", wish.model_dump()),
        lambda session: keep.add_domain(session, actor, wish.name, wish.parent or actor.domain),
        at="/v1/domains",
    )
    return house.read(rows.domain, actor, id_)


@router.get("/{domain:path}", summary="Show a domain", response_model=Domain, responses=keyed(NO_DOMAIN))
def show_domain(*, house: HouseOf, actor: Reader, domain: DomainPath) -> Any:
    """One domain, with its limits and what its subtree uses of them."""
    return house.read(rows.domain, actor, domain)


@router.patch(
    "/{domain:path}",
    summary="Limit a domain",
    response_model=Domain,
    responses=keyed(*CHANGE, *BODY, NO_DOMAIN, BeyondOwn(what="To limit domain /acme")),
)
def limit_domain(*, house: HouseOf, actor: Admin, domain: DomainPath, wish: WishLimitsOfDomain) -> Any:
    """Sets some limits of its subtree, null for none. Nobody limits their own domain: that is done from above."""
    id_ = house.write(keep.limit_domain, actor, domain, wish.given())
    return house.read(rows.domain, actor, str(id_))


@router.delete(
    "/{domain:path}",
    summary="Delete a domain",
    status_code=204,
    responses=keyed(
        *(*CHANGE, NO_DOMAIN, DomainInUse(domain="/acme", has="1 account", counts={"accounts": 1})),
        Undeletable(what="The root of all domains", why="everything is below it"),
    ),
)
def delete_domain(*, house: HouseOf, actor: Admin, domain: DomainPath) -> None:
    """Only when no account and no domain is in it. Another may get its name, and does not see what was in it."""
    house.write(removing.delete_domain, actor, domain)
