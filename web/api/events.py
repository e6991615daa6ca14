"""GET /v1/events, and the stream of them."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool

from models.queries import events as rows
from models.queries.paging import Wanted
from models.queries.stream import Conditions, Mark, mark_after, mark_before, mark_of_now
from models.tenants.actor import Actor
from stillframe.errors import JobNotFound, SnapshotNotFound, StillframeError, VmNotFound
from stillframe.events import Level
from web.auth import Reader, still_welcome
from web.described import OWNED, PAGES, keyed
from web.house import House, HouseOf
from web.ids import job_id, snapshot_id
from web.shapes import Event, Page
from web.streaming import EventStream
from web.wishes import DomainFilter, EventAfter, Filter, wanted

router = APIRouter(prefix="/v1/events", tags=["events"])

UNKNOWN: Sequence[StillframeError] = (
    VmNotFound(vm="web9"),
    SnapshotNotFound(snapshot="01a206ea"),
    JobNotFound(job="01a206ea"),
    *OWNED,
)


def _filters(
    *,
    vm: Filter = None,
    snapshot: Filter = None,
    job: Filter = None,
    account: Filter = None,
    domain: DomainFilter = None,
    type: Annotated[Filter, Query(description="Such as `job.failed`; `job.` for all that begin so")] = None,  # noqa: A002  # the contract's word
    level: Annotated[Level | None, Query(description="This level or worse")] = None,
    steps: Annotated[bool, Query(description="Whether the steps of jobs are among them")] = True,
    after: EventAfter = None,
) -> rows.Filters:
    return rows.Filters(
        vm=vm,
        snapshot=snapshot_id(snapshot) if snapshot is not None else None,
        job=job_id(job) if job is not None else None,
        account=account,
        domain=domain,
        type=type,
        level=level,
        steps=steps,
        after=after,
    )


FiltersOf = Annotated[rows.Filters, Depends(_filters)]


@router.get("", summary="List events", response_model=Page[Event], responses=keyed(*PAGES, *UNKNOWN))
def list_events(
    *, house: HouseOf, actor: Reader, wanted: Annotated[Wanted, Depends(wanted)], filters: FiltersOf
) -> Any:
    """What has happened, newest first. With `after`, an event's id, oldest first from there, and none is ever missed."""
    return house.read(rows.events, actor, filters, wanted)


@router.get(
    "/stream",
    summary="Follow events",
    response_class=EventStream,
    status_code=200,
    response_description="Server-sent events: each with its id, and as data an event as the list has it.",
    responses=keyed(*UNKNOWN),
)
async def stream_events(
    *,
    request: Request,
    house: HouseOf,
    actor: Reader,
    filters: FiltersOf,
    last: Annotated[int, Query(ge=0, le=1000, description="Begin with the last so many that are wanted")] = 0,
    last_event_id: Annotated[
        int | None,
        Header(
            ge=0, le=2**63 - 1, description="The id of the last event that was seen; goes before the others"
        ),
    ] = None,
) -> EventStream:
    """What happens from now on, or has happened after an event's id: in order, without gaps, none twice.

    A browser's EventSource sends `Last-Event-ID` by itself when it comes back. A silent stream says every 15 s how far
    it is. The stream ends when the server stops, or the key or the login does.
    """
    seen = filters.after if last_event_id is None else last_event_id
    mark, conditions = await run_in_threadpool(_begin, house, actor, filters, seen, last)
    return EventStream(house.streams.follow(mark, conditions, partial(still_welcome, request, house, actor)))


def _begin(
    house: House, actor: Actor, filters: rows.Filters, seen: int | None, last: int
) -> tuple[Mark, Conditions]:
    with house.reads.connect() as connection:
        named = rows.named_by(connection, actor, filters)
        conditions = tuple(rows.conditions(named, filters))
        if seen is not None:
            return mark_after(connection, seen), conditions
        now = mark_of_now(connection)
        ids = rows.last_events(connection, named, filters, last) if last else []
        return mark_before(connection, ids) or now, conditions
