"""The broker away, flushed, saying things twice, or saying nonsense: a job's row is the truth and runs once."""

import signal
import time
from collections.abc import Callable

import pytest

from models.jobs.outbox import Owed
from stillframe.names import queue_for
from tasks.app import make_app
from tasks.broker import Broker
from tasks.messages import Envelope, wake
from tests.brakes import stopped
from tests.journeys.site import Json, Site, until
from tests.journeys.witness import Witness
from tests.nonsense import NONSENSE
from workers.operations.create_snapshot import CREATE_SNAPSHOT
from workers.steps import Step

Made = Callable[..., Witness]

#: Seconds after which a queued job that nobody took up is owed its message again.
FORGOTTEN_S = 60


def test_a_broker_that_is_down_delays_and_refuses_nothing(
    site: Site, witness: Made, measured: Callable[[str, float], None]
) -> None:
    """With Redis down a request is answered within 2 s with 202, and its job runs once Redis is back."""
    vm = witness()
    mark = vm.mark()
    worker = site.worker_pid()
    site.lab.stop_redis()
    took, jobs = [], []
    with site.http() as http:
        for number in range(3):
            began = time.monotonic()
            answer = http.post(f"/v1/vms/{vm.name}/snapshots", json={"name": f"s{number}"})
            took.append(time.monotonic() - began)
            assert answer.status_code == 202, answer.text
            assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
            jobs.append(answer.json())
    assert max(took) < 2
    assert [site.job(job)["state"] for job in jobs] == ["queued"] * 3
    site.lab.start_redis()
    back = time.time()
    for job in jobs:
        assert site.succeeded(job)["attempt"] == 1
    assert site.worker_pid() == worker, "the worker lived through it"
    measured("request while the broker is down", max(took))
    measured("broker back -> first job runs", site.when(jobs[0], "job.started") - back)
    vm.holds(vm.ready(jobs[0], mark))
    vm.runs()
    vm.is_tidy()


def test_a_flushed_broker_loses_no_job(site: Site, witness: Made) -> None:
    """Jobs whose messages were lost in Redis are published again when their time is over, and run once each."""
    vm, other = witness(), site.guest(start=False)
    site.seen(other)
    site.stack.stop("worker", signal.SIGKILL)
    jobs = [vm.ask("hot"), site.client.create_snapshot(other.name)]
    # Both were sent when the requests were answered; Redis may have given one to the worker it did not know to be dead.
    until(lambda: site.queued_messages() >= 1, 10, "a message")
    with site.redis() as redis:
        redis.flushall()
    site.start_worker()
    until(lambda: "ready." in site.said(), 30, "the worker")
    assert [site.job(job)["state"] for job in jobs] == ["queued", "queued"]

    site.sql(
        "UPDATE job SET published_at = published_at - make_interval(secs => :s) WHERE id = ANY(CAST(:ids AS uuid[]))",
        s=FORGOTTEN_S,
        ids=[job["id"] for job in jobs],
    )

    for job in jobs:
        assert site.succeeded(job, 30)["attempt"] == 1
        assert site.story(job).count("job.started") == 1
    vm.is_tidy()


@pytest.fixture
def broker(site: Site) -> Broker:
    """The tasks' own way to send."""
    return Broker(make_app(site.stack.addresses()["BROKER_URL"]))


def wake_up(site: Site, job: Json, number: int) -> Envelope:
    """The message of a job once more."""
    return wake(
        Owed(
            job_id=job["id"],
            kind=job["kind"],
            host=site.host,
            vm_name=job["vm"]["name"],
            snapshot_name="",
            priority=job["priority"],
            publish_count=number,
        )
    )


def test_a_message_delivered_again_runs_nothing_again(site: Site, witness: Made, broker: Broker) -> None:
    """Copies of a job's message, before, during and after its run, make one run: one attempt, each step once."""
    vm = witness()
    with stopped(site.qemu(vm.guest)):
        job = vm.ask("hot", quiesce="never")
        broker.send([wake_up(site, job, 0)])
        site.wait_step(job, "cut")
        broker.send([wake_up(site, job, number) for number in (0, 1, 2)])
        until(lambda: not site.queued_messages(), 20, "the worker to have taken them")
    job = site.succeeded(job)
    broker.send([wake_up(site, job, 3)])
    after = site.succeeded(vm.ask("hot"))
    broker.close()
    assert job["attempt"] == after["attempt"] == 1
    steps = [part.name for part in CREATE_SNAPSHOT.parts if isinstance(part, Step)]
    assert site.story(job) == [
        "job.queued",
        "job.started",
        *(f"step.{what} {step}" for step in steps for what in ("started", "finished")),
        "job.succeeded",
        "snapshot.ready",
    ]
    vm.runs_bare()
    vm.is_tidy()


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_in_the_queue_stops_nothing(site: Site, what: str) -> None:
    """Whatever lies in the host's queue, the worker lives, takes it away, and does the next job."""
    worker = site.worker_pid()
    vm = site.guest(start=False)
    site.seen(vm)
    with site.redis() as redis:
        redis.lpush(queue_for(site.host), NONSENSE[what])
    job = site.client.create_snapshot(vm.name)
    assert site.succeeded(job, 30)["attempt"] == 1
    until(lambda: not site.queued_messages(), 10, "an empty queue")
    with site.redis() as redis:
        assert redis.hlen(f"unacked.{site.host}") == 0, "it would be delivered again"
    assert site.worker_pid() == worker
