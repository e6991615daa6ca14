"""Long lists: a page looks at so many rows and no more; who follows the cursors gets what there is, exactly once, in order."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import httpx
import pytest

from lab.lab import Lab
from models.events.tables import Event
from models.ids import new_id
from models.queries import walk
from models.session import transaction
from models.snapshots.tables import Snapshot, VolumeSnapshot
from stillframe.client import Producer
from stillframe.states import SnapshotState, SnapshotType
from tests.web.conftest import Api, served
from tests.world import World
from web.narrowed import Sort

pytestmark = pytest.mark.postgres

#: As many rows as one page looks at here.
FAR = 7


@pytest.fixture(autouse=True)
def short_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks at few rows, so that few are a long list."""
    monkeypatch.setattr(walk, "FAR", FAR)


@pytest.fixture(scope="module")
def api(stores: Lab) -> Iterator[Api]:
    """A server of its own: of what other tests have made there would be page after page to be looked at."""
    with served(stores) as api:
        yield api


@pytest.fixture(scope="module")
def name() -> str:
    """One for all: nothing is changed."""
    return f"long{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def snapshots(api: Api, name: str) -> list[dict[str, Any]]:
    """Forty of two accounts' VMs, every fifth of the type `memory`, every seventh in error."""
    world = World(api.engine)
    owners = [world.account(f"{name}-{n}", f"/{name}/{n}") for n in "ab"]
    vms = [world.vm(f"{name}-{n}", account=owner) for n, owner in zip("ab", owners, strict=True)]
    rows = [
        Snapshot(
            id=new_id(),
            vm_id=vms[n % 2],
            host_id=world.host(),
            account_id=owners[n % 2],
            name=f"{name}-{n:02}-{'odd' if n % 2 else 'even'}",
            display_name="",
            type=SnapshotType.HOT if n % 5 else SnapshotType.MEMORY,
            state=SnapshotState.READY if n % 7 else SnapshotState.ERROR,
            created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n * 11 % 40),
            ready_at=datetime(2026, 2, 1, tzinfo=UTC) + timedelta(days=n * 3 % 40) if n % 3 else None,
            size_bytes=n * 13 % 40,
        )
        for n in range(40)
    ]
    with transaction(api.engine) as session:
        session.add_all(rows)
    return [
        {
            **{
                what: getattr(row, what)
                for what in ("id", "name", "type", "state", "created_at", "size_bytes")
            },
            "n": n,
            "vm": f"{name}-{'ab'[n % 2]}",
            "ready_at": row.ready_at or datetime(1970, 1, 1, tzinfo=UTC),
        }
        for n, row in enumerate(rows)
    ]


def pages(http: httpx.Client, path: str, **filters: Any) -> Iterator[list[dict[str, Any]]]:
    """Page after page."""
    cursor = None
    while True:
        answer = http.get(path, params={**filters, **({"cursor": cursor} if cursor else {})})
        answer.raise_for_status()
        page = answer.json()
        yield page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


@pytest.mark.parametrize(
    "narrowed",
    [
        {},
        {"type": "memory"},
        {"state": "error"},
        {"state": ["error", "creating"]},
        {"state": "ready", "type": "memory"},
        {"account": "-a"},
        {"account": "-b", "type": "memory"},
        {"domain": ""},
        {"domain": "/a", "state": "error"},
        {"q": "-even"},
        {"q": "-1"},
        {"created_after": "2026-01-01T20:00:00Z"},
        {"vm": "-a", "state": "error"},
        {"type": "cold"},
    ],
    ids=str,
)
def test_all_pages_together_are_the_whole_list(
    http: httpx.Client, snapshots: list[dict[str, Any]], name: str, narrowed: dict[str, Any]
) -> None:
    """Whatever is asked for and however it is sorted, by whichever way the rows are found."""
    begin = {"account": name, "domain": f"/{name}", "vm": name}
    filters = {what: word if what not in begin else begin[what] + word for what, word in narrowed.items()}
    all_of_us = {"domain": f"/{name}"} if "domain" not in filters else {}
    for sort in get_args(Sort):
        column, down = sort.lstrip("-"), sort.startswith("-")
        wanted = sorted(snapshots, key=lambda one: (one[column], one["id"]), reverse=down)
        found = pages(http, "/v1/snapshots", sort=sort, limit=5, **all_of_us, **filters)
        ids = [one["id"] for page in found for one in page]
        assert ids == [str(one["id"]) for one in wanted if _fits(one, narrowed)], sort


