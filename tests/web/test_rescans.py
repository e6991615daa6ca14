"""Rescans over HTTP and on the command line, answered by a keeper that the test plays."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, update

from models.hosts import rescans
from models.hosts.tables import Host, Rescan
from models.session import transaction
from stillframe.client import Producer
from stillframe.errors import StillframeError
from stillframe.states import RescanState
from tests.web.conftest import Api, Cli, until
from tests.world import World

pytestmark = [pytest.mark.postgres, pytest.mark.broker]

FOUND: dict[str, Any] = {
    "kind": "layer.orphan",
    "vm": "web1",
    "vm_id": "8f4075f4-80a8-4128-ab9d-8378d1471d0a",
    "subject": "/images/vda-1.qcow2",
    "detail": "Nobody needs it.",
    "remedy": "Remove it.",
    "bytes": 4096,
    "repair": "none",
    "repaired": False,
    "done": "",
    "drift": True,
}


@pytest.fixture
def keeper(api: Api) -> Callable[..., Any]:
    """Within the block the next rescan of a host ends with these findings, or fails with this error."""

    @contextmanager
    def plays(host: str, *findings: dict[str, Any], error: dict[str, Any] | None = None) -> Iterator[None]:
        def answer() -> bool:
            with transaction(api.engine) as session:
                asked = rescans.take_up(session, host)
                if asked is None:
                    return False
                if error:
                    rescans.fail(session, asked, error)
                else:
                    rescans.finish(session, asked, list(findings))
            return True

        thread = threading.Thread(target=lambda: until(answer))
        thread.start()
        try:
            yield
        finally:
            thread.join()

    return plays


def test_a_rescan_is_asked_for_and_waited_for(
    client: Producer, http: httpx.Client, world: World, keeper: Callable[..., Any], name: str
) -> None:
    """The answer is 202 with where to look; a wait ends with the findings."""
    world.host(name)
    answer = http.post(f"/v1/hosts/{name}/rescan", json={"repair": True})
    assert answer.status_code == 202
    asked = answer.json()
    assert (asked["state"], asked["repair"], asked["adopt"], asked["findings"]) == (
        "asked",
        True,
        False,
        None,
    )
    assert answer.headers["Location"] == f"/v1/hosts/{name}/rescans/{asked['id']}"
    with keeper(name, FOUND):
        done = client.rescan(name, asked["id"], wait_s=20)
    assert (done["state"], done["findings"]) == ("done", [FOUND])
    assert [one["id"] for one in client.rescans(name)["items"]] == [asked["id"]]
    event = client.events(type="host.rescanned")["items"][0]
    figures = {"findings": 1, "repaired": 0, "left": 1}
    assert event["data"] == {"rescan_id": asked["id"], "host": name, **figures}


def test_a_wait_ends_although_the_word_of_its_end_is_lost(
    client: Producer, api: Api, world: World, name: str
) -> None:
    """As when the connection that listens breaks at that moment: what is waited for is looked up again."""
    world.host(name)
    asked = client.rescan_host(name)
    found: list[Any] = []
    waits = threading.Thread(target=lambda: found.append(client.rescan(name, asked["id"], wait_s=25)))
    began = time.monotonic()
    waits.start()
    until(lambda: UUID(asked["id"]) in api.app.state.house.bell._waiting)
    with transaction(api.engine) as session:
        ended = {"state": RescanState.DONE, "findings": {"findings": []}, "finished_at": func.now()}
        session.execute(update(Rescan).where(Rescan.id == UUID(asked["id"])).values(ended))
    waits.join(30)
    assert found[0]["state"] == "done"
    assert time.monotonic() - began < 20


def test_a_host_that_is_silent_is_said_so(client: Producer, api: Api, world: World, name: str) -> None:
    """The rescan stays asked for, and tells since when the host was not heard of."""
    host = world.host(name)
    with transaction(api.engine) as session:
        silent = func.now() - timedelta(hours=1)
        session.execute(update(Host).where(Host.id == host).values(last_seen_at=silent))
    asked = client.rescan_host(name)
    assert (asked["state"], asked["host_alive"]) == ("asked", False)
    assert asked["host_seen_at"] < asked["created_at"]


def test_what_cannot_be_looked_at(client: Producer, world: World, name: str) -> None:
    """A host, a VM, a rescan that is not there; a VM that lives on another host."""
    world.host(name)
    world.vm(f"{name}-vm", host=f"{name}-2")
    for ask, code in (
        (lambda: client.rescan_host("hv-none"), "host.not_found"),
        (lambda: client.rescan_host(name, vm="vm-none"), "vm.not_found"),
        (lambda: client.rescan_host(name, vm=f"{name}-vm"), "vm.not_found"),
        (lambda: client.rescan(name, "no-id"), "rescan.not_found"),
        (lambda: client.rescan(name, "01a206ed-52aa-7b3f-8a21-91d84f7c1d02"), "rescan.not_found"),
    ):
        with pytest.raises(StillframeError) as refused:
            ask()
        assert refused.value.code == code


def test_the_command_shows_what_is_left(
    cli: Cli, world: World, keeper: Callable[..., Any], name: str
) -> None:
    """A table with what was done, a remedy for what is left, and exit code 1."""
    world.host(name)
    mended = FOUND | {"kind": "file.part", "repaired": True, "done": "removed", "drift": False}
    with keeper(name, FOUND, mended):
        said = cli("host", "rescan", name, "--repair")
    assert said.code == 1
    lines = said.out.splitlines()
    assert lines[0].split() == ["KIND", "VM", "SUBJECT", "SIZE", "DONE", "DETAIL"]
    assert "to do" in lines[1]
    assert "removed" in lines[2]
    assert "layer.orphan: Remove it." in said.err
    assert f"{name}: 2 findings, 1 left" in cli("event", "list", "--type", "host.rescanned").out


def test_the_command_says_that_all_is_well(
    cli: Cli, world: World, keeper: Callable[..., Any], name: str
) -> None:
    """Nothing found, or only what is worth knowing: exit code 0, also in JSON."""
    world.host(name)
    with keeper(name):
        said = cli("host", "rescan", name)
    assert (said.code, said.out) == (0, "")
    assert f"Host {name} is as its rows say." in said.err
    with keeper(name, FOUND | {"kind": "layer.hidden", "drift": False}):
        said = cli("host", "rescan", name, "-o", "json")
    assert said.code == 0
    assert json.loads(said.out)["findings"][0]["kind"] == "layer.hidden"


def test_the_rescans_of_a_host_are_listed(
    cli: Cli, world: World, client: Producer, keeper: Callable[..., Any], name: str
) -> None:
    """Newest first, by state if wanted, with how much each found and left."""
    world.host(name)
    assert "was never rescanned" in cli("host", "rescans", name).err
    with keeper(name, FOUND):
        cli("host", "rescan", name, "--repair")
    client.rescan_host(name, adopt=True)
    lines = cli("host", "rescans", name).out.splitlines()
    assert [line.split()[1:7] for line in lines[1:]] == [
        ["asked", "all", "yes", "no", "-", "-"],
        ["done", "all", "no", "yes", "1", "1"],
    ]
    said = cli("host", "rescans", name, "--state", "done", "-o", "json")
    assert [one["state"] for one in json.loads(said.out)] == ["done"]


def test_a_rescan_that_failed_says_why(cli: Cli, world: World, keeper: Callable[..., Any], name: str) -> None:
    """Libvirt said no: exit code 1 with the reason."""
    world.host(name)
    error = {"code": "hypervisor.failed", "detail": "no such pool", "remedy": "Look.", "evidence": {}}
    with keeper(name, error=error):
        said = cli("host", "rescan", name)
    assert said.code == 1
    assert "no such pool" in said.err
