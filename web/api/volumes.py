"""GET /v1/volumes: the volume snapshots."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from models.queries import volumes as rows
from models.queries.paging import Wanted
from models.tenants.actor import Actor
from stillframe.errors import (
    PolicyNotFound,
    SnapshotNotFound,
    VmNotFound,
    VolumeDeletionAsked,
    VolumeSnapshotNotFound,
    VolumeSnapshotNotReady,
)
from stillframe.operations import DeleteVolume
from stillframe.rights import Right
from stillframe.states import VolumeSnapshotState
from web.auth import Reader, needs
from web.described import BODY, OWNED, PAGES, keyed
from web.house import HouseOf
from web.ids import snapshot_id, volume_id
from web.planned import plan, planned
from web.shapes import Job, Page
from web.snapshot_shapes import VolumeSnapshot
from web.submitting import accepted, submit
from web.wishes import AskedJob, DomainFilter, Filter, IdempotencyKey, VolumePath, WishJob, wanted

router = APIRouter(prefix="/v1/volumes", tags=["volume snapshots"])

UNKNOWN = VolumeSnapshotNotFound(volume="01a206eb")


@router.get(
    "",
    summary="List volume snapshots",
    response_model=Page[VolumeSnapshot],
    responses=keyed(
        *PAGES,
        *OWNED,
        VmNotFound(vm="web9"),
        SnapshotNotFound(snapshot="01a206ea"),
        PolicyNotFound(policy="nightly"),
    ),
)
def list_volumes(
    *,
    house: HouseOf,
    actor: Reader,
    wanted: Annotated[Wanted, Depends(wanted)],
    vm: Filter = None,
    snapshot: Filter = None,
    policy: Annotated[Filter, Query(description="Extracted by this policy: its name or id")] = None,
    state: Annotated[Sequence[VolumeSnapshotState], Query()] = (),
    account: Filter = None,
    domain: DomainFilter = None,
    q: Filter = None,
) -> Any:
    """Volume snapshots, newest first; `q` is a part of the name or an id's end."""
    of = snapshot_id(snapshot) if snapshot is not None else None
    filters = rows.Filters(
        vm=vm, snapshot=of, policy=policy, states=tuple(state), account=account, domain=domain, q=q
    )
    return house.read(rows.volumes, actor, filters, wanted)


@router.get(
    "/{volume}",
    summary="Show a volume snapshot",
    response_model=VolumeSnapshot,
    responses=keyed(UNKNOWN),
)
def show_volume(*, house: HouseOf, actor: Reader, volume: VolumePath) -> Any:
    """One volume snapshot."""
    return house.read(rows.volume, actor, volume_id(volume))


@router.delete(
    "/{volume}",
    summary="Delete a volume snapshot",
    response_model=Job,
    **accepted(
        UNKNOWN,
        VolumeSnapshotNotReady(volume="web1-archive", state="creating"),
        VolumeDeletionAsked(volume="web1-archive", job="01a206eb-4d01-7e21-9a0e-6a6be4ce55b0"),
    ),
)
def delete_volume(
    *,
    house: HouseOf,
    actor: Annotated[Actor, needs(Right.DELETE)],
    response: Response,
    volume: VolumePath,
    limits: Annotated[AskedJob, Query()],
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Asks for its image to be removed, also when its snapshot or its VM is gone."""
    operation = DeleteVolume(volume_snapshot_id=str(volume_id(volume)), **limits.limits())
    return submit(house, operation, actor, idempotency_key, response)


@router.post("/{volume}/delete:plan", summary="Plan the deletion of a volume", **planned(*BODY, UNKNOWN))
def plan_delete_volume(
    *, house: HouseOf, actor: Reader, volume: VolumePath, wish: WishJob | None = None
) -> Any:
    """What deleting it would free, and whether it would be refused. Nothing is done."""
    limits = (wish or WishJob()).limits()
    return plan(house, DeleteVolume(volume_snapshot_id=str(volume_id(volume)), **limits), actor)
