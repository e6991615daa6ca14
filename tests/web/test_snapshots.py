"""Snapshots from being asked for to being edited, over HTTP."""

import re

import httpx
import pytest

from models.events.tables import Event
from models.jobs.journal import Journal
from models.jobs.tables import Job
from stillframe.client import Producer
from stillframe.errors import StillframeError
from stillframe.operations import CreateSnapshot
from stillframe.states import SnapshotState, VmState
from tests.given import given
from tests.web.conftest import Api
from tests.world import World

pytestmark = pytest.mark.postgres

CONTRACT = set(
    re.findall(
        r"\w+",
        "id name display_name description state type consistency current parent_id vm host account domain "
        "policy_id tags held created_at ready_at size_bytes memory_bytes pause_ms freeze_ms volumes actions error",
    )
)
JOB_CONTRACT = set(
    re.findall(
        r"\w+",
        "id kind state phase host vm snapshot_id volume_snapshot_id progress steps attempt priority requested_by "
        "idempotency_key created_at started_at finished_at error",
    )
)


def test_asking_answers_with_a_job_and_where_it_is(http: httpx.Client, world: World, name: str) -> None:
    """202, the job as it will be looked at, its Location; the snapshot is there, creating."""
    vm = world.vm(name)
    answer = http.post(f"/v1/vms/{name}/snapshots", json={"type": "memory", "name": "s1", "tags": ["a", "b"]})
    job = answer.json()
    snapshot = http.get(f"/v1/snapshots/{job['snapshot_id']}").json()

    assert answer.status_code == 202
    assert http.get(answer.headers["location"]).json() == job
    assert set(job) >= JOB_CONTRACT
    assert (job["kind"], job["state"], job["vm"]) == (
        "create_snapshot",
        "queued",
        {"id": str(vm), "name": name},
    )
    assert set(snapshot) >= CONTRACT
    assert (snapshot["state"], snapshot["type"], snapshot["tags"]) == ("creating", "memory", ["a", "b"])
    assert snapshot["created_at"].endswith("Z")


def test_the_type_fits_the_vm_by_itself(client: Producer, world: World, name: str) -> None:
    """Without a type a stopped VM gets a cold snapshot, with a name made from the time."""
    world.vm(name, state=VmState.OFF)
    snapshot = client.snapshot(given(client.create_snapshot(name)["snapshot_id"]))

    assert snapshot["type"] == "cold"
    assert snapshot["name"].startswith("snap-2")


def test_hangul_comes_back_as_it_went(client: Producer, world: World, name: str) -> None:
    """Display name, description, tags and comments in Korean are the same after a round trip."""
    world.vm(name)
    called, about = "업그레이드 전 스냅샷", "되돌릴 곳 🙂"
    job = client.create_snapshot(name, display_name=called, description=about, tags=("운영", "밤"))
    id_ = given(job["snapshot_id"])
    client.add_comment(id_, "확인했습니다")
    snapshot = client.snapshot(id_)

    assert (snapshot["display_name"], snapshot["description"]) == (called, about)
    assert snapshot["tags"] == ["운영", "밤"]
    assert [one["text"] for one in client.comments(id_)["items"]] == ["확인했습니다"]


def test_asking_twice_with_one_key_asks_once(client: Producer, world: World, name: str) -> None:
    """The second answer is the first job; another request with that key is refused."""
    world.vm(name)
    wish = CreateSnapshot(vm=name, name="once")
    first = client.submit(wish, idempotency_key=f"k-{name}")
    jobs = world.count(Job)

    assert client.submit(wish, idempotency_key=f"k-{name}")["id"] == first["id"]
    assert world.count(Job) == jobs
    with pytest.raises(StillframeError) as refused:
        client.submit(CreateSnapshot(vm=name, name="other"), idempotency_key=f"k-{name}")
    assert (refused.value.code, refused.value.status) == ("idempotency.mismatch", 422)


@pytest.mark.parametrize("key", ["", "k" * 256, "a b\x7f"])
def test_a_key_that_is_none_is_refused(http: httpx.Client, world: World, name: str, key: str) -> None:
    """Idempotency keys are 1 to 255 visible ASCII characters."""
    world.vm(name)
    answer = http.post(f"/v1/vms/{name}/snapshots", json={}, headers={"Idempotency-Key": key})

    assert answer.status_code == 422


def test_only_what_was_sent_is_changed(client: Producer, world: World, name: str) -> None:
    """PATCH leaves what it does not name, and tells one event with the old and the new."""
    id_ = str(world.snapshot(world.vm(name), "s1"))
    client.edit_snapshot(id_, {"description": "first"})
    changed = client.edit_snapshot(id_, {"display_name": "  새 이름 ", "tags": ["x"]})
    events = [one for one in client.events(snapshot=id_)["items"] if one["type"] == "snapshot.edited"]

    assert (changed["display_name"], changed["description"], changed["tags"]) == ("새 이름", "first", ["x"])
    assert events[0]["data"]["display_name"] == {"old": "s1", "new": "새 이름"}
    assert len(events) == 2


def test_the_same_words_again_change_nothing(client: Producer, world: World, name: str) -> None:
    """Setting what is so already leaves no event."""
    id_ = str(world.snapshot(world.vm(name), "s1"))
    events = world.count(Event)
    client.edit_snapshot(id_, {"description": ""})

    assert world.count(Event) == events


