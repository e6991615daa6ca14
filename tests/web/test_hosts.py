"""Hosts that are drained, and what their jobs wait for, as the API and the command line say it."""

import json
from uuid import UUID, uuid4

import httpx
import pytest

from models.jobs.journal import Journal
from stillframe.client import Producer
from stillframe.errors import StillframeError
from tests.given import given
from tests.web.conftest import Cli
from tests.world import World

pytestmark = pytest.mark.postgres


@pytest.fixture
def host(world: World) -> str:
    """One that no other test drains."""
    name = f"h-{uuid4().hex[:8]}"
    world.host(name)
    return name


def test_a_drained_host_refuses_and_says_so(client: Producer, world: World, name: str, host: str) -> None:
    """Who, since when and why are shown; a request is refused with them; undrained, it is accepted."""
    world.vm(name, host=host)
    drained = given(client.drain_host(host, "new memory")["drained"])
    assert (drained["by"], drained["reason"]) == ("admin", "new memory")
    assert client.drain_host(host)["drained"] == drained
    with pytest.raises(StillframeError) as refused:
        client.create_snapshot(name)
    assert (refused.value.status, refused.value.code) == (409, "host.draining")
    assert "admin (new memory)" in str(refused.value)
    assert client.undrain_host(host)["drained"] is None
    assert client.create_snapshot(name)["state"] == "queued"


def test_a_request_asked_before_is_answered_after(
    client: Producer, world: World, name: str, host: str
) -> None:
    """The job of an idempotency key is there, whatever the host says now."""
    world.vm(name, host=host)
    first = client.create_snapshot(name, name="s", idempotency_key=f"k-{host}")
    client.drain_host(host)
    again = client.create_snapshot(name, name="s", idempotency_key=f"k-{host}")
    assert again["id"] == first["id"]
    assert given(again["waiting"])["code"] == "host_drained"


def test_hosts_are_narrowed(client: Producer, http: httpx.Client, host: str) -> None:
    """By whether they take jobs and whether they were heard of."""
    client.drain_host(host)
    assert host in [one["name"] for one in client.every(client.hosts, drained=True, alive=True)]
    assert host not in [one["name"] for one in client.every(client.hosts, drained=False)]
    assert host not in [one["name"] for one in client.every(client.hosts, alive=False)]
    assert http.get("/v1/hosts", params={"drained": "perhaps"}).status_code == 422


def test_a_host_nobody_knows_is_not_found(http: httpx.Client) -> None:
    """Neither drained nor undrained; a reason that cannot be kept is refused."""
    for verb in ("drain", "undrain"):
        answer = http.post(f"/v1/hosts/nobody/{verb}")
        assert (answer.status_code, answer.json()["code"]) == (404, "host.not_found")
    assert http.post("/v1/hosts/nobody/drain", json={"reason": "a\0b"}).status_code == 422
    assert http.post("/v1/hosts/nobody/drain", json={"why": "x"}).status_code == 422


def test_a_job_says_what_it_waits_for(
    client: Producer, world: World, journal: Journal, name: str, host: str
) -> None:
    """In lists and alone; a job that goes on, or has ended, waits for nothing."""
    vm = world.vm(name, host=host)
    first, second = client.create_snapshot(name), client.create_snapshot(name)
    waits = given(second["waiting"])
    assert waits["code"] == "behind_job"
    assert first["id"] in waits["detail"]
    assert given(second["expires_at"]) > second["created_at"]
    attempt = journal.claim(UUID(first["id"]), worker="w", lease_s=30)
    assert attempt is not None
    listed = {one["id"]: one["waiting"] for one in client.jobs(vm=str(vm))["items"]}
    assert listed[first["id"]] is None
    assert given(listed[second["id"]])["detail"].endswith("create_snapshot, running")
    attempt.succeed({}, None)
    assert client.job(first["id"])["waiting"] is None
    assert given(client.job(second["id"])["waiting"])["code"] in {"not_sent", "no_free_worker"}


def test_the_command_line_drains(cli: Cli, world: World, name: str, host: str) -> None:
    """Drain, show, list, undrain; and a job shows that it waits for that."""
    world.vm(name, host=host)
    job = json.loads(cli("snapshot", "create", name, "-o", "json").out)["id"]
    drained = cli("host", "drain", host, "--reason", "new memory")
    assert drained.out == f"Host {host} takes no new jobs: 0 that it has begun run to their end, 1 wait.\n"
    shown = cli("host", "show", host).out
    assert "by admin at 20" in shown
    assert ": new memory" in shown
    (row,) = [line for line in cli("host", "list", "--all", "--drained").out.splitlines() if host in line]
    assert row.split()[:3] == [host, "yes", "yes"]
    assert f"Waits     host {host} was drained by admin" in cli("job", "show", job).out
    assert "waits: host drained" in cli("job", "list", "--vm", name).out
    refused = cli("snapshot", "create", name)
    assert refused.code == 5
    assert f"`stillframe host undrain {host}`" in refused.err
    assert cli("host", "undrain", host).out == f"Host {host} takes jobs.\n"
    assert cli("host", "drain", "nobody").code == 5
