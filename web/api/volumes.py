"""GET /v1/volumes: the volume snapshots."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from models.queries import volumes as rows
from models.queries.paging import Wanted
from stillframe.states import VolumeSnapshotState
from web.house import HouseOf
from web.shapes import Page, VolumeSnapshot
from web.wishes import Filter, snapshot_id, volume_id, wanted

router = APIRouter(prefix="/v1/volumes", tags=["volume snapshots"])


@router.get("", response_model=Page[VolumeSnapshot])
def list_volumes(
    *,
    house: HouseOf,
    wanted: Annotated[Wanted, Depends(wanted)],
    vm: Filter = None,
    snapshot: Filter = None,
    state: Annotated[Sequence[VolumeSnapshotState], Query()] = (),
    q: Filter = None,
) -> Any:
    """Volume snapshots, newest first; `q` is a part of the name or an id's end."""
    of = snapshot_id(snapshot) if snapshot is not None else None
    filters = rows.Filters(vm=vm, snapshot=of, states=tuple(state), q=q)
    with house.reads.connect() as connection:
        return rows.volumes(connection, filters, wanted)


@router.get("/{volume}", response_model=VolumeSnapshot)
def show_volume(*, house: HouseOf, volume: str) -> Any:
    """One volume snapshot."""
    with house.reads.connect() as connection:
        return rows.volume(connection, volume_id(volume))
