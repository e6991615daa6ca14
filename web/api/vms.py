"""GET /v1/vms, and the snapshots of one VM."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from models.queries import hosts as rows
from models.queries import snapshots as snapshot_rows
from models.queries.paging import Wanted
from stillframe.errors import (
    ColdNeedsStopped,
    DisplayNameInvalid,
    HostNotFound,
    HotNeedsRunning,
    MemoryNeedsRunning,
    NameInvalid,
    NameTaken,
    VmGone,
    VmNameAmbiguous,
    VmNotFound,
)
from stillframe.operations import CreateSnapshot
from stillframe.states import VmState
from web.api.snapshots import Narrowed, Sort
from web.auth import ActorOf
from web.described import BODY, PAGES, keyed
from web.house import HouseOf
from web.shapes import Job, Page, Snapshot, Vm
from web.submitting import accepted, submit
from web.wishes import Filter, IdempotencyKey, VmPath, WishSnapshot, wanted

router = APIRouter(prefix="/v1/vms", tags=["VMs"])

NO_VM = (
    VmNotFound(vm="web9"),
    VmNameAmbiguous(vm="web1", candidates="8f4075f4-... on hv1, 2b6c0d11-... on hv2"),
)
GONE = VmGone(vm="web9", host="hv1")


@router.get(
    "", summary="List VMs", response_model=Page[Vm], responses=keyed(*PAGES, HostNotFound(host="hv9"))
)
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


@router.get("/{vm}", summary="Show a VM", response_model=Vm, responses=keyed(*NO_VM))
def show_vm(*, house: HouseOf, vm: VmPath) -> Any:
    """One VM by name or id, with its volumes."""
    with house.reads.connect() as connection:
        return rows.vm(connection, vm)


@router.get(
    "/{vm}/snapshots",
    summary="List the snapshots of a VM",
    response_model=Page[Snapshot],
    responses=keyed(*PAGES, VmNotFound(vm="web9"), GONE),
)
def list_vm_snapshots(
    *,
    house: HouseOf,
    vm: VmPath,
    wanted: Annotated[Wanted, Depends(wanted)],
    narrowed: Narrowed,
    sort: Sort = "-created_at",
) -> Any:
    """The snapshots of one VM."""
    with house.reads.connect() as connection:
        return snapshot_rows.snapshots(connection, narrowed.filters(vm), sort, wanted)


@router.post(
    "/{vm}/snapshots",
    summary="Take a snapshot",
    response_model=Job,
    **accepted(
        *BODY,
        *NO_VM,
        GONE,
        NameInvalid(name="a/b", what="snapshot", why="it has the character '/'"),
        DisplayNameInvalid(why="it is empty"),
        NameTaken(vm="web1", name="before-patch"),
        ColdNeedsStopped(vm="web1", state="running"),
        HotNeedsRunning(vm="web1", state="off"),
        MemoryNeedsRunning(vm="web1", state="off"),
    ),
)
def create_snapshot(
    *,
    house: HouseOf,
    actor: ActorOf,
    response: Response,
    vm: VmPath,
    wish: WishSnapshot,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Asks for a snapshot to be taken."""
    expires_at = wish.expires_at.isoformat() if wish.expires_at else None
    values = wish.model_dump(exclude={"tags", "expires_at"})
    operation = CreateSnapshot(vm=vm, tags=tuple(wish.tags), expires_at=expires_at, **values)
    return submit(house, operation, actor, idempotency_key, response)
