"""Looks at a whole host: asked for, waited for, and what they found."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool

from models.hosts.rescans import ask
from models.queries import rescans as rows
from models.queries.paging import Wanted
from models.tenants.actor import Actor
from stillframe.errors import HostNotFound, RescanNotFound, VmNotFound
from stillframe.rights import Right
from stillframe.states import RescanState
from web.auth import Reader, needs
from web.described import BODY, CHANGE, PAGES, keyed
from web.found import Rescan
from web.house import House, HouseOf
from web.ids import rescan_id
from web.making import ONCE, Making, made
from web.shapes import Json, Page
from web.wishes import Wait, WishRescan, wait_s, wanted

router = APIRouter(prefix="/v1/hosts", tags=["hosts"])

NO_HOST = HostNotFound(host="hv9")
NO_RESCAN = RescanNotFound(rescan="01a206ed", host="hv1")
_OVER = {RescanState.DONE, RescanState.FAILED}


@router.post(
    "/{name}/rescan",
    summary="Compare the rows with what is on a host",
    response_model=Rescan,
    status_code=202,
    response_description="The rescan; `Location` is where it is to be looked at.",
    responses={
        **made(202, Rescan, "/v1/hosts/hv1/rescans/01a206ed-52aa-..."),
        **keyed(*CHANGE, *BODY, NO_HOST, VmNotFound(vm="web9"), *ONCE),
    },
)
def rescan_host(
    *,
    house: HouseOf,
    making: Making,
    actor: Annotated[Actor, needs(Right.HOST)],
    name: str,
    wish: WishRescan | None = None,
) -> Any:
    """Looks at every VM of a host: what is frozen or paused, its chains, snapshots and files that nobody needs.

    With `adopt` snapshots that no row knows become rows; with `repair` what is safe to put right is put right.
    """
    wish = wish or WishRescan()
    id_ = making.make(
        actor,
        ("rescan", name, wish.model_dump()),
        lambda session: ask(session, name, wish.vm, actor, adopt=wish.adopt, repair=wish.repair),
        at=f"/v1/hosts/{name}/rescans",
    )
    return _look(house, actor, name, UUID(id_))


@router.get(
    "/{name}/rescans",
    summary="List the rescans of a host",
    response_model=Page[Rescan],
    responses=keyed(*PAGES, NO_HOST),
)
def list_rescans(
    *,
    house: HouseOf,
    actor: Reader,
    name: str,
    wanted: Annotated[Wanted, Depends(wanted)],
    state: RescanState | None = None,
) -> Any:
    """Newest first."""
    return house.read(rows.rescans, actor, name, wanted, fresh=house.fresh, state=state)


@router.get(
    "/{name}/rescans/{rescan}",
    summary="Show a rescan, or wait for its end",
    response_model=Rescan,
    responses=keyed(NO_HOST, NO_RESCAN),
)
async def show_rescan(*, house: HouseOf, actor: Reader, name: str, rescan: str, wait: Wait = None) -> Any:
    """One rescan with its findings. With `wait` the answer comes once it has ended, or the time is over."""
    id_ = rescan_id(rescan, name)

    async def look() -> Json:
        return await run_in_threadpool(_look, house, actor, name, id_)

    if not wait:
        return await look()
    return await house.bell.wait(id_, look, lambda found: found["state"] in _OVER, wait_s(wait))


def _look(house: House, actor: Actor, name: str, id_: UUID) -> Json:
    return house.read(rows.rescan, actor, name, id_, house.fresh)
