"""Waiting for a job's end, and asking for it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from models.jobs.journal import Journal
from models.queries.ended import LISTENER
from models.session import transaction
from stillframe.client import Producer
from stillframe.errors import StillframeError
from tests.given import given
from tests.web.conftest import Api, until
from tests.world import World

pytestmark = pytest.mark.postgres


def begun(journal: Journal, job: str) -> "threading.Thread":
    """Claims a job; the thread that comes back ends it well."""
    attempt = journal.claim(UUID(job), worker="w", lease_s=30)
    assert attempt is not None
    return threading.Thread(target=lambda: attempt.succeed({"consistency": "crash"}, None))


def listeners(api: Api) -> list[int]:
    """The connections on which an API listens."""
    pids = "SELECT pid FROM pg_stat_activity WHERE application_name = :name"
    with transaction(api.engine) as session:
        return list(session.execute(text(pids), {"name": LISTENER}).scalars())


def test_a_wait_ends_with_the_job(
    api: Api, client: Producer, world: World, journal: Journal, name: str
) -> None:
    """The answer comes within a moment of the end, not at the next look of a timer."""
    world.vm(name)
    until(lambda: listeners(api))
    delays = []
    for _ in range(5):
        job = client.create_snapshot(name)
        ending = begun(journal, job["id"])
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.job, job["id"], 20)
            time.sleep(0.2)
            ending.start()
            ending.join()
            ended = time.monotonic()
            assert waiting.result()["state"] == "succeeded"
            delays.append(time.monotonic() - ended)

    assert sorted(delays)[2] < 0.5  # the timer looks once a second


def test_a_wait_of_no_use_is_over_in_time(client: Producer, world: World, name: str) -> None:
    """When nothing happens the answer is the job as it is."""
    job = world.job(world.vm(name))
    began = time.monotonic()

    assert client.job(str(job), wait_s=0.5)["state"] == "queued"
    assert 0.45 < time.monotonic() - began < 3


def test_a_wait_for_what_has_ended_is_no_wait(client: Producer, world: World, name: str) -> None:
    """A job that is over answers at once."""
    world.vm(name)
    job = client.create_snapshot(name)
    client.cancel_job(job["id"])
    began = time.monotonic()

    assert client.wait(job["id"], timeout_s=60)["state"] == "cancelled"
    assert time.monotonic() - began < 2


def test_a_word_that_is_lost_costs_a_second(
    api: Api, client: Producer, world: World, journal: Journal, name: str
) -> None:
    """With the listening connection cut, the end is found by looking, and listening begins anew."""
    world.vm(name)
    job = client.create_snapshot(name)
    ending = begun(journal, job["id"])
    until(lambda: listeners(api))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.job, job["id"], 20)
        time.sleep(0.2)
        with transaction(api.engine) as session:
            session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": listeners(api)[0]})
        ending.start()
        began = time.monotonic()

        assert waiting.result(25)["state"] == "succeeded"
        assert time.monotonic() - began < 5


def test_a_hundred_who_wait_are_one_connection(api: Api, world: World, journal: Journal, name: str) -> None:
    """Many waits hold no connection to the database each, and all end with their job."""
    vm = world.vm(name)
    job = str(world.job(vm))
    ending = begun(journal, job)
    with ThreadPoolExecutor(100) as pool, api.http as http:
        waits = [pool.submit(http.get, f"/v1/jobs/{job}", params={"wait": "20s"}) for _ in range(60)]
        time.sleep(1)
        with transaction(api.engine) as session:
            count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stillframe web' AND state <> 'idle'"
            busy = session.execute(text(count)).scalar_one()
        ending.start()

        assert {wait.result().json()["state"] for wait in waits} == {"succeeded"}
    assert busy <= 2


def test_a_queued_job_is_cancelled_at_once(client: Producer, world: World, name: str) -> None:
    """It answers as cancelled, what it would have made is in error, and a second time is refused."""
    world.vm(name)
    job = client.create_snapshot(name)

    assert client.cancel_job(job["id"])["state"] == "cancelled"
    assert given(client.snapshot(given(job["snapshot_id"]))["error"])["code"] == "job.cancelled"
    with pytest.raises(StillframeError) as refused:
        client.cancel_job(job["id"])
    assert (refused.value.status, refused.value.code) == (409, "job.not_cancellable")


def test_a_running_job_is_asked_to_stop(client: Producer, world: World, journal: Journal, name: str) -> None:
    """It stays running until its worker can stop safely, and shows that it was asked."""
    world.vm(name)
    job = client.create_snapshot(name)
    begun(journal, job["id"])
    asked = client.cancel_job(job["id"])

    assert asked["state"] == "running"
    assert asked["cancel_requested_at"] is not None


def test_jobs_are_narrowed(client: Producer, world: World, name: str) -> None:
    """By VM, state, kind, host, snapshot and the end of an id."""
    vm = world.vm(name, host=name)
    snapshot = world.snapshot(vm, "s1")
    made = str(world.job(vm))
    deleting = str(world.job(vm, "delete_snapshot", snapshot=snapshot))

    def ids(**filters: object) -> list[str]:
        return [one["id"] for one in client.jobs(**filters)["items"]]

    assert ids(vm=name) == [deleting, made]
    assert ids(host=name, kind="create_snapshot") == [made]
    assert ids(snapshot=str(snapshot)) == [deleting]
    assert ids(vm=name, state=["running", "stuck"]) == []
    assert ids(q=made[-8:]) == [made]
    assert ids(q=made[-20:].upper()) == [made]
    assert ids(q=made) == [made]
    assert ids(q="no id") == []


def test_steps_come_with_the_one_job_only(
    client: Producer, world: World, journal: Journal, name: str
) -> None:
    """A job shows its steps with their outputs; lists leave them out."""
    job = world.job(world.vm(name))
    attempt = journal.claim(job, worker="w", lease_s=30)
    assert attempt is not None
    attempt.start("check_vm")
    attempt.finish("check_vm", {"ok": True}, then="cut")
    first, second = given(client.job(str(job))["steps"])

    assert (first["name"], first["state"], first["output"]) == ("check_vm", "done", {"ok": True})
    assert (second["name"], second["state"]) == ("cut", "started")
    assert client.jobs(vm=name)["items"][0]["steps"] is None


def test_readiness_follows_the_database(http: httpx.Client, api: Api) -> None:
    """Without its database the API says so in one sentence, and recovers by itself."""
    api.lab.stop_postgres()
    try:
        down = http.get("/readyz")
        listing = http.get("/v1/vms")
    finally:
        api.lab.start_postgres()

    assert (down.status_code, down.json()["code"]) == (503, "database.unavailable")
    assert listing.json()["code"] == "database.unavailable"
    assert http.get("/readyz").status_code == 200


def test_any_patience_can_be_waited_for(client: Producer, world: World, name: str) -> None:
    """A wait that is no round number of seconds is a wait like any other, and ends when it is over."""
    job = world.job(world.vm(name))
    assert client.job(str(job), wait_s=0.29973123)["state"] == "queued"
    assert client.wait(str(job), timeout_s=0.1 + 1e-7)["state"] == "queued"
