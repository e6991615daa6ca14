"""Keys: what lets somebody in, and what each may do."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from sqlalchemy.orm import Session

from models.queries import keys as rows
from models.queries.paging import Wanted
from models.tenants.keys import add_key
from models.tenants.keys import revoke_key as revoke
from stillframe.errors import BeyondOwn, KeyNotFound, RightsNotOfRole
from web.api.accounts import Admin
from web.auth import Reader
from web.described import BODY, CHANGE, NO_ACCOUNT, PAGES, keyed
from web.house import HouseOf
from web.ids import id_or
from web.key_shapes import Key, NewKey, WishKey
from web.making import ONCE, Making, made
from web.shapes import Page
from web.wishes import Filter, wanted

router = APIRouter(prefix="/v1/keys", tags=["accounts"])

NO_KEY = KeyNotFound(key="01a206ee")
NOT_OF_ROLE = RightsNotOfRole(what="A key", role="user", rights="host", has="create, revert, delete")
BEYOND = BeyondOwn(what="A key of the role root")
KeyPath = Annotated[str, Path(description="A key's id")]
Opens = Annotated[bool | None, Query(description="Only those that open, or that were revoked or are over")]


@router.get("", summary="List keys", response_model=Page[Key], responses=keyed(*PAGES, *NO_ACCOUNT))
def list_keys(
    *,
    house: HouseOf,
    actor: Reader,
    wanted: Annotated[Wanted, Depends(wanted)],
    account: Filter = None,
    q: Filter = None,
    opens: Opens = None,
) -> Any:
    """Keys, newest first: administrators see those below them, others their own. `q`: part of a name, or a key's beginning."""
    return house.read(rows.keys, actor, wanted, account, q, opens=opens)


@router.post(
    "",
    summary="Make a key",
    response_model=NewKey,
    status_code=201,
    responses={
        **made(201, NewKey, "/v1/keys/01a206ee-..."),
        **keyed(*CHANGE, *BODY, *ONCE, *NO_ACCOUNT, BEYOND, NOT_OF_ROLE),
    },
)
def create_key(*, house: HouseOf, making: Making, actor: Admin, wish: WishKey) -> Any:
    """A key of an account, never with more rights than the one that asks. `key` is shown this once and kept nowhere.

    So the answer to the same request sent again has `key: null`: revoke that key and make another.
    """
    fresh: list[str] = []

    def add(session: Session) -> UUID:
        key, id_ = add_key(
            *(session, actor, wish.account, wish.role, wish.name),
            scopes=wish.scopes,
            expires_at=wish.expires_at,
        )
        fresh.append(key)
        return id_

    id_ = making.make(actor, ("key", wish.model_dump()), add, at="/v1/keys")
    return house.read(rows.key, actor, UUID(id_)) | {"key": fresh[0] if fresh else None}


@router.get("/{key}", summary="Show a key", response_model=Key, responses=keyed(NO_KEY))
def show_key(*, house: HouseOf, actor: Reader, key: KeyPath) -> Any:
    """One key. The key itself is not shown again."""
    return house.read(rows.key, actor, _id(key))


@router.post("/{key}/revoke", summary="Revoke a key", response_model=Key, responses=keyed(*CHANGE, NO_KEY))
def revoke_key(*, house: HouseOf, actor: Admin, key: KeyPath) -> Any:
    """It opens nothing any more, within seconds. Twice is as once."""
    house.write(revoke, actor, _id(key))
    return house.read(rows.key, actor, _id(key))


def _id(key: str) -> UUID:
    return id_or(key, KeyNotFound(key=key[:80]))