def test_a_stale_view_changes_nothing(http: httpx.Client, world: World, name: str) -> None:
    """With the ETag of a view that somebody else has made stale, the answer is 412; with the new one it works."""
    path = f"/v1/snapshots/{world.snapshot(world.vm(name), 's1')}"
    old = http.get(path).headers["etag"]
    new = http.patch(path, json={"description": "theirs"}, headers={"If-Match": old}).headers["etag"]
    refused = http.patch(path, json={"description": "mine"}, headers={"If-Match": old})

    assert (refused.status_code, refused.json()["code"]) == (412, "snapshot.changed")
    assert http.get(path).json()["description"] == "theirs"
    assert (
        http.patch(path, json={"description": "mine"}, headers={"If-Match": f'"x", {new}'}).status_code == 200
    )


@pytest.mark.parametrize(
    "changes", [{"name": "a/b"}, {"name": None}, {"tags": None}, {"display_name": ""}, {"tags": ["x"] * 33}]
)
def test_what_cannot_be_edited_is_refused(
    http: httpx.Client, world: World, name: str, changes: object
) -> None:
    """A name must be one, and words must be words."""
    path = f"/v1/snapshots/{world.snapshot(world.vm(name), 's1')}"

    assert http.patch(path, json=changes).status_code == 422


def test_actions_say_what_a_request_would_be_told(http: httpx.Client, world: World, name: str) -> None:
    """A snapshot shows revert as not allowed with the sentence that the request is refused with."""
    id_ = world.snapshot(world.vm(name), "s1", state=SnapshotState.ERROR)
    shown = http.get(f"/v1/snapshots/{id_}").json()["actions"]
    refused = http.post(f"/v1/snapshots/{id_}/revert").json()

    assert shown["delete"] == {"allowed": True, "reason": None}
    assert not shown["revert"]["allowed"]
    assert refused["detail"] in given(shown["revert"]["reason"])


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("state", list(SnapshotState))
@pytest.mark.parametrize(
    ("action", "method", "path", "body"),
    [
        ("revert", "POST", "/revert", {}),
        ("delete", "DELETE", "", None),
        ("extract", "POST", "/volumes", {"target": "vda"}),
    ],
)
def test_what_is_shown_as_allowed_is_granted(
    http: httpx.Client,
    world: World,
    name: str,
    action: str,
    method: str,
    path: str,
    body: dict[str, str] | None,
    state: SnapshotState,
    gone: bool,
) -> None:
    """In every state the Producer grants and refuses exactly what the snapshot shows, in the same words."""
    id_ = world.snapshot(world.vm(name, gone=gone), "s1", state=state)
    shown = http.get(f"/v1/snapshots/{id_}").json()["actions"][action]
    answer = http.request(method, f"/v1/snapshots/{id_}{path}", json=body)

    assert (answer.status_code == 202) is shown["allowed"]
    if not shown["allowed"]:
        assert answer.json()["detail"] in shown["reason"]


def test_once_a_deletion_is_asked_for_nothing_else_is_allowed(
    client: Producer, world: World, name: str
) -> None:
    """While the deletion waits, its job is named in what is shown and in what is refused."""
    id_ = str(world.snapshot(world.vm(name), "s1"))
    job = client.delete_snapshot(id_)
    shown = client.snapshot(id_)["actions"]

    assert {one["allowed"] for one in shown.values()} == {False}
    with pytest.raises(StillframeError) as refused:
        client.revert_snapshot(id_)
    assert refused.value.code == "snapshot.deletion_asked"
    assert job["id"] in refused.value.detail
    assert refused.value.detail in given(shown["revert"]["reason"])


def test_an_extract_names_what_will_come_of_it(client: Producer, world: World, name: str) -> None:
    """The job knows its volume snapshot, which is listed as creating."""
    id_ = str(world.snapshot(world.vm(name), "s1"))
    job = client.extract_volume(id_, "vda", f"v-{name}")
    volume = client.volume(given(job["volume_snapshot_id"]))

    assert (volume["name"], volume["state"], volume["target"]) == (f"v-{name}", "creating", "vda")
    assert client.volumes(vm=name)["items"] == [volume]
    assert client.volumes(q=f"v-{name}")["items"] == [volume]


def test_events_can_be_followed_by_id(client: Producer, world: World, journal: Journal, name: str) -> None:
    """With `after` events come oldest first, each once; without, newest first."""
    world.vm(name)
    job = client.create_snapshot(name)
    first = client.events(job=job["id"])["items"][-1]
    client.cancel_job(job["id"])
    newest_first = [one["type"] for one in client.events(vm=name)["items"]]
    followed = client.events(vm=name, after=first["id"])["items"]

    assert newest_first == ["snapshot.failed", "job.cancelled", "job.queued"]
    assert [one["type"] for one in followed] == ["job.cancelled", "snapshot.failed"]
    assert client.events(vm=name, type="job.cancelled")["items"] == [followed[0]]
    assert client.events(after=followed[-1]["id"], vm=name)["items"] == []


def test_a_broker_that_is_away_delays_and_does_not_refuse(
    api: Api, client: Producer, world: World, name: str
) -> None:
    """With Redis down a request is written down all the same."""
    world.vm(name)
    api.lab.stop_redis()
    try:
        job = client.create_snapshot(name)
    finally:
        api.lab.start_redis()

    assert client.job(job["id"])["state"] == "queued"
