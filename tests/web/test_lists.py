"""Lists: filters, sorts, and pages that stay right while rows come and go."""

from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

import httpx
import pytest

from models.queries import walk
from models.session import transaction
from models.snapshots.tables import Snapshot
from stillframe.client import Producer
from stillframe.states import SnapshotState, SnapshotType, VmState
from tests.web.conftest import Api
from tests.world import World
from web.narrowed import Sort

pytestmark = pytest.mark.postgres


def edit(api: Api, snapshot: UUID, **values: Any) -> None:
    """Changes a row behind the API's back."""
    with transaction(api.engine) as session:
        row = session.get_one(Snapshot, snapshot)
        for name, value in values.items():
            setattr(row, name, value)


@pytest.mark.parametrize("sort", get_args(Sort))
def test_pages_neither_repeat_nor_lose_while_others_are_made(
    client: Producer, world: World, name: str, sort: str
) -> None:
    """Each snapshot that was there at the beginning comes exactly once, whatever is inserted between the pages."""
    vm = world.vm(name)
    there = {str(world.snapshot(vm, f"s{number:02d}")) for number in range(23)}
    seen: list[str] = []
    cursor = None
    while True:
        page = client.snapshots(vm=name, sort=sort, limit=5, cursor=cursor)
        seen += [one["id"] for one in page["items"]]
        world.snapshot(vm, f"a{len(seen)}")
        world.snapshot(vm, f"z{len(seen)}")
        cursor = page["next_cursor"]
        if cursor is None or len(seen) > 100:
            break

    assert len(seen) == len(set(seen))
    assert there <= set(seen)


def test_a_list_is_in_the_order_asked_for(api: Api, client: Producer, world: World, name: str) -> None:
    """By each of its sorts, both ways. What was never ready is before all else, by when it was."""
    vm = world.vm(name)
    b, c, a = (world.snapshot(vm, one) for one in "bca")
    edit(api, b, size_bytes=3, ready_at=datetime(2026, 1, 2, tzinfo=UTC))
    edit(api, c, size_bytes=1, ready_at=datetime(2026, 1, 1, tzinfo=UTC))
    edit(api, a, size_bytes=2, ready_at=None, state=SnapshotState.CREATING)

    def order(sort: str) -> str:
        return "".join(one["name"] for one in client.snapshots(vm=name, sort=sort)["items"])

    wanted = {"created_at": "bca", "name": "abc", "size_bytes": "cab", "ready_at": "acb", "state": "abc"}
    for sort, names in wanted.items():
        assert (sort, order(sort), order(f"-{sort}")) == (sort, names, names[::-1])


def test_snapshots_by_the_names_of_their_vms(client: Producer, world: World, name: str) -> None:
    """Those of one VM stand together, the VMs in the order of their names, over all pages."""
    for vm in ("c", "a", "b"):
        of = world.vm(f"{name}-{vm}", host=name)
        for _ in range(3):
            world.snapshot(of)
    for sort, wanted in (("vm", "aaabbbccc"), ("-vm", "cccbbbaaa")):
        found = client.every(client.snapshots, q=f"{name}-", sort=sort, limit=2)
        assert "".join(one["vm"]["name"][-1] for one in found) == wanted


def test_a_cursor_of_another_sort_is_refused(http: httpx.Client, world: World, name: str) -> None:
    """A cursor cannot silently mean another place."""
    vm = world.vm(name)
    for _ in range(2):
        world.snapshot(vm)
    cursor = http.get("/v1/snapshots", params={"vm": name, "limit": 1}).json()["next_cursor"]
    answer = http.get("/v1/snapshots", params={"vm": name, "sort": "name", "cursor": cursor})

    assert answer.json()["code"] == "request.cursor_invalid"