def _fits(one: dict[str, Any], narrowed: dict[str, Any]) -> bool:
    """Whether a snapshot is among those asked for."""
    of_a = one["vm"].endswith("-a")
    asks = {
        "type": lambda word: one["type"] == word,
        "state": lambda words: one["state"] in words,
        "account": lambda word: of_a == (word == "-a"),
        "domain": lambda word: of_a if word == "/a" else True,
        "vm": lambda _: of_a,
        "q": lambda word: word in one["name"],
        "created_after": lambda word: one["created_at"] >= datetime.fromisoformat(word),
    }
    return all(asks[what](word) for what, word in narrowed.items())


def test_a_page_that_found_too_little_is_short_and_goes_on(
    http: httpx.Client, snapshots: list[dict[str, Any]], name: str
) -> None:
    """A page of a list with more rows than one page looks at: fewer than asked for, and a cursor behind them."""
    of_account = {"account": f"{name}-a", "type": "memory", "limit": 50}
    found = list(pages(http, "/v1/snapshots", **of_account))
    assert len(found) > 1
    assert max(map(len, found)) <= FAR
    wanted = [one for one in snapshots if one["vm"].endswith("-a") and one["type"] == "memory"]
    assert sum(map(len, found)) == len(wanted)


def test_a_count_says_when_it_has_not_looked_at_all(
    http: httpx.Client, snapshots: list[dict[str, Any]], name: str
) -> None:
    """Of a long list it is the number found so far, and that there may be more; of a short one it is exact."""
    asked: dict[str, str | bool] = {"account": f"{name}-a", "type": "memory", "count": True}
    total = http.get("/v1/snapshots", params=asked).json()["total"]
    assert total["more"]
    assert total["count"] <= FAR
    one = http.get("/v1/snapshots", params={"q": snapshots[3]["name"], "count": True}).json()["total"]
    assert one == {"count": 1, "more": False}


def test_nothing_found_ends_at_once_where_an_index_knows(http: httpx.Client, name: str) -> None:
    """A word that is in no name, an account without anything, a type of event that never was: one empty page."""
    for path, filters in (
        ("/v1/snapshots", {"q": f"{name}nowhere"}),
        ("/v1/volumes", {"q": f"{name}nowhere"}),
        ("/v1/vms", {"q": f"{name}nowhere"}),
        ("/v1/events", {"type": "never.was"}),
        ("/v1/events", {"type": "never."}),
        ("/v1/jobs", {"q": "ffffffffffff"}),
    ):
        assert list(pages(http, path, **filters)) == [[]], path


@pytest.mark.parametrize("after", [False, True])
def test_events_over_all_pages(api: Api, http: httpx.Client, world: World, name: str, after: bool) -> None:
    """Every event of a kind, an account, a VM comes once, in its order, also from an event on."""
    name = f"{name}-events{after}"
    owner = world.account(name, f"/{name}")
    vm = world.vm(name, account=owner)
    other = world.vm(f"{name}-x")
    made: list[int] = []
    for n in range(60):
        with transaction(api.engine) as session:
            mine = n % 4 == 0
            row = Event(type=f"test.{n % 3}", actor="t", vm_id=vm if mine else other)
            row.account_id = owner if mine else None
            session.add(row)
            session.flush()
            made.append(row.id)
    begin = made[10]
    filters = {"after": begin} if after else {}
    mine_ids = [id_ for n, id_ in enumerate(made) if n % 4 == 0 and (not after or n > 10)]
    for narrowed in ({"account": name}, {"domain": f"/{name}"}, {"vm": name}):
        found = [one["id"] for page in pages(http, "/v1/events", **filters, **narrowed) for one in page]
        assert found == (mine_ids if after else mine_ids[::-1]), narrowed
    of_type = [id_ for n, id_ in enumerate(made) if n % 12 == 0 and (not after or n > 10)]
    found = [
        one["id"]
        for page in pages(http, "/v1/events", account=name, type="test.0", **filters)
        for one in page
    ]
    assert found == (of_type if after else of_type[::-1])


