"""Snapshots: lists, one of them, its words, what was said about it, and what can be asked of it."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from models.queries import events as event_rows
from models.queries import snapshots as rows
from models.queries import words
from models.queries.paging import Wanted
from stillframe.operations import DeleteSnapshot, ExtractVolume, RevertSnapshot
from stillframe.states import SnapshotState, SnapshotType
from web.auth import ActorOf
from web.house import HouseOf
from web.shapes import Comment, Event, Job, Page, Snapshot
from web.submitting import ACCEPTED, submit
from web.wishes import (
    EventAfter,
    Filter,
    IdempotencyKey,
    IfMatch,
    Instant,
    WishComment,
    WishRevert,
    WishVolume,
    WishWords,
    snapshot_id,
    wanted,
)

router = APIRouter(prefix="/v1/snapshots", tags=["snapshots"])

Sort = Literal["created_at", "-created_at", "name", "-name"]


class _Narrowed:
    """The filters that both lists of snapshots know; the one of a VM has its VM in the path."""

    def __init__(
        self,
        *,
        state: Annotated[Sequence[SnapshotState], Query(description="May be given several times")] = (),
        type: SnapshotType | None = None,  # noqa: A002  # the contract's word
        current: bool | None = None,
        created_after: Instant | None = None,
        created_before: Instant | None = None,
        q: Annotated[
            Filter, Query(description="Part of a name, or the last 6 or more digits of an id")
        ] = None,
        gone: Annotated[bool, Query(description="Also snapshots of VMs that are gone")] = False,
    ) -> None:
        self._values: dict[str, Any] = {
            "states": tuple(state),
            "type": type,
            "current": current,
            "created_after": created_after,
            "created_before": created_before,
            "q": q,
            "gone": gone,
        }

    def filters(self, vm: str | None) -> rows.Filters:
        """For the query."""
        return rows.Filters(vm=vm, **self._values)


Narrowed = Annotated[_Narrowed, Depends()]


@router.get("", response_model=Page[Snapshot])
def list_snapshots(
    *,
    house: HouseOf,
    wanted: Annotated[Wanted, Depends(wanted)],
    narrowed: Narrowed,
    vm: Filter = None,
    sort: Sort = "-created_at",
) -> Any:
    """Snapshots; `q` is a part of the name, display name or VM name, or an id's end.

    Those that are deleted are left out unless asked for by state; those of VMs that are gone unless asked for by `gone`
    or by the VM's id.
    """
    with house.reads.connect() as connection:
        return rows.snapshots(connection, narrowed.filters(vm), sort, wanted)


@router.get("/{snapshot}", response_model=Snapshot)
def show_snapshot(*, house: HouseOf, response: Response, snapshot: str) -> Any:
    """One snapshot. Its ETag is for PATCH."""
    with house.reads.connect() as connection:
        found = rows.snapshot(connection, snapshot_id(snapshot))
    response.headers["ETag"] = words.etag(found)
    return found


@router.patch("/{snapshot}", response_model=Snapshot)
def edit_snapshot(
    *,
    house: HouseOf,
    actor: ActorOf,
    response: Response,
    snapshot: str,
    wish: WishWords,
    if_match: IfMatch = None,
) -> Any:
    """Changes its words. With If-Match only if nobody else has since the ETag was read: else 412."""
    seen = tuple(tag.strip() for tag in if_match.split(",")) if if_match and if_match.strip() != "*" else ()
    words.edit(house.engine, snapshot_id(snapshot), wish.given(), actor.name, seen)
    return show_snapshot(house=house, response=response, snapshot=snapshot)


@router.delete("/{snapshot}", response_model=Job, **ACCEPTED)
def delete_snapshot(
    *,
    house: HouseOf,
    actor: ActorOf,
    response: Response,
    snapshot: str,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Asks for a snapshot to be deleted; the VM stays as it is."""
    operation = DeleteSnapshot(snapshot_id=str(snapshot_id(snapshot)))
    return submit(house, operation, actor, idempotency_key, response)


@router.post("/{snapshot}/revert", response_model=Job, **ACCEPTED)
def revert_snapshot(
    *,
    house: HouseOf,
    actor: ActorOf,
    response: Response,
    snapshot: str,
    wish: WishRevert | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Asks for the VM to be brought back to this snapshot."""
    after = (wish or WishRevert()).after
    operation = RevertSnapshot(snapshot_id=str(snapshot_id(snapshot)), after=after)
    return submit(house, operation, actor, idempotency_key, response)


@router.post("/{snapshot}/volumes", response_model=Job, **ACCEPTED)
def extract_volume(
    *,
    house: HouseOf,
    actor: ActorOf,
    response: Response,
    snapshot: str,
    wish: WishVolume,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Asks for a standalone image of one volume. The job's `volume_snapshot_id` is what will come of it."""
    operation = ExtractVolume(snapshot_id=str(snapshot_id(snapshot)), target=wish.target, name=wish.name)
    return submit(house, operation, actor, idempotency_key, response)


@router.get("/{snapshot}/events", response_model=Page[Event])
def list_events(
    *, house: HouseOf, snapshot: str, wanted: Annotated[Wanted, Depends(wanted)], after: EventAfter = None
) -> Any:
    """What happened to it, newest first; with `after` oldest first from there."""
    id_ = snapshot_id(snapshot)
    with house.reads.connect() as connection:
        rows.check_known(connection, id_)
        return event_rows.events(connection, event_rows.Filters(snapshot=id_, after=after), wanted)


@router.get("/{snapshot}/comments", response_model=Page[Comment])
def list_comments(*, house: HouseOf, snapshot: str, wanted: Annotated[Wanted, Depends(wanted)]) -> Any:
    """What was said about it, oldest first."""
    id_ = snapshot_id(snapshot)
    with house.reads.connect() as connection:
        rows.check_known(connection, id_)
        return event_rows.comments(connection, id_, wanted)


@router.post("/{snapshot}/comments", response_model=Comment, status_code=201)
def add_comment(*, house: HouseOf, actor: ActorOf, snapshot: str, wish: WishComment) -> Any:
    """Says something about it. Comments are kept as they are."""
    return words.comment(house.engine, snapshot_id(snapshot), wish.text, actor.name)
