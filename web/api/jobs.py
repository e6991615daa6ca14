"""Jobs: lists, one of them, waiting for its end, asking it to stop, and the ways on for one that did not end well."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.concurrency import run_in_threadpool

from models.jobs.recovery import recover
from models.queries import jobs as rows
from models.queries.paging import Wanted
from models.queries.recovery import inspection
from models.tenants.actor import Actor
from stillframe.errors import (
    HostNotFound,
    JobNotCancellable,
    JobNotFound,
    JobNotRetryable,
    JobNotStuck,
    PastNoReturn,
    RollbackTooLate,
    SnapshotNotFound,
    VmNotFound,
)
from stillframe.operations import OPERATIONS
from stillframe.rights import Right
from stillframe.states import ENDED, OVER, JobState
from web.auth import OF_A_JOB, Reader, needs
from web.described import BODY, CHANGE, OWNED, PAGES, keyed
from web.house import House, HouseOf
from web.ids import job_id, snapshot_id
from web.inspected import Inspection
from web.shapes import Job, Json, Page
from web.submitting import accepted, submit
from web.wishes import DomainFilter, Filter, IdempotencyKey, JobPath, Wait, WishRecovery, wait_s, wanted

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

NO_JOB = JobNotFound(job="01a206ea")


@router.get(
    "",
    summary="List jobs",
    response_model=Page[Job],
    responses=keyed(
        *(*PAGES, *OWNED, VmNotFound(vm="web9"), HostNotFound(host="hv9")),
        SnapshotNotFound(snapshot="01a206ea"),
    ),
)
def list_jobs(
    *,
    house: HouseOf,
    actor: Reader,
    wanted: Annotated[Wanted, Depends(wanted)],
    vm: Filter = None,
    state: Annotated[Sequence[JobState], Query(description="May be given several times")] = (),
    kind: Filter = None,
    host: Filter = None,
    snapshot: Filter = None,
    account: Filter = None,
    domain: DomainFilter = None,
    q: Annotated[Filter, Query(description="The last 6 or more digits of an id")] = None,
) -> Any:
    """Jobs, newest first, without their steps."""
    of = snapshot_id(snapshot) if snapshot is not None else None
    filters = rows.Filters(
        vm=vm, states=tuple(state), kind=kind, host=host, snapshot=of, q=q, account=account, domain=domain
    )
    return house.read(rows.jobs, actor, filters, wanted)


@router.get("/{job}", summary="Show a job, or wait for its end", response_model=Job, responses=keyed(NO_JOB))
async def show_job(*, house: HouseOf, actor: Reader, job: JobPath, wait: Wait = None) -> Any:
    """One job with its steps. With `wait` the answer comes once it has ended, or is stuck, or the time is over."""
    id_ = job_id(job)

    async def look() -> Json:
        return await run_in_threadpool(_look, house, actor, id_)

    if not wait:
        return await look()
    return await house.bell.wait(id_, look, lambda found: found["state"] in OVER, wait_s(wait))


@router.post(
    "/{job}/cancel",
    summary="Ask a job to stop",
    response_model=Job,
    status_code=202,
    responses=keyed(
        *CHANGE,
        NO_JOB,
        JobNotCancellable(job="01a206ea", state="succeeded", ended="has already succeeded"),
        PastNoReturn(job="01a206ea", phase="drop reference"),
    ),
)
def cancel_job(*, house: HouseOf, actor: Annotated[Actor, needs(*OF_A_JOB)], job: JobPath) -> Any:
    """Asks a job to stop. One that runs stops when it can do so safely; past its point of no return it goes on."""
    id_ = job_id(job)
    actor.check(OPERATIONS[_look(house, actor, id_)["kind"]].right)
    house.journal.request_cancel(id_, actor.name)
    return _look(house, actor, id_)


@router.get(
    "/{job}/recover",
    summary="Inspect a job that is stuck",
    response_model=Inspection,
    responses=keyed(NO_JOB),
)
def inspect_job(*, house: HouseOf, actor: Reader, job: JobPath) -> Any:
    """All there is to know before deciding: steps, evidence, the VM as last seen, and what each way out would do."""
    return house.read(inspection, actor, job_id(job))


@router.post(
    "/{job}/recover",
    summary="Decide about a job that is stuck",
    response_model=Job,
    status_code=202,
    responses=keyed(
        *CHANGE,
        *BODY,
        NO_JOB,
        JobNotStuck(job="01a206ea", state="running"),
        RollbackTooLate(job="01a206ea", phase="pivot:vda:0"),
    ),
)
def recover_job(
    *, house: HouseOf, actor: Annotated[Actor, needs(Right.RECOVER)], job: JobPath, wish: WishRecovery
) -> Any:
    """Lets it go on (`resume`), walks it back (`rollback`), or closes it as its host is found (`mark_done`)."""
    id_ = job_id(job)
    _look(house, actor, id_)
    vm = recover(house.engine, id_, wish.action, actor.name, wish.note)
    house.producer.publisher.next_of_vm(vm)
    return _look(house, actor, id_)


@router.post(
    "/{job}/retry",
    summary="Ask for a job again",
    response_model=Job,
    **accepted(NO_JOB, JobNotRetryable(job="01a206ea", state="succeeded")),
)
def retry_job(
    *,
    house: HouseOf,
    actor: Annotated[Actor, needs(*OF_A_JOB)],
    response: Response,
    job: JobPath,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Asks for the same once more, as a new job: of one that failed, was cancelled or skipped, or has expired."""
    found = _look(house, actor, job_id(job))
    if found["state"] not in ENDED - {JobState.SUCCEEDED}:
        raise JobNotRetryable(job=job, state=found["state"])
    operation = OPERATIONS[found["kind"]].from_json(found["request"])
    return submit(house, operation, actor, idempotency_key, response)


def _look(house: House, actor: Actor, id_: UUID) -> Json:
    return house.read(rows.job, actor, id_)
