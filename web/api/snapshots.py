"""Snapshots: lists, one of them, its words, what was said about it, and what can be asked of it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from models.queries import snapshots as rows
from models.queries.paging import Wanted
from models.snapshots import words
from models.tenants.actor import Actor
from stillframe.errors import (
    AfterNotForMemory,
    DeletionAsked,
    DisplayNameInvalid,
    ForeignCannot,
    NameInvalid,
    NameTaken,
    PolicyNotFound,
    SnapshotChanged,
    SnapshotHeld,
    SnapshotNotFound,
    SnapshotNotReady,
    VmGone,
    VmNotFound,
    VolumeNameTaken,
    VolumeNotFound,
)
from stillframe.operations import DeleteSnapshot, ExtractVolume, RevertSnapshot
from stillframe.rights import Right
from web.auth import Reader, needs
from web.described import BODY, CHANGE, OWNED, PAGES, keyed
from web.house import House, HouseOf
from web.ids import snapshot_id
from web.narrowed import Narrowed, Sort
from web.planned import plan, planned
from web.shapes import Job, Page
from web.snapshot_shapes import Snapshot
from web.submitting import accepted, submit
from web.wishes import (
    AskedJob,
    Filter,
    IdempotencyKey,
    IfMatch,
    SnapshotPath,
    WishJob,
    WishRevert,
    WishVolume,
    WishWords,
    wanted,
)

router = APIRouter(prefix="/v1/snapshots", tags=["snapshots"])

UNKNOWN = SnapshotNotFound(snapshot="01a206ea")
VOLUME_NAME_INVALID = NameInvalid(name="a/b", what="volume snapshot", why="it has the character '/'")
BLOCKED = (
    SnapshotNotReady(snapshot="before-patch", state="creating"),
    DeletionAsked(snapshot="before-patch", job="01a206ea-d014-728d-927d-34762cc45e44"),
    VmGone(vm="web9", host="hv1"),
    ForeignCannot(snapshot="virsh1", why="it is external, ..."),
)
HELD = SnapshotHeld(
    snapshot="before-patch", vm="web1", by="kim", until="it is released", reason="for the audit"
)
_TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": {"description": "For If-Match", "schema": {"type": "string"}}}}
}


@router.get(
    "",
    summary="List snapshots",
    response_model=Page[Snapshot],
    responses=keyed(
        *(*PAGES, *OWNED, VmNotFound(vm="web9"), VmGone(vm="web9", host="hv1")),
        PolicyNotFound(policy="nightly"),
    ),
)
def list_snapshots(
    *,
    house: HouseOf,
    actor: Reader,
    wanted: Annotated[Wanted, Depends(wanted)],
    narrowed: Narrowed,
    vm: Filter = None,
    sort: Sort = "-created_at",
) -> Any:
    """Snapshots; `q` is a part of the name, display name or VM name, or an id's end.

    Those that are deleted are left out unless asked for by state; those of VMs that are gone unless asked for by `gone`
    or by the VM's id.
    """
    return house.read(rows.snapshots, actor, narrowed.filters(vm), sort, wanted)


@router.get(
    "/{snapshot}", summary="Show a snapshot", response_model=Snapshot, responses={**_TAGGED, **keyed(UNKNOWN)}
)
def show_snapshot(*, house: HouseOf, actor: Reader, response: Response, snapshot: str) -> Any:
    """One snapshot. Its ETag is for PATCH."""
    found = house.read(rows.snapshot, actor, snapshot_id(snapshot))
    response.headers["ETag"] = words.etag(found)
    return found


@router.patch(
    "/{snapshot}",
    summary="Change the words of a snapshot",
    response_model=Snapshot,
    responses={
        **_TAGGED,
        **keyed(
            *CHANGE,
            *BODY,
            UNKNOWN,
            DisplayNameInvalid(why="it is empty"),
            NameInvalid(name="a/b", what="snapshot", why="it has the character '/'"),
            NameTaken(vm="web1", name="before-patch"),
            ForeignCannot(snapshot="virsh1", why="its name is the one that its tool knows it by"),
            SnapshotChanged(snapshot="s1"),
            DeletionAsked(snapshot="s1", job="01a206ea-d014-728d-927d-34762cc45e44"),
        ),
    },
)
def edit_snapshot(
    *,
    house: HouseOf,
    actor: Annotated[Actor, needs(Right.EDIT)],
    response: Response,
    snapshot: SnapshotPath,
    wish: WishWords,
    if_match: IfMatch = None,
) -> Any:
    """Changes its words, its name, or when it expires (null: never). With If-Match only if nobody else has since the
    ETag was read: else 412. Its manifest on the host keeps the words of its creation. To let it expire takes the right
    `delete` too.
    """
    changes = wish.given()
    if changes.get("expires_at") is not None:
        actor.check(Right.DELETE)
    seen = tuple(tag.strip() for tag in if_match.split(",")) if if_match and if_match.strip() != "*" else ()
    _check_known(house, actor, snapshot_id(snapshot))
    words.edit(house.engine, snapshot_id(snapshot), changes, actor.name, seen)
    return show_snapshot(house=house, actor=actor, response=response, snapshot=snapshot)


@router.delete(
    "/{snapshot}", summary="Delete a snapshot", response_model=Job, **accepted(UNKNOWN, *BLOCKED, HELD)
)
def delete_snapshot(
    *,
    house: HouseOf,
    actor: Annotated[Actor, needs(Right.DELETE)],
    response: Response,
    snapshot: SnapshotPath,
    limits: Annotated[AskedJob, Query()],
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Asks for a snapshot to be deleted; the VM stays as it is."""
    operation = DeleteSnapshot(snapshot_id=str(snapshot_id(snapshot)), **limits.limits())
    return submit(house, operation, actor, idempotency_key, response)


