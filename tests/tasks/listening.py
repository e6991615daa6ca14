"""A worker for tests: it writes down which messages it was given, and does nothing else."""

import os

from redis import Redis

from tasks.app import make_app
from tasks.messages import JOB_MESSAGES

BROKER_URL = os.environ["STILLFRAME_BROKER_URL"]
app = make_app(BROKER_URL, consumer="h1")


@app.task(name=JOB_MESSAGES["create_snapshot"])
def heard(job_id: str, vm: str, snapshot: str) -> None:
    """Write the message down."""
    with Redis.from_url(BROKER_URL) as redis:
        redis.rpush("heard", f"{job_id} {vm} {snapshot}")
