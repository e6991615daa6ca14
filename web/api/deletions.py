"""Several snapshots deleted together, a job a VM: all or none."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from models.queries.jobs import job
from models.tenants.actor import Actor
from stillframe.errors import CrossSite, DeletionsRefused
from stillframe.rights import Right
from web import examples
from web.auth import Reader, needs
from web.described import BODY, CHANGE, keyed
from web.house import HouseOf
from web.making import ONCE, REPLAYED
from web.planned import Forecast
from web.shapes import Job, Page
from web.wishes import IdempotencyKey, WishJob, Words

router = APIRouter(prefix="/v1/snapshots", tags=["snapshots"])

ALL_REFUSED = DeletionsRefused(
    count=1,
    of=3,
    why='There is no snapshot "01a206ea".',
    refusals=[{"snapshot": "01a206ea", "code": "snapshot.not_found"}],
)


class WishDeletions(WishJob):
    """Snapshots to be deleted together."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.WISH_DELETIONS))

    ids: Annotated[
        list[Annotated[Words, Field(min_length=1, max_length=64)]], Field(min_length=1, max_length=500)
    ]


@router.post(
    ":delete",
    summary="Delete many snapshots",
    response_model=Page[Job],
    status_code=202,
    response_description="The jobs, one a VM.",
    responses={
        202: {"headers": {"Idempotency-Replayed": REPLAYED}},
        **keyed(*CHANGE, *BODY, *ONCE, ALL_REFUSED),
    },
)
def delete_snapshots(
    *,
    house: HouseOf,
    actor: Annotated[Actor, needs(Right.DELETE)],
    response: Response,
    wish: WishDeletions,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Asks for the deletion of all of them, a job a VM: what lies between them is merged in one go. If one may not be
    deleted nothing is asked for, and `evidence.refusals` has each with its reason.
    """
    jobs = house.producer.delete_snapshots(wish.ids, actor, idempotency_key, **wish.limits())
    if any(one.replayed for one in jobs):
        response.headers["Idempotency-Replayed"] = "true"
    with house.reads.connect() as connection:
        return {"items": [job(connection, actor, one.job_id) for one in jobs], "next_cursor": None}


@router.post(
    ":delete:plan",
    summary="Plan the deletion of many snapshots",
    response_model=Page[Forecast],
    response_description="The plans, one a VM, also of what would be refused: then `allowed` is false.",
    responses=keyed(CrossSite(), *BODY, ALL_REFUSED),
)
def plan_deletions(*, house: HouseOf, actor: Reader, wish: WishDeletions) -> Any:
    """What deleting them together would free, move and leave. Nothing is done."""
    plans = house.producer.plan_deletions(wish.ids, actor, **wish.limits())
    return {"items": [one.to_json() for one in plans], "next_cursor": None}
