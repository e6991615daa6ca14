"""From a request to a job: whatever takes time is answered at once with 202, the job, and where to look."""

from typing import Any

from fastapi import Response

from models.actor import Actor
from models.queries.jobs import job
from stillframe.errors import HostDraining, IdempotencyMismatch, StillframeError
from stillframe.operations import Operation
from web.described import CHANGE, keyed
from web.house import House
from web.shapes import Job, Json

DRAINING = HostDraining(host="hv1", by="kim", reason="new memory")
_LOCATION = {
    "description": "The job",
    "schema": {"type": "string", "examples": ["/v1/jobs/01a206ea-c839-..."]},
}


def accepted(*errors: StillframeError) -> dict[str, Any]:
    """How a route that submits is declared, with the refusals it may give."""
    may = keyed(*CHANGE, IdempotencyMismatch(key="nightly-2026-11-23"), DRAINING, *errors)
    return {
        "status_code": 202,
        "response_description": "The job; `Location` is where it is to be looked at.",
        "responses": {202: {"model": Job, "headers": {"Location": _LOCATION}}, **may},
    }


def submit(house: House, operation: Operation, actor: Actor, key: str | None, response: Response) -> Json:
    """Writes the job down and answers with it."""
    id_ = house.producer.submit(operation, actor, idempotency_key=key).job_id
    response.headers["Location"] = f"/v1/jobs/{id_}"
    with house.reads.connect() as connection:
        return job(connection, id_)