def test_lists_are_narrowed_to_an_account_or_a_domain(
    client: Producer, http: httpx.Client, world: World, name: str
) -> None:
    """Jobs, volume snapshots, events, VMs, policies and webhooks: those of the account, or of all below the domain."""
    name = f"{name}-narrow"
    owners = {n: world.account(f"{name}-{n}", f"/{name}/{n}") for n in "ab"}
    vms = {n: world.vm(f"{name}-{n}", account=owner) for n, owner in owners.items()}
    for vm in vms.values():
        world.job(vm, "extract_volume")
    for n in owners:
        policy = {
            "name": f"{name}-{n}",
            "selector": {"names": [f"{name}-{n}"]},
            "schedules": [{"cron": "30 2 * * *", "timezone": "UTC"}],
            "retention": {"last": 3},
        }
        with _as_user(http, f"{name}-{n}") as user:
            assert user.post("/v1/policies", json=policy).status_code == 201
            assert user.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/"}).status_code == 201

    for path in ("jobs", "vms", "policies", "webhooks", "events"):
        of_a = _listed(http, f"/v1/{path}", account=f"{name}-a")
        of_b = _listed(http, f"/v1/{path}", domain=f"/{name}/b")
        both = _listed(http, f"/v1/{path}", domain=f"/{name}")
        assert of_a, path
        assert of_b, path
        assert not of_a & of_b, path
        assert of_a | of_b == both, path
        unknown = http.get(f"/v1/{path}", params={"account": f"{name}-none"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "account.not_found"), path


def _as_user(http: httpx.Client, account: str) -> httpx.Client:
    made = http.post("/v1/keys", json={"account": account, "name": "own", "role": "user"})
    made.raise_for_status()
    return httpx.Client(
        base_url=http.base_url, headers={"Authorization": f"Bearer {made.json()['key']}"}, timeout=30
    )


def _listed(http: httpx.Client, path: str, **filters: Any) -> set[Any]:
    return {one["id"] for page in pages(http, path, **filters) for one in page}


def test_volumes_of_an_account(api: Api, http: httpx.Client, world: World, name: str) -> None:
    """Volume snapshots are narrowed to an account and a domain too."""
    name = f"{name}-volumes"
    owner = world.account(name, f"/{name}")
    job = world.row(world.job(world.vm(name, account=owner), "extract_volume"))
    with transaction(api.engine) as session:
        session.get_one(VolumeSnapshot, job.volume_snapshot_id).account_id = owner
    wanted = {str(job.volume_snapshot_id)}
    assert _listed(http, "/v1/volumes", account=name) == wanted
    assert _listed(http, "/v1/volumes", domain=f"/{name}") == wanted


def test_jobs_of_rare_states_and_of_a_snapshot(api: Api, http: httpx.Client, world: World, name: str) -> None:
    """What few jobs are is found among many."""
    name = f"{name}-jobs"
    vm = world.vm(name)
    snapshot = world.snapshot(vm)
    jobs: list[UUID] = [world.job(vm, snapshot=snapshot if n == 2 else None) for n in range(20)]
    assert _listed(http, "/v1/jobs", snapshot=str(snapshot)) == {str(jobs[2])}
    assert _listed(http, "/v1/jobs", vm=name, kind="delete_snapshot") == set()
    assert len(_listed(http, "/v1/jobs", vm=name, state=["queued", "stuck"])) == 20
