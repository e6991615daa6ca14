"""Jobs: lists, one of them, waiting for its end, and asking it to stop."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool

from models.queries import jobs as rows
from models.queries.paging import Wanted
from stillframe.errors import HostNotFound, JobNotCancellable, JobNotFound, SnapshotNotFound, VmNotFound
from stillframe.states import OVER, JobState
from web.auth import ActorOf
from web.described import CHANGE, PAGES, keyed
from web.house import House, HouseOf
from web.shapes import Job, Json, Page
from web.wishes import Filter, JobPath, Wait, job_id, snapshot_id, wait_s, wanted

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

NO_JOB = JobNotFound(job="01a206ea")


@router.get(
    "",
    summary="List jobs",
    response_model=Page[Job],
    responses=keyed(
        *PAGES, VmNotFound(vm="web9"), HostNotFound(host="hv9"), SnapshotNotFound(snapshot="01a206ea")
    ),
)
def list_jobs(
    *,
    house: HouseOf,
    wanted: Annotated[Wanted, Depends(wanted)],
    vm: Filter = None,
    state: Annotated[Sequence[JobState], Query(description="May be given several times")] = (),
    kind: Filter = None,
    host: Filter = None,
    snapshot: Filter = None,
    q: Annotated[Filter, Query(description="The last 6 or more digits of an id")] = None,
) -> Any:
    """Jobs, newest first, without their steps."""
    of = snapshot_id(snapshot) if snapshot is not None else None
    filters = rows.Filters(vm=vm, states=tuple(state), kind=kind, host=host, snapshot=of, q=q)
    with house.reads.connect() as connection:
        return rows.jobs(connection, filters, wanted)


@router.get("/{job}", summary="Show a job, or wait for its end", response_model=Job, responses=keyed(NO_JOB))
async def show_job(*, house: HouseOf, job: JobPath, wait: Wait = None) -> Any:
    """One job with its steps. With `wait` the answer comes once it has ended, or is stuck, or the time is over."""
    id_ = job_id(job)

    async def look() -> Json:
        return await run_in_threadpool(_look, house, id_)

    if not wait:
        return await look()
    return await house.bell.wait(id_, look, lambda found: found["state"] in OVER, wait_s(wait))


@router.post(
    "/{job}/cancel",
    summary="Ask a job to stop",
    response_model=Job,
    status_code=202,
    responses=keyed(
        *CHANGE, NO_JOB, JobNotCancellable(job="01a206ea", state="succeeded", ended="has already succeeded")
    ),
)
def cancel_job(*, house: HouseOf, actor: ActorOf, job: JobPath) -> Any:
    """Asks a job to stop. One that runs stops when it can do so safely; look at its state."""
    id_ = job_id(job)
    house.journal.request_cancel(id_, actor.name)
    return _look(house, id_)


def _look(house: House, id_: UUID) -> Json:
    with house.reads.connect() as connection:
        return rows.job(connection, id_)
