"""Holds: a snapshot that is neither deleted nor pruned until it is released, or until a time."""

from typing import Annotated, Any

from fastapi import APIRouter

from models.queries import snapshots as rows
from models.snapshots import holding
from models.tenants.actor import Actor
from stillframe.errors import DeletionAsked, SnapshotNotReady
from stillframe.rights import Right
from web.api.snapshots import UNKNOWN
from web.auth import needs
from web.described import BODY, CHANGE, keyed
from web.house import HouseOf
from web.ids import snapshot_id
from web.snapshot_shapes import Snapshot
from web.wishes import SnapshotPath, WishHold

router = APIRouter(prefix="/v1/snapshots", tags=["snapshots"])


@router.post(
    "/{snapshot}/hold",
    summary="Hold a snapshot",
    response_model=Snapshot,
    responses=keyed(
        *CHANGE,
        *BODY,
        UNKNOWN,
        SnapshotNotReady(snapshot="before-patch", state="error"),
        DeletionAsked(snapshot="before-patch", job="01a206ea-d014-728d-927d-34762cc45e44"),
    ),
)
def hold_snapshot(
    *, house: HouseOf, actor: Annotated[Actor, needs(Right.EDIT)], snapshot: SnapshotPath, wish: WishHold
) -> Any:
    """Nobody deletes it and no policy prunes it, until it is released or `until` is over. A new hold replaces the old."""
    id_ = snapshot_id(snapshot)
    holding.hold(house.engine, id_, wish.reason, wish.until, actor)
    return house.read(rows.snapshot, actor, id_)


@router.post(
    "/{snapshot}/release",
    summary="Release a snapshot",
    response_model=Snapshot,
    responses=keyed(*CHANGE, UNKNOWN),
)
def release_snapshot(
    *, house: HouseOf, actor: Annotated[Actor, needs(Right.EDIT)], snapshot: SnapshotPath
) -> Any:
    """It may be deleted and pruned again. One that is not held stays as it is."""
    id_ = snapshot_id(snapshot)
    holding.release(house.engine, id_, actor)
    return house.read(rows.snapshot, actor, id_)
