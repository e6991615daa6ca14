"""From a request to a job: whatever takes time is answered at once with 202, the job, and where to look."""

from typing import Any

from fastapi import Response

from models.queries.jobs import job
from models.tenants.actor import Actor
from stillframe.errors import (
    HostDraining,
    QuotaExceeded,
    StillframeError,
)
from stillframe.operations import Operation
from web.described import CHANGE, keyed
from web.house import House
from web.making import ONCE, REPLAYED, replayed_or_not
from web.shapes import Job, Json

FULL = QuotaExceeded(whose="account acme", limit=500, what="snapshots", used=500)
DRAINING = HostDraining(host="hv1", by="kim", reason="new memory")
_LOCATION = {
    "description": "The job",
    "schema": {"type": "string", "examples": ["/v1/jobs/01a206ea-c839-..."]},
}


def accepted(*errors: StillframeError) -> dict[str, Any]:
    """How a route that submits is declared, with the refusals it may give."""
    may = keyed(*CHANGE, *ONCE, DRAINING, FULL, *errors)
    return {
        "status_code": 202,
        "response_description": "The job; `Location` is where it is to be looked at.",
        "responses": {
            202: {"model": Job, "headers": {"Location": _LOCATION, "Idempotency-Replayed": REPLAYED}},
            **may,
        },
    }


def submit(house: House, operation: Operation, actor: Actor, key: str | None, response: Response) -> Json:
    """Writes the job down and answers with it."""
    submitted = house.producer.submit(operation, actor, idempotency_key=key)
    response.headers["Location"] = f"/v1/jobs/{submitted.job_id}"
    replayed_or_not(response, replayed=submitted.replayed)
    return house.read(job, actor, submitted.job_id)
