"""Holds: what is held stays, and everybody is told who wants that, why, and until when."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from models.session import transaction
from models.snapshots.tables import Snapshot
from stillframe.client import Producer
from stillframe.errors import StillframeError
from stillframe.states import SnapshotState
from tests.given import given
from tests.web.conftest import Api, Cli
from tests.world import World

pytestmark = pytest.mark.postgres


def test_a_held_snapshot_is_not_deleted_until_it_is_released(
    client: Producer, world: World, name: str
) -> None:
    """The refusal and `actions` say who, why and what to do, in the same words; after the release it goes."""
    id_ = str(world.snapshot(world.vm(name), "s1"))
    held = client.hold_snapshot(id_, "for the audit")
    with pytest.raises(StillframeError) as refused:
        client.delete_snapshot(id_)

    assert (held["held"], given(held["hold"])["reason"], given(held["hold"])["until"]) == (
        True,
        "for the audit",
        None,
    )
    assert (refused.value.code, refused.value.status) == ("snapshot.held", 409)
    assert refused.value.evidence["until"] == "it is released"
    assert "for the audit" in str(refused.value)
    delete = held["actions"]["delete"]
    assert not delete["allowed"]
    assert delete["reason"] == f"{refused.value} {refused.value.remedy}"
    assert f"snapshot release {name}/s1" in delete["reason"]
    assert held["actions"]["revert"]["allowed"]

    released = client.release_snapshot(id_)
    assert (released["held"], released["hold"]) == (False, None)
    assert client.delete_snapshot(id_)["kind"] == "delete_snapshot"


def test_a_hold_whose_time_is_over_holds_nothing(client: Producer, api: Api, world: World, name: str) -> None:
    """It is not listed as held, and the snapshot can be deleted, though nobody released it."""
    vm = world.vm(name)
    id_ = str(world.snapshot(vm))
    until = given(client.hold_snapshot(id_, "for the night", "12h")["hold"])["until"]
    ahead = datetime.fromisoformat(given(until)) - datetime.now(UTC)
    assert timedelta(hours=11) < ahead < timedelta(hours=13)
    assert [one["id"] for one in client.snapshots(vm=name, held=True)["items"]] == [id_]
    with transaction(api.engine) as session:
        over = datetime.now(UTC) - timedelta(seconds=1)
        session.execute(update(Snapshot).where(Snapshot.vm_id == vm).values(held_until=over))
    assert client.snapshots(vm=name, held=True)["items"] == []
    assert [one["hold"] for one in client.snapshots(vm=name, held=False)["items"]] == [None]
    assert client.delete_snapshot(id_)["state"] == "queued"


def test_what_goes_or_has_failed_cannot_be_held(client: Producer, world: World, name: str) -> None:
    """A snapshot whose deletion is asked for, one in error, one that is deleted, and a time that is over."""
    vm = world.vm(name)
    going = str(world.snapshot(vm))
    client.delete_snapshot(going)
    cases = {
        going: "snapshot.deletion_asked",
        str(world.snapshot(vm, state=SnapshotState.ERROR)): "snapshot.not_ready",
        str(world.snapshot(vm, state=SnapshotState.DELETED)): "snapshot.not_found",
    }
    for id_, code in cases.items():
        with pytest.raises(StillframeError) as refused:
            client.hold_snapshot(id_, "too late")
        assert refused.value.code == code
    good = str(world.snapshot(vm))
    for until in ("2020-01-01T00:00:00Z", "7x", "0d", "soon", 5):
        with pytest.raises(StillframeError) as refused:
            client.hold_snapshot(good, "why", until)  # type: ignore[arg-type]
        assert refused.value.status == 422, until


def test_who_held_and_released_is_told_once(client: Producer, world: World, name: str) -> None:
    """Each hold is an event, a release one; to release what is not held changes nothing and tells nothing."""
    id_ = str(world.snapshot(world.vm(name)))
    client.hold_snapshot(id_, "first")
    client.hold_snapshot(id_, "second", "2d")
    client.release_snapshot(id_)
    client.release_snapshot(id_)
    events = client.events(snapshot=id_)["items"]
    assert [one["type"] for one in events] == ["snapshot.released", "snapshot.held", "snapshot.held"]
    assert [one["data"]["reason"] for one in events] == ["second", "second", "first"]


def test_people_hold_and_release_by_name(cli: Cli, world: World, name: str) -> None:
    """`snapshot hold VM/NAME` shows in the list and the detail; `release` ends it."""
    world.snapshot(world.vm(name), "s1")
    said = cli("snapshot", "hold", f"{name}/s1", "--reason", "감사용", "--until", "7d")
    assert said.code == 0
    assert "is held until" in said.err
    assert "ready, held" in cli("snapshot", "list", "--vm", name, "--held").out
    assert "감사용" in cli("snapshot", "show", f"{name}/s1").out
    assert cli("snapshot", "delete", f"{name}/s1", "--yes").code == 5
    assert cli("snapshot", "release", f"{name}/s1").code == 0
    assert cli("snapshot", "list", "--vm", name, "--held", "-o", "json").out.strip() == "[]"
