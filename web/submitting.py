"""From a request to a job: whatever takes time is answered at once with 202, the job, and where to look."""

from typing import Any

from fastapi import Response

from models.actor import Actor
from models.queries.jobs import job
from stillframe.operations import Operation
from web.house import House
from web.shapes import Job, Json

#: How the routes that submit are declared.
ACCEPTED: dict[str, Any] = {
    "status_code": 202,
    "response_description": "The job; `Location` is where it is to be looked at.",
    "responses": {202: {"model": Job, "headers": {"Location": {"schema": {"type": "string"}}}}},
}


def submit(house: House, operation: Operation, actor: Actor, key: str | None, response: Response) -> Json:
    """Writes the job down and answers with it."""
    id_ = house.producer.submit(operation, actor, idempotency_key=key).job_id
    response.headers["Location"] = f"/v1/jobs/{id_}"
    with house.reads.connect() as connection:
        return job(connection, id_)
