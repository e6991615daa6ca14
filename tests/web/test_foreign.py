"""Snapshots of other tools as the API and the command line show and refuse them."""

from dataclasses import replace
from uuid import UUID

import pytest

from models.hosts.machine import record_vm
from models.session import transaction
from stillframe.client import Producer
from stillframe.errors import StillframeError
from stillframe.seen import ForeignSeen
from tests.given import given
from tests.web.conftest import Api, Cli
from tests.world import World, seen_vm

pytestmark = pytest.mark.postgres

WHY = "it is external, and its chain is not ours"


@pytest.fixture
def vm(api: Api, world: World, name: str) -> str:
    """A VM with one snapshot of ours, an internal one of virsh with the same name, and an external one."""
    id_ = world.vm(name)
    world.snapshot(id_, "same")
    internal = ForeignSeen("same", "internal", True, "running", 1_700_000_000, None, True, {"vda": "/i/vda"})
    external = ForeignSeen(
        "out side", "external", False, "disk-snapshot", 1_700_000_001, "same", False, {"vda": "/i/vda"},
        cannot=dict.fromkeys(("revert", "delete", "extract"), WHY),
    )  # fmt: skip
    with transaction(api.engine) as session:
        seen = replace(seen_vm(id_, name), foreign=(internal, external))
        record_vm(session, world.host(), seen)
    return name


def test_they_are_listed_with_what_is_known(client: Producer, vm: str) -> None:
    """Both lists show them, and narrow to them; each says what can be done with it and why not."""
    found = client.snapshots(vm=vm, origin="foreign", sort="created_at")["items"]
    internal, external = found
    assert [one["name"] for one in client.snapshots(vm=vm, origin="stillframe")["items"]] == ["same"]
    assert len(client.snapshots(vm=vm)["items"]) == 3
    assert internal["origin"] == "foreign"
    assert internal["foreign"] == {
        "name": "same", "kind": "internal", "with_memory": True, "state": "running",
        "parent": None, "current": True, "known_to_libvirt": True,
    }  # fmt: skip
    assert (internal["type"], internal["consistency"], internal["created_at"][:4]) == ("memory", None, "2023")
    assert internal["volumes"][0]["layer"] == "/i/vda"
    assert all(one["allowed"] for one in internal["actions"].values())
    assert external["parent_id"] == internal["id"]
    assert all(WHY in given(one["reason"]) for one in external["actions"].values())


def test_what_cannot_be_is_refused_and_what_can_is_a_job(client: Producer, vm: str) -> None:
    """The refusal has the words that were shown; an internal one is asked for like one of ours."""
    internal, external = client.snapshots(vm=vm, origin="foreign", sort="created_at")["items"]
    for ask in (
        lambda: client.revert_snapshot(external["id"]),
        lambda: client.delete_snapshot(external["id"]),
        lambda: client.extract_volume(external["id"], "vda"),
    ):
        with pytest.raises(StillframeError) as refused:
            ask()
        assert (refused.value.code, refused.value.status) == ("snapshot.foreign", 409)
        assert WHY in refused.value.detail
    job = client.extract_volume(internal["id"], "vda")
    assert UUID(job["volume_snapshot_id"])
    with pytest.raises(StillframeError, match="no volume"):
        client.extract_volume(internal["id"], "vdz")
    assert client.revert_snapshot(internal["id"])["kind"] == "revert_snapshot"
    assert client.delete_snapshot(internal["id"])["kind"] == "delete_snapshot"


def test_the_command_line_shows_them(cli: Cli, client: Producer, vm: str) -> None:
    """A list says whose they are as soon as one is foreign; a name that ours has means ours; the tree draws them."""
    said = cli("snapshot", "list", "--vm", vm)
    assert said.out.split("\n")[0].split()[:5] == ["VM", "NAME", "DISPLAY", "NAME", "ORIGIN"]
    assert "ORIGIN" not in cli("snapshot", "list", "--vm", vm, "--origin", "stillframe").out
    assert cli("snapshot", "list", "--vm", vm, "--origin", "foreign").out.count("foreign") == 2
    assert "Origin" not in cli("snapshot", "show", f"{vm}/same").out
    shown = cli("snapshot", "show", f"{vm}/out side")
    assert "another tool (external, known to libvirt)" in shown.out
    assert WHY in shown.out
    tree = cli("snapshot", "tree", vm)
    assert (tree.code, tree.out.count("foreign")) == (0, 2)
    assert "<- you are here" in tree.out
    assert cli("snapshot", "delete", f"{vm}/out side", "--yes").code == 5
