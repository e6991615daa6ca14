"""GET /v1/events."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from models.queries import events as rows
from models.queries.paging import Wanted
from stillframe.errors import JobNotFound, SnapshotNotFound, VmNotFound
from stillframe.events import Level
from web.described import PAGES, keyed
from web.house import HouseOf
from web.shapes import Event, Page
from web.wishes import EventAfter, Filter, job_id, snapshot_id, wanted

router = APIRouter(prefix="/v1/events", tags=["events"])


@router.get(
    "",
    summary="List events",
    response_model=Page[Event],
    responses=keyed(
        *PAGES, VmNotFound(vm="web9"), SnapshotNotFound(snapshot="01a206ea"), JobNotFound(job="01a206ea")
    ),
)
def list_events(
    *,
    house: HouseOf,
    wanted: Annotated[Wanted, Depends(wanted)],
    vm: Filter = None,
    snapshot: Filter = None,
    job: Filter = None,
    type: Annotated[Filter, Query(description="Such as `job.failed`; `job.` for all that begin so")] = None,  # noqa: A002  # the contract's word
    level: Annotated[Level | None, Query(description="This level or worse")] = None,
    steps: Annotated[bool, Query(description="Whether the steps of jobs are among them")] = True,
    after: EventAfter = None,
) -> Any:
    """What has happened, newest first. With `after`, an event's id, oldest first from there, and none is ever missed."""
    filters = rows.Filters(
        vm=vm,
        snapshot=snapshot_id(snapshot) if snapshot is not None else None,
        job=job_id(job) if job is not None else None,
        type=type,
        level=level,
        steps=steps,
        after=after,
    )
    with house.reads.connect() as connection:
        return rows.events(connection, filters, wanted)
