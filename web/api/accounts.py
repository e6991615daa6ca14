"""Accounts, the domains they live in, and their keys: who owns what, and how much they may have."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Response

from models.queries import accounts as rows
from models.queries import hosts as host_rows
from models.queries.paging import Wanted
from models.session import transaction
from models.tenants import giving
from models.tenants import keep as tenants
from models.tenants.actor import Actor
from stillframe.errors import (
    AccountNameTaken,
    AccountNotFound,
    BeyondOwn,
    DomainNameTaken,
    DomainNotFound,
    KeyNotFound,
    NameInvalid,
    QuotaExceeded,
    RightsNotOfRole,
    VmHasJobs,
    VmNameAmbiguous,
    VmNotFound,
    VolumeNameTaken,
)
from stillframe.rights import Right
from web.account_shapes import (
    Account,
    Domain,
    Key,
    NewKey,
    WishAccount,
    WishAssignment,
    WishDomain,
    WishKey,
    WishLimits,
    WishLimitsOfDomain,
)
from web.auth import Reader, needs
from web.described import BODY, CHANGE, PAGES, keyed
from web.house import House, HouseOf
from web.shapes import Json, Page, Vm
from web.wishes import Filter, VmPath, id_or, wanted

router = APIRouter(prefix="/v1", tags=["accounts"])

NO_ACCOUNT = AccountNotFound(account="acme")
NO_DOMAIN = DomainNotFound(domain="/acme")
NO_KEY = KeyNotFound(key="01a206ee")
NOT_OF_ROLE = RightsNotOfRole(what="A key", role="user", rights="host", has="create, revert, delete")
BEYOND = BeyondOwn(what="A key of the role root")
Admin = Annotated[Actor, needs(Right.ACCOUNT)]
AccountPath = Annotated[str, Path(description="An account's name or id", examples=["acme"])]
DomainPath = Annotated[
    str,
    Path(description="A domain's path, such as acme/dev (nothing is the root), or its id", examples=["acme"]),
]


@router.get(
    "/accounts", summary="List accounts", response_model=Page[Account], responses=keyed(*PAGES, NO_DOMAIN)
)
def list_accounts(
    *,
    house: HouseOf,
    actor: Reader,
    wanted: Annotated[Wanted, Depends(wanted)],
    domain: Filter = None,
    q: Filter = None,
) -> Any:
    """Accounts by name; `domain` means its whole subtree, `q` a part of the name."""
    with house.reads.connect() as connection:
        return rows.accounts(connection, actor, wanted, domain, q)


@router.post(
    "/accounts",
    summary="Make an account",
    response_model=Account,
    status_code=201,
    responses=keyed(
        *(*CHANGE, *BODY, NO_DOMAIN, AccountNameTaken(account="acme")),
        NameInvalid(name="a/b", what="account", why="it has the character '/'"),
    ),
)
def create_account(*, house: HouseOf, actor: Admin, response: Response, wish: WishAccount) -> Any:
    """An account in a domain. It has no key and no VM yet."""
    with transaction(house.engine) as session:
        id_ = tenants.add_account(session, actor, wish.name, wish.domain or actor.domain)
    response.headers["Location"] = f"/v1/accounts/{id_}"
    return _account(house, actor, str(id_))


@router.get(
    "/accounts/{account}", summary="Show an account", response_model=Account, responses=keyed(NO_ACCOUNT)
)
def show_account(*, house: HouseOf, actor: Reader, account: AccountPath) -> Any:
    """One account, with its limits and what it uses of them."""
    return _account(house, actor, account)


@router.patch(
    "/accounts/{account}",
    summary="Limit an account",
    response_model=Account,
    responses=keyed(*CHANGE, *BODY, NO_ACCOUNT),
)
def limit_account(*, house: HouseOf, actor: Admin, account: AccountPath, wish: WishLimits) -> Any:
    """Sets some of its limits, null for none. What is there already stays."""
    with transaction(house.engine) as session:
        id_ = tenants.limit_account(session, actor, account, wish.given())
    return _account(house, actor, str(id_))


@router.get(
    "/domains", summary="List domains", response_model=Page[Domain], responses=keyed(*PAGES, NO_DOMAIN)
)
def list_domains(
    *, house: HouseOf, actor: Reader, wanted: Annotated[Wanted, Depends(wanted)], below: Filter = None
) -> Any:
    """The tree of domains by path, each before those below it; `below` is one whose subtree is meant."""
    with house.reads.connect() as connection:
        return rows.domains(connection, actor, wanted, below)


@router.post(
    "/domains",
    summary="Make a domain",
    response_model=Domain,
    status_code=201,
    responses=keyed(
        *(*CHANGE, *BODY, NO_DOMAIN, DomainNameTaken(domain="/acme")),
        NameInvalid(name="a/b", what="domain", why="it has the character '/'"),
    ),
)
def create_domain(*, house: HouseOf, actor: Admin, response: Response, wish: WishDomain) -> Any:
    """A domain below another."""
    with transaction(house.engine) as session:
        id_ = tenants.add_domain(session, actor, wish.name, wish.parent or actor.domain)
    response.headers["Location"] = f"/v1/domains/{id_}"
    return _domain(house, actor, str(id_))


@router.get(
    "/domains/{domain:path}", summary="Show a domain", response_model=Domain, responses=keyed(NO_DOMAIN)
)
def show_domain(*, house: HouseOf, actor: Reader, domain: DomainPath) -> Any:
    """One domain, with its limits and what its subtree uses of them."""
    return _domain(house, actor, domain)


@router.patch(
    "/domains/{domain:path}",
    summary="Limit a domain",
    response_model=Domain,
    responses=keyed(*CHANGE, *BODY, NO_DOMAIN, BEYOND),
)
def limit_domain(*, house: HouseOf, actor: Admin, domain: DomainPath, wish: WishLimitsOfDomain) -> Any:
    """Sets some limits of its subtree, null for none. Nobody limits their own domain: that is done from above."""
    with transaction(house.engine) as session:
        id_ = tenants.limit_domain(session, actor, domain, wish.given())
    return _domain(house, actor, str(id_))


@router.get("/keys", summary="List keys", response_model=Page[Key], responses=keyed(*PAGES, NO_ACCOUNT))
def list_keys(
    *, house: HouseOf, actor: Reader, wanted: Annotated[Wanted, Depends(wanted)], account: Filter = None
) -> Any:
    """Keys, newest first, with what they may do and when they were used last."""
    with house.reads.connect() as connection:
        return rows.keys(connection, actor, wanted, account)


@router.post(
    "/keys",
    summary="Make a key",
    response_model=NewKey,
    status_code=201,
    responses=keyed(*CHANGE, *BODY, NO_ACCOUNT, BEYOND, NOT_OF_ROLE),
)
def create_key(*, house: HouseOf, actor: Admin, response: Response, wish: WishKey) -> Any:
    """A key of an account, never with more rights than the one that asks. `key` is shown this once and kept nowhere."""
    with transaction(house.engine) as session:
        key, id_ = tenants.add_key(
            *(session, actor, wish.account, wish.role, wish.name),
            scopes=wish.scopes,
            expires_at=wish.expires_at,
        )
    response.headers["Location"] = f"/v1/keys/{id_}"
    return {**_key(house, actor, id_), "key": key}


@router.get("/keys/{key}", summary="Show a key", response_model=Key, responses=keyed(NO_KEY))
def show_key(*, house: HouseOf, actor: Reader, key: str) -> Any:
    """One key by its id. The key itself is not shown again."""
    return _key(house, actor, id_or(key, KeyNotFound(key=key[:80])))


@router.post(
    "/keys/{key}/revoke", summary="Revoke a key", response_model=Key, responses=keyed(*CHANGE, NO_KEY)
)
def revoke_key(*, house: HouseOf, actor: Admin, key: str) -> Any:
    """It opens nothing any more, within seconds. Twice is as once."""
    id_ = id_or(key, KeyNotFound(key=key[:80]))
    with transaction(house.engine) as session:
        tenants.revoke_key(session, actor, id_)
    return _key(house, actor, id_)


@router.post(
    "/vms/{vm}:assign",
    summary="Give a VM to an account",
    response_model=Vm,
    responses=keyed(
        *(*CHANGE, *BODY, VmNotFound(vm="web9"), NO_ACCOUNT, VmHasJobs(vm="web1", job="01a206ea")),
        VmNameAmbiguous(vm="web1", candidates="8f4075f4-... on hv1, 2b6c0d11-... on hv2"),
        QuotaExceeded(whose="account acme", limit=10, what="snapshots", used=8),
        VolumeNameTaken(name="web1-archive"),
    ),
)
def assign_vm(*, house: HouseOf, actor: Admin, vm: VmPath, wish: WishAssignment) -> Any:
    """With it go its snapshots and extracted volumes. Its jobs and events of before stay with whose it was."""
    with transaction(house.engine) as session:
        id_ = giving.assign_vm(session, actor, vm, wish.account)
    with house.reads.connect() as connection:
        return host_rows.vm(connection, actor, str(id_))


def _account(house: House, actor: Actor, account: str) -> Json:
    with house.reads.connect() as connection:
        return rows.account(connection, actor, account)


def _domain(house: House, actor: Actor, domain: str) -> Json:
    with house.reads.connect() as connection:
        return rows.domain(connection, actor, domain)


def _key(house: House, actor: Actor, key: UUID) -> Json:
    with house.reads.connect() as connection:
        return rows.key(connection, actor, key)
