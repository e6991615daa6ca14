"""GET /v1/vms, and the snapshots of one VM."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from models.queries import hosts as rows
from models.queries import snapshots as snapshot_rows
from models.queries.paging import Wanted
from stillframe.operations import CreateSnapshot
from stillframe.states import VmState
from web.api.snapshots import Narrowed, Sort
from web.auth import ActorOf
from web.house import HouseOf
from web.shapes import Job, Page, Snapshot, Vm
from web.submitting import ACCEPTED, submit
from web.wishes import Filter, IdempotencyKey, WishSnapshot, wanted

router = APIRouter(prefix="/v1/vms", tags=["VMs"])


@router.get("", response_model=Page[Vm])
def list_vms(
    *,
    house: HouseOf,
    wanted: Annotated[Wanted, Depends(wanted)],
    host: Filter = None,
    q: Filter = None,
    state: VmState | None = None,
) -> Any:
    """VMs by name; `q` is a part of it. Those that are gone are left out unless asked for."""
    with house.reads.connect() as connection:
        return rows.vms(connection, wanted, host, q, state)


@router.get("/{vm}", response_model=Vm)
def show_vm(*, house: HouseOf, vm: str) -> Any:
    """One VM by name or id, with its volumes."""
    with house.reads.connect() as connection:
        return rows.vm(connection, vm)


@router.get("/{vm}/snapshots", response_model=Page[Snapshot])
def list_snapshots(
    *,
    house: HouseOf,
    vm: str,
    wanted: Annotated[Wanted, Depends(wanted)],
    narrowed: Narrowed,
    sort: Sort = "-created_at",
) -> Any:
    """The snapshots of one VM."""
    with house.reads.connect() as connection:
        return snapshot_rows.snapshots(connection, narrowed.filters(vm), sort, wanted)


@router.post("/{vm}/snapshots", response_model=Job, **ACCEPTED)
def create_snapshot(
    *,
    house: HouseOf,
    actor: ActorOf,
    response: Response,
    vm: str,
    wish: WishSnapshot,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Asks for a snapshot to be taken."""
    expires_at = wish.expires_at.isoformat() if wish.expires_at else None
    values = wish.model_dump(exclude={"tags", "expires_at"})
    operation = CreateSnapshot(vm=vm, tags=tuple(wish.tags), expires_at=expires_at, **values)
    return submit(house, operation, actor, idempotency_key, response)
