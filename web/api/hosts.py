"""GET /v1/hosts."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from models.queries import hosts as rows
from models.queries.paging import Wanted
from web.house import HouseOf
from web.shapes import Host, Page
from web.wishes import wanted

router = APIRouter(prefix="/v1/hosts", tags=["hosts"])


@router.get("", response_model=Page[Host])
def list_hosts(*, house: HouseOf, wanted: Annotated[Wanted, Depends(wanted)]) -> Any:
    """Hypervisors by name."""
    with house.reads.connect() as connection:
        return rows.hosts(connection, wanted, house.fresh)


@router.get("/{name}", response_model=Host)
def show_host(*, house: HouseOf, name: str) -> Any:
    """One hypervisor."""
    with house.reads.connect() as connection:
        return rows.host(connection, name, house.fresh)
