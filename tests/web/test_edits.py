"""What people can change of snapshots and VMs afterwards: names, words, when it expires, tags."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from models.policies.keep import add_policy
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.tenants.actor import ADMIN
from stillframe.client import Producer
from stillframe.errors import StillframeError
from stillframe.policies.as_json import policy_from_json
from stillframe.states import SnapshotOrigin
from tests.given import given
from tests.web.conftest import Api, Cli
from tests.world import World

pytestmark = pytest.mark.postgres


def test_a_rename_keeps_live_names_unique(client: Producer, world: World, name: str) -> None:
    """A name that another snapshot of the VM has is refused; that of another VM's is free."""
    vm = world.vm(name)
    one = str(world.snapshot(vm, "s1"))
    world.snapshot(vm, "s2")
    world.snapshot(world.vm(f"{name}-b"), "s3")
    with pytest.raises(StillframeError) as refused:
        client.edit_snapshot(one, {"name": "s2"})
    assert (refused.value.code, refused.value.evidence["vm"]) == ("snapshot.name_taken", name)
    assert client.edit_snapshot(one, {"name": "s3"})["name"] == "s3"
    (event,) = client.events(snapshot=one, type="snapshot.edited")["items"]
    assert event["data"]["name"] == {"old": "s1", "new": "s3"}


def test_the_name_of_another_tools_snapshot_is_its_own(
    client: Producer, api: Api, world: World, name: str
) -> None:
    """Its words can be changed, its name not."""
    id_ = world.snapshot(world.vm(name), "virsh1")
    with transaction(api.engine) as session:
        foreign = {"origin": SnapshotOrigin.FOREIGN, "foreign": None}
        session.execute(update(Snapshot).where(Snapshot.id == id_).values(foreign))
    with pytest.raises(StillframeError) as refused:
        client.edit_snapshot(str(id_), {"name": "mine"})
    assert refused.value.code == "snapshot.foreign"
    assert client.edit_snapshot(str(id_), {"description": "theirs"})["description"] == "theirs"


def test_an_expiry_is_not_taken_back_behind_a_deletion(client: Producer, world: World, name: str) -> None:
    """Once its deletion is asked for it would go all the same: who wants it to stay is told to cancel that."""
    id_ = str(world.snapshot(world.vm(name)))
    client.edit_snapshot(id_, {"expires_at": "7d"})
    job = client.delete_snapshot(id_)
    with pytest.raises(StillframeError) as refused:
        client.edit_snapshot(id_, {"expires_at": None})
    assert refused.value.code == "snapshot.deletion_asked"
    client.cancel_job(job["id"])
    assert client.edit_snapshot(id_, {"expires_at": None})["expires_at"] is None


def test_when_it_expires_can_be_changed_and_taken_back(
    client: Producer, http: httpx.Client, world: World, name: str
) -> None:
    """By a time, by a length of time, by null; a time that is over is refused; each change is another ETag."""
    id_ = str(world.snapshot(world.vm(name)))
    tags = [http.get(f"/v1/snapshots/{id_}").headers["etag"]]
    for wish in ("2040-01-01T00:00:00Z", "7d", None):
        answer = http.patch(f"/v1/snapshots/{id_}", json={"expires_at": wish}, headers={"If-Match": tags[-1]})
        assert answer.status_code == 200
        tags.append(answer.headers["etag"])
    assert answer.json()["expires_at"] is None
    assert len(set(tags)) == 3
    assert tags[0] == tags[-1]
    stale = http.patch(f"/v1/snapshots/{id_}", json={"name": "other"}, headers={"If-Match": tags[1]})
    assert (stale.status_code, stale.json()["code"]) == (412, "snapshot.changed")
    with pytest.raises(StillframeError, match="over"):
        client.edit_snapshot(id_, {"expires_at": "2020-01-01T00:00:00Z"})


