"""/v1/hosts: the hypervisors, and whether they take jobs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from models.hosts import drain
from models.queries import hosts as rows
from models.queries.paging import Wanted
from models.tenants.actor import Actor
from stillframe.errors import HostNotFound
from stillframe.rights import Right
from web.auth import Reader, needs
from web.described import BODY, CHANGE, PAGES, keyed
from web.house import House, HouseOf
from web.shapes import Host, Json, Page
from web.wishes import WishDrain, wanted

router = APIRouter(prefix="/v1/hosts", tags=["hosts"])

UNKNOWN = HostNotFound(host="hv9")


@router.get("", summary="List hosts", response_model=Page[Host], responses=keyed(*PAGES))
def list_hosts(
    *,
    house: HouseOf,
    actor: Reader,
    wanted: Annotated[Wanted, Depends(wanted)],
    alive: Annotated[
        bool | None, Query(description="Only those that were heard of lately, or were not")
    ] = None,
    drained: Annotated[bool | None, Query(description="Only those that take no jobs, or that do")] = None,
) -> Any:
    """Hypervisors by name."""
    return house.read(rows.hosts, actor, wanted, house.fresh, alive=alive, drained=drained)


@router.get("/{name}", summary="Show a host", response_model=Host, responses=keyed(UNKNOWN))
def show_host(*, house: HouseOf, actor: Reader, name: str) -> Any:
    """One hypervisor."""
    return _look(house, actor, name)


@router.post(
    "/{name}/drain",
    summary="Let a host take no new jobs",
    response_model=Host,
    responses=keyed(*CHANGE, *BODY, UNKNOWN),
)
def drain_host(
    *, house: HouseOf, actor: Annotated[Actor, needs(Right.HOST)], name: str, wish: WishDrain | None = None
) -> Any:
    """New requests for its VMs are refused, queued jobs wait; what was begun runs to its end. Twice is as once."""
    drain.drain(house.engine, name, actor.name, wish.reason if wish else "")
    return _look(house, actor, name)


@router.post(
    "/{name}/undrain",
    summary="Let a host take jobs again",
    response_model=Host,
    responses=keyed(*CHANGE, UNKNOWN),
)
def undrain_host(*, house: HouseOf, actor: Annotated[Actor, needs(Right.HOST)], name: str) -> Any:
    """Its jobs are accepted and begun again, those that waited within seconds. Twice is as once."""
    drain.undrain(house.engine, name, actor.name)
    return _look(house, actor, name)


def _look(house: House, actor: Actor, name: str) -> Json:
    return house.read(rows.host, actor, name, house.fresh)
