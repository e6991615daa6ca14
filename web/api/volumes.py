"""GET /v1/volumes: the volume snapshots."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from models.queries import volumes as rows
from models.queries.paging import Wanted
from stillframe.errors import SnapshotNotFound, VmNotFound, VolumeSnapshotNotFound
from stillframe.states import VolumeSnapshotState
from web.described import PAGES, keyed
from web.house import HouseOf
from web.shapes import Page
from web.snapshot_shapes import VolumeSnapshot
from web.wishes import Filter, VolumePath, snapshot_id, volume_id, wanted

router = APIRouter(prefix="/v1/volumes", tags=["volume snapshots"])


@router.get(
    "",
    summary="List volume snapshots",
    response_model=Page[VolumeSnapshot],
    responses=keyed(*PAGES, VmNotFound(vm="web9"), SnapshotNotFound(snapshot="01a206ea")),
)
def list_volumes(
    *,
    house: HouseOf,
    wanted: Annotated[Wanted, Depends(wanted)],
    vm: Filter = None,
    snapshot: Filter = None,
    state: Annotated[Sequence[VolumeSnapshotState], Query()] = (),
    q: Filter = None,
) -> Any:
    """Volume snapshots, newest first; `q` is a part of the name or an id's end. Nothing deletes one yet."""
    of = snapshot_id(snapshot) if snapshot is not None else None
    filters = rows.Filters(vm=vm, snapshot=of, states=tuple(state), q=q)
    with house.reads.connect() as connection:
        return rows.volumes(connection, filters, wanted)


@router.get(
    "/{volume}",
    summary="Show a volume snapshot",
    response_model=VolumeSnapshot,
    responses=keyed(VolumeSnapshotNotFound(volume="01a206eb")),
)
def show_volume(*, house: HouseOf, volume: VolumePath) -> Any:
    """One volume snapshot."""
    with house.reads.connect() as connection:
        return rows.volume(connection, volume_id(volume))