def test_a_vm_is_tagged_and_found_by_all_its_tags(
    client: Producer, http: httpx.Client, world: World, name: str
) -> None:
    """Tags are added and taken away, or replaced; several in a filter mean all of them; one event a change."""
    world.vm(name), world.vm(f"{name}-b")
    mine, other = f"p-{name}", f"q-{name}"
    assert client.tag_vm(name, add=[mine, other])["tags"] == [mine, other]
    client.tag_vm(f"{name}-b", add=[mine])
    assert [one["name"] for one in client.vms(tag=[mine])["items"]] == sorted([name, f"{name}-b"])
    assert [one["name"] for one in client.vms(tag=[mine, other])["items"]] == [name]
    assert client.tag_vm(name, add=[other], remove=[mine])["tags"] == [other]
    assert client.tag_vm(name, add=[other])["tags"] == [other]
    assert http.patch(f"/v1/vms/{name}", json={"tags": ["x"]}).json()["tags"] == ["x"]
    events = client.events(vm=name, type="vm.tagged")["items"]
    assert [one["data"]["new"] for one in events] == [["x"], [other], [mine, other]]
    too_many = {"add_tags": [f"t{number}" for number in range(32)]}
    assert http.patch(f"/v1/vms/{name}", json=too_many).status_code == 422
    assert http.patch("/v1/vms/nobody", json={"tags": []}).status_code == 404


def test_snapshots_are_found_by_policy_and_tag(client: Producer, api: Api, world: World, name: str) -> None:
    """A policy by name or id; of tags all that are given; a policy that nobody knows is not found."""
    vm = world.vm(name)
    with transaction(api.engine) as session:
        wish: dict[str, Any] = {
            "name": f"p-{name}",
            "selector": {"names": [name]},
            "schedules": [{"every": "100d"}],
            "retention": {"last": 3},
        }
        policy = add_policy(session, policy_from_json(wish), ADMIN)
    first, second = world.snapshot(vm, "s1"), world.snapshot(vm, "s2")
    with transaction(api.engine) as session:
        session.execute(
            update(Snapshot).where(Snapshot.id == first).values(policy_id=policy, tags=["a", "b"])
        )
        session.execute(update(Snapshot).where(Snapshot.id == second).values(tags=["a"]))

    def names(**filters: Any) -> list[str]:
        return [one["name"] for one in client.snapshots(vm=name, sort="name", **filters)["items"]]

    assert names(policy=f"p-{name}") == names(policy=str(policy)) == ["s1"]
    assert names(tag=["a"]) == ["s1", "s2"]
    assert names(tag=["a", "b"]) == ["s1"]
    with pytest.raises(StillframeError) as refused:
        names(policy="nobody")
    assert refused.value.code == "policy.not_found"


def test_people_edit_and_tag_by_command(cli: Cli, client: Producer, world: World, name: str) -> None:
    """`snapshot edit`, `vm tag VM +a -b`, and what they say when there is nothing to do."""
    world.snapshot(world.vm(name), "s1")
    edit = ("snapshot", "edit", f"{name}/s1")
    assert cli(*edit, "--name", "s2", "--tag", "a", "--expires", "30d", "--description", "밤").code == 0
    one = client.snapshots(vm=name)["items"][0]
    assert (one["name"], one["tags"], one["description"]) == ("s2", ["a"], "밤")
    ahead = datetime.fromisoformat(given(one["expires_at"])) - datetime.now(UTC)
    assert timedelta(days=29) < ahead < timedelta(days=31)
    assert "Expires" in cli("snapshot", "show", f"{name}/s2").out
    assert cli("snapshot", "edit", f"{name}/s2", "--no-tags", "--no-expiry").code == 0
    one = client.snapshots(vm=name)["items"][0]
    assert (one["tags"], one["expires_at"]) == ([], None)
    assert cli("snapshot", "edit", f"{name}/s2").code == 2

    assert cli("vm", "tag", name, "+a", "+b").code == 0
    assert cli("vm", "tag", name, "-a", "+c").err.strip().endswith(f"Tags of VM {name}: b, c.")
    assert cli("vm", "tag", "-o", "json", name, "-b", "-c").out.count('"tags": []') == 1
    for wrong in ((), ("a",), ("+",), ("+a", "-o", "json")):
        assert cli("vm", "tag", name, *wrong).code == 2, wrong