@router.post("/{snapshot}/delete:plan", summary="Plan a deletion", **planned(*BODY, UNKNOWN))
def plan_delete(*, house: HouseOf, actor: Reader, snapshot: SnapshotPath, wish: WishJob | None = None) -> Any:
    """What deleting it would free, move and leave, and whether it would be refused. Nothing is done."""
    limits = (wish or WishJob()).limits()
    return plan(house, DeleteSnapshot(snapshot_id=str(snapshot_id(snapshot)), **limits), actor)


@router.post(
    "/{snapshot}/revert",
    summary="Bring the VM back to a snapshot",
    response_model=Job,
    **accepted(*BODY, UNKNOWN, *BLOCKED, AfterNotForMemory(after="stop")),
)
def revert_snapshot(
    *,
    house: HouseOf,
    actor: Annotated[Actor, needs(Right.REVERT)],
    response: Response,
    snapshot: SnapshotPath,
    wish: WishRevert | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Asks for the VM to be brought back to this snapshot."""
    return submit(house, _revert(snapshot, wish), actor, idempotency_key, response)


@router.post("/{snapshot}/revert:plan", summary="Plan a revert", **planned(*BODY, UNKNOWN))
def plan_revert(
    *, house: HouseOf, actor: Reader, snapshot: SnapshotPath, wish: WishRevert | None = None
) -> Any:
    """What would be lost and what would stay, and whether it would be refused. Nothing is done."""
    return plan(house, _revert(snapshot, wish), actor)


def _revert(snapshot: str, wish: WishRevert | None) -> RevertSnapshot:
    return RevertSnapshot(snapshot_id=str(snapshot_id(snapshot)), **(wish or WishRevert()).model_dump())


@router.post(
    "/{snapshot}/volumes",
    summary="Extract a volume",
    response_model=Job,
    **accepted(
        *BODY,
        UNKNOWN,
        *BLOCKED,
        VolumeNotFound(where='snapshot "before-patch"', target="vdz", targets="vda"),
        VolumeNameTaken(name="web1-archive"),
        VOLUME_NAME_INVALID,
    ),
)
def extract_volume(
    *,
    house: HouseOf,
    actor: Annotated[Actor, needs(Right.EXTRACT)],
    response: Response,
    snapshot: SnapshotPath,
    wish: WishVolume,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Asks for a standalone image of one volume. The job's `volume_snapshot_id` is what will come of it."""
    return submit(house, _extract(snapshot, wish), actor, idempotency_key, response)


@router.post(
    "/{snapshot}/volumes:plan", summary="Plan an extract", **planned(*BODY, UNKNOWN, VOLUME_NAME_INVALID)
)
def plan_extract(*, house: HouseOf, actor: Reader, snapshot: SnapshotPath, wish: WishVolume) -> Any:
    """How much the copy would take, and whether it would be refused. Nothing is done."""
    return plan(house, _extract(snapshot, wish), actor)


def _extract(snapshot: str, wish: WishVolume) -> ExtractVolume:
    return ExtractVolume(snapshot_id=str(snapshot_id(snapshot)), **wish.model_dump())


def _check_known(house: House, actor: Actor, id_: UUID) -> None:
    house.read(rows.check_known, actor, id_)