def test_filters_narrow(api: Api, client: Producer, world: World, name: str) -> None:
    """VM, states, type, current, dates and text each leave the right ones, and deleted ones are left out."""
    vm = world.vm(name)
    one = world.snapshot(vm, "one")
    two = world.snapshot(vm, "two", type_=SnapshotType.MEMORY)
    bad = world.snapshot(vm, "bad", state=SnapshotState.ERROR)
    gone = world.snapshot(vm, "gone", state=SnapshotState.DELETED)
    edit(api, two, current=True, display_name="업그레이드 전")
    made = client.snapshot(str(two))["created_at"]

    def ids(**filters: Any) -> set[UUID]:
        return {UUID(found["id"]) for found in client.snapshots(vm=name, **filters)["items"]}

    assert ids() == {one, two, bad}
    assert ids(state=["ready"]) == {one, two}
    assert ids(state=["error", "deleted"]) == {bad, gone}
    assert ids(type="memory") == {two}
    assert ids(current=True) == {two}
    assert ids(current=False) == {one, bad}
    assert ids(created_after=made) == {two, bad}
    assert ids(created_before=made) == {one}
    assert ids(q="TW") == {two}
    assert ids(q="그레이") == {two}
    assert ids(q="%") == set()
    assert ids(q=str(one)) == {one}


def test_text_finds_by_the_name_of_the_vm(client: Producer, world: World, name: str) -> None:
    """A part of the VM's name finds its snapshots."""
    snapshot = world.snapshot(world.vm(name))

    assert [one["id"] for one in client.snapshots(q=name[3:])["items"]] == [str(snapshot)]


def test_vms_by_host_state_and_name(client: Producer, world: World, name: str) -> None:
    """VMs are filtered, and those that are gone come only when asked for."""
    world.vm(f"{name}-a", state=VmState.OFF, host=name)
    world.vm(f"{name}-b", host=name)
    world.vm(f"{name}-c", host=name, gone=True)

    def names(**filters: Any) -> list[str]:
        return [one["name"].rpartition("-")[2] for one in client.vms(host=name, **filters)["items"]]

    assert names() == ["a", "b"]
    assert names(state="off") == ["a"]
    assert names(state="gone") == ["c"]
    assert names(q="-B") == ["b"]


def test_a_name_that_two_hosts_have_needs_the_id(http: httpx.Client, world: World, name: str) -> None:
    """A VM is found by a name only if one VM has it; the refusal names the candidates."""
    first, second = world.vm(name, host="h1"), world.vm(name, host="h2")
    refused = http.get(f"/v1/vms/{name}").json()

    assert refused["code"] == "vm.name_ambiguous"
    assert str(first) in refused["detail"]
    assert str(second) in refused["detail"]
    assert http.get(f"/v1/vms/{second}").json()["host"] == "h2"


def test_a_vm_that_moved_is_found_where_it_is(client: Producer, world: World, name: str) -> None:
    """One that is gone from a host gives its name up to the one that is there."""
    world.vm(name, host="h1", gone=True)
    here = world.vm(name, host="h2")

    assert client.vm(name)["id"] == str(here)


def test_hosts_say_what_they_have(client: Producer, world: World, name: str) -> None:
    """A host counts its VMs and its jobs, and whether it is alive."""
    vm = world.vm(name, host=name)
    world.vm(f"{name}-gone", host=name, gone=True)
    world.job(vm)
    host = client.host(name)

    assert (host["vms"], host["jobs_queued"], host["jobs_running"], host["alive"]) == (1, 1, 0, True)
    assert host in client.hosts(limit=500)["items"]


def test_a_list_says_how_many_it_has_when_asked(
    http: httpx.Client, world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole list on any page of it, with the filters; up to the most that is counted, and then that there are more."""
    vm = world.vm(name)
    for number in range(7):
        world.snapshot(vm, f"s{number}", state=SnapshotState.ERROR if number == 0 else SnapshotState.READY)

    def total(**filters: Any) -> Any:
        return http.get("/v1/snapshots", params={"vm": name, "limit": 2, **filters}).json()["total"]

    assert total() is None
    assert total(count=True) == {"count": 7, "more": False}
    cursor = http.get("/v1/snapshots", params={"vm": name, "limit": 2}).json()["next_cursor"]
    assert total(count=True, cursor=cursor, state="ready") == {"count": 6, "more": False}
    monkeypatch.setattr(walk, "MOST_COUNTED", 5)
    assert total(count=True) == {"count": 5, "more": True}


def test_a_tag_is_found_as_text(api: Api, client: Producer, world: World, name: str) -> None:
    """A search finds what has the word as a tag, as well as what has it in its name."""
    vm = world.vm(name)
    tagged, _ = world.snapshot(vm, "a"), world.snapshot(vm, "b")
    edit(api, tagged, tags=[f"tag-{name}"])
    found = client.snapshots(q=f"tag-{name}")["items"]
    assert [one["id"] for one in found] == [str(tagged)]
