"""What happened to a snapshot, and what was said about it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends

from models.queries import events as event_rows
from models.queries import snapshots as rows
from models.queries.paging import Wanted
from models.snapshots import words
from models.tenants.actor import Actor
from stillframe.rights import Right
from web.api.snapshots import UNKNOWN
from web.auth import Reader, needs
from web.described import BODY, CHANGE, PAGES, keyed
from web.house import HouseOf
from web.ids import snapshot_id
from web.making import ONCE, Making, made
from web.shapes import Comment, Event, Page
from web.wishes import EventAfter, SnapshotPath, WishComment, wanted

router = APIRouter(prefix="/v1/snapshots", tags=["snapshots"])


@router.get(
    "/{snapshot}/events",
    summary="List the events of a snapshot",
    response_model=Page[Event],
    responses=keyed(*PAGES, UNKNOWN),
)
def list_snapshot_events(
    *,
    house: HouseOf,
    actor: Reader,
    snapshot: SnapshotPath,
    wanted: Annotated[Wanted, Depends(wanted)],
    after: EventAfter = None,
) -> Any:
    """What happened to it, newest first; with `after` oldest first from there."""
    id_ = snapshot_id(snapshot)
    with house.reads.connect() as connection:
        rows.check_known(connection, actor, id_)
        return event_rows.events(connection, actor, event_rows.Filters(snapshot=id_, after=after), wanted)


@router.get(
    "/{snapshot}/comments",
    summary="List the comments on a snapshot",
    response_model=Page[Comment],
    responses=keyed(*PAGES, UNKNOWN),
)
def list_comments(
    *, house: HouseOf, actor: Reader, snapshot: SnapshotPath, wanted: Annotated[Wanted, Depends(wanted)]
) -> Any:
    """What was said about it, oldest first."""
    id_ = snapshot_id(snapshot)
    with house.reads.connect() as connection:
        rows.check_known(connection, actor, id_)
        return event_rows.comments(connection, id_, wanted)


@router.post(
    "/{snapshot}/comments",
    summary="Comment on a snapshot",
    response_model=Comment,
    status_code=201,
    responses={**made(201, Comment), **keyed(*CHANGE, *BODY, UNKNOWN, *ONCE)},
)
def add_comment(
    *,
    house: HouseOf,
    making: Making,
    actor: Annotated[Actor, needs(Right.COMMENT)],
    snapshot: SnapshotPath,
    wish: WishComment,
) -> Any:
    """Says something about it. Comments are kept as they are, until the snapshot is deleted for good."""
    id_ = snapshot_id(snapshot)
    house.read(rows.check_known, actor, id_)
    said = making.make(
        actor,
        ("comment", id_, wish.text),
        lambda session: words.comment(session, id_, wish.text, actor.name),
    )
    return house.read(event_rows.comment, id_, UUID(said))
