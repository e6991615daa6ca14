"""GET /v1/hosts."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from models.queries import hosts as rows
from models.queries.paging import Wanted
from stillframe.errors import HostNotFound
from web.described import PAGES, keyed
from web.house import HouseOf
from web.shapes import Host, Page
from web.wishes import wanted

router = APIRouter(prefix="/v1/hosts", tags=["hosts"])


@router.get("", summary="List hosts", response_model=Page[Host], responses=keyed(*PAGES))
def list_hosts(*, house: HouseOf, wanted: Annotated[Wanted, Depends(wanted)]) -> Any:
    """Hypervisors by name."""
    with house.reads.connect() as connection:
        return rows.hosts(connection, wanted, house.fresh)


@router.get("/{name}", summary="Show a host", response_model=Host, responses=keyed(HostNotFound(host="hv9")))
def show_host(*, house: HouseOf, name: str) -> Any:
    """One hypervisor."""
    with house.reads.connect() as connection:
        return rows.host(connection, name, house.fresh)
