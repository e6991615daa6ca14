"""GET /v1/vms, and the snapshots of one VM."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from models.find import vm_id
from models.queries import hosts as rows
from models.queries import snapshots as snapshot_rows
from models.queries.paging import Wanted
from models.tenants.actor import Actor
from models.vms import tagging
from stillframe.errors import (
    ChainTooDeep,
    ColdNeedsStopped,
    DisplayNameInvalid,
    HostNotFound,
    HotNeedsRunning,
    MemoryNeedsRunning,
    MemoryWithPassthrough,
    NameInvalid,
    NameTaken,
    PolicyNotFound,
    VmGone,
    VmNameAmbiguous,
    VmNotFound,
    VmTransient,
)
from stillframe.operations import CreateSnapshot
from stillframe.rights import Right
from stillframe.states import VmState
from web.auth import Reader, needs
from web.described import BODY, CHANGE, OWNED, PAGES, keyed
from web.house import HouseOf
from web.narrowed import Narrowed, Sort
from web.planned import plan, planned
from web.shapes import Job, Page, Vm
from web.snapshot_shapes import Snapshot
from web.submitting import accepted, submit
from web.wishes import (
    DomainFilter,
    Filter,
    IdempotencyKey,
    VmPath,
    WishSnapshot,
    WishTags,
    Words,
    as_text,
    wanted,
)

router = APIRouter(prefix="/v1/vms", tags=["VMs"])

NO_VM = (
    VmNotFound(vm="web9"),
    VmNameAmbiguous(vm="web1", candidates="8f4075f4-... on hv1, 2b6c0d11-... on hv2"),
)
GONE = VmGone(vm="web9", host="hv1")
NAME_INVALID = NameInvalid(name="a/b", what="snapshot", why="it has the character '/'")
DISPLAY_NAME_INVALID = DisplayNameInvalid(why="it is empty")


@router.get(
    "",
    summary="List VMs",
    response_model=Page[Vm],
    responses=keyed(*PAGES, *OWNED, HostNotFound(host="hv9")),
)
def list_vms(
    *,
    house: HouseOf,
    actor: Reader,
    wanted: Annotated[Wanted, Depends(wanted)],
    host: Filter = None,
    q: Filter = None,
    state: VmState | None = None,
    account: Filter = None,
    domain: DomainFilter = None,
    tag: Annotated[Sequence[Words], Query(description="Given several times: those that have all")] = (),
) -> Any:
    """VMs by name; `q` is a part of it. Those that are gone are left out unless asked for."""
    return house.read(
        rows.vms, actor, wanted, host=host, q=q, state=state, tags=tag, account=account, domain=domain
    )


@router.get("/{vm}", summary="Show a VM", response_model=Vm, responses=keyed(*NO_VM))
def show_vm(*, house: HouseOf, actor: Reader, vm: VmPath) -> Any:
    """One VM by name or id, with its volumes."""
    return house.read(rows.vm, actor, vm)


@router.patch(
    "/{vm}", summary="Change the tags of a VM", response_model=Vm, responses=keyed(*CHANGE, *BODY, *NO_VM)
)
def tag_vm(*, house: HouseOf, actor: Annotated[Actor, needs(Right.EDIT)], vm: VmPath, wish: WishTags) -> Any:
    """Tags are what policies choose VMs by."""
    id_ = house.read(vm_id, actor, vm)
    tagging.tag_vm(house.engine, id_, actor.name, tags=wish.tags, add=wish.add_tags, remove=wish.remove_tags)
    return show_vm(house=house, actor=actor, vm=str(id_))


@router.get(
    "/{vm}/snapshots",
    summary="List the snapshots of a VM",
    response_model=Page[Snapshot],
    responses=keyed(*PAGES, VmNotFound(vm="web9"), GONE, PolicyNotFound(policy="nightly")),
)
def list_vm_snapshots(
    *,
    house: HouseOf,
    actor: Reader,
    vm: VmPath,
    wanted: Annotated[Wanted, Depends(wanted)],
    narrowed: Narrowed,
    sort: Sort = "-created_at",
) -> Any:
    """The snapshots of one VM."""
    return house.read(snapshot_rows.snapshots, actor, narrowed.filters(vm), sort, wanted)


@router.post(
    "/{vm}/snapshots",
    summary="Take a snapshot",
    response_model=Job,
    **accepted(
        *BODY,
        *NO_VM,
        GONE,
        NAME_INVALID,
        DISPLAY_NAME_INVALID,
        NameTaken(vm="web1", name="before-patch"),
        ColdNeedsStopped(vm="web1", state="running"),
        HotNeedsRunning(vm="web1", state="off"),
        MemoryNeedsRunning(vm="web1", state="off"),
        MemoryWithPassthrough(vm="web1", devices="PCI device 0000:3b:00.0 of the host"),
        VmTransient(vm="web1"),
        ChainTooDeep(vm="web1", target="vda", depth=24, limit=24),
    ),
)
def create_snapshot(
    *,
    house: HouseOf,
    actor: Annotated[Actor, needs(Right.CREATE)],
    response: Response,
    vm: VmPath,
    wish: WishSnapshot,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Asks for a snapshot to be taken."""
    return submit(house, _operation(vm, wish), actor, idempotency_key, response)


@router.post(
    "/{vm}/snapshots:plan",
    summary="Plan a snapshot",
    **planned(*BODY, *NO_VM, GONE, NAME_INVALID, DISPLAY_NAME_INVALID),
)
def plan_snapshot(*, house: HouseOf, actor: Reader, vm: VmPath, wish: WishSnapshot) -> Any:
    """What taking this snapshot would do and cost, and whether it would be refused. Nothing is done."""
    return plan(house, _operation(vm, wish), actor)


def _operation(vm: str, wish: WishSnapshot) -> CreateSnapshot:
    expires_at = as_text(wish.expires_at)
    values = wish.model_dump(exclude={"tags", "expires_at"})
    return CreateSnapshot(vm=vm, tags=tuple(wish.tags), expires_at=expires_at, **values)
