"""Every route, every role, and things that are one's own, of another account, and of another domain."""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from models.events.tables import Comment
from models.ids import new_id
from models.moves import Told, tell
from models.policies.keep import add_policy
from models.session import transaction
from models.snapshots.tables import VolumeSnapshot
from models.tenants.actor import ADMIN, Actor
from models.tenants.keys import make_key
from models.tenants.tables import ApiKey
from models.users.keep import add_user
from models.webhooks.keep import add_webhook
from stillframe.events import EventType
from stillframe.policies.as_json import policy_from_json
from stillframe.rights import RIGHTS, Right, Role
from stillframe.states import SnapshotState, VolumeSnapshotState
from tests.web.conftest import Api
from tests.web.test_policies import wish
from tests.world import World
from web.auth import declared

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

Things = dict[str, str]
Body = Callable[[Things], Any]
_SERIAL = itertools.count()
WORDS = "four words nobody joined"


def nothing(_: Things) -> None:
    return None


def anything(_: Things) -> dict[str, Any]:
    return {}


def of_policy(there: Things) -> dict[str, Any]:
    return wish("p" + uuid4().hex[:8], selector={"ids": [there["vm_id"]]})


#: What each needs: a right, "look" for none, or "a job's" for that of the job's kind; and what is sent.
TABLE: dict[str, tuple[str, Body]] = {
    "POST /v1/logout": ("look", nothing),
    "GET /v1/me": ("look", nothing),
    "POST /v1/me/password": ("look", lambda _: {"present": "a", "wanted": WORDS}),
    "GET /v1/me/sessions": ("look", nothing),
    "DELETE /v1/me/sessions/{session}": ("look", nothing),
    "GET /v1/hosts": ("look", nothing),
    "GET /v1/hosts/{name}": ("look", nothing),
    "POST /v1/hosts/{name}/drain": ("host", anything),
    "POST /v1/hosts/{name}/undrain": ("host", nothing),
    "POST /v1/hosts/{name}/rescan": ("host", anything),
    "GET /v1/hosts/{name}/rescans": ("look", nothing),
    "GET /v1/hosts/{name}/rescans/{rescan}": ("look", nothing),
    "GET /v1/accounts": ("look", nothing),
    "POST /v1/accounts": (
        "account",
        lambda there: {"name": "n" + uuid4().hex[:9], "domain": there["domain"]},
    ),
    "GET /v1/accounts/{account:path}": ("look", nothing),
    "DELETE /v1/accounts/{account:path}": ("account", nothing),
    "PATCH /v1/accounts/{account:path}": ("account", lambda _: {"max_jobs": 5_000_000}),
    "GET /v1/domains": ("look", nothing),
    "POST /v1/domains": ("account", lambda there: {"name": "n" + uuid4().hex[:9], "parent": there["domain"]}),
    "GET /v1/domains/{domain:path}": ("look", nothing),
    "DELETE /v1/domains/{domain:path}": ("account", nothing),
    "PATCH /v1/domains/{domain:path}": ("account", lambda _: {"max_snapshots": 5_000_000}),
    "GET /v1/keys": ("look", nothing),
    "POST /v1/keys": ("account", lambda there: {"name": "k", "account": there["account"]}),
    "GET /v1/keys/{key}": ("look", nothing),
    "POST /v1/keys/{key}/revoke": ("account", nothing),
    "GET /v1/users": ("look", nothing),
    "POST /v1/users": (
        "account",
        lambda there: {"account": there["account"], "name": "n" + uuid4().hex[:9], "password": WORDS},
    ),
    "GET /v1/users/{user}": ("look", nothing),
    "PATCH /v1/users/{user}": ("account", lambda _: {"display_name": "another"}),
    "POST /v1/users/{user}/password": ("account", lambda _: {"password": WORDS}),
    "POST /v1/users/{user}/disable": ("account", nothing),
    "POST /v1/users/{user}/enable": ("account", nothing),
    "DELETE /v1/users/{user}": ("account", nothing),
    "POST /v1/vms/{vm}:assign": ("account", lambda there: {"account": there["account"]}),
    "GET /v1/vms": ("look", nothing),
    "GET /v1/vms/{vm}": ("look", nothing),
    "PATCH /v1/vms/{vm}": ("edit", lambda _: {"add_tags": ["t"]}),
    "GET /v1/vms/{vm}/snapshots": ("look", nothing),
    "POST /v1/vms/{vm}/snapshots": ("create", anything),
    "POST /v1/vms/{vm}/snapshots:plan": ("look", anything),
    "GET /v1/snapshots": ("look", nothing),
    "GET /v1/snapshots/{snapshot}": ("look", nothing),
    "PATCH /v1/snapshots/{snapshot}": ("edit", lambda _: {"description": "d"}),
    "DELETE /v1/snapshots/{snapshot}": ("delete", nothing),
    "POST /v1/snapshots:delete": ("delete", lambda there: {"ids": [there["snapshot"]]}),
    "POST /v1/snapshots:delete:plan": ("look", lambda there: {"ids": [there["snapshot"]]}),
    "POST /v1/snapshots/{snapshot}/delete:plan": ("look", nothing),
    "POST /v1/snapshots/{snapshot}/revert": ("revert", nothing),
    "POST /v1/snapshots/{snapshot}/revert:plan": ("look", nothing),
    "POST /v1/snapshots/{snapshot}/volumes": ("extract", lambda _: {"target": "vda"}),
    "POST /v1/snapshots/{snapshot}/volumes:plan": ("look", lambda _: {"target": "vda"}),
    "GET /v1/snapshots/{snapshot}/events": ("look", nothing),
    "GET /v1/snapshots/{snapshot}/comments": ("look", nothing),
    "POST /v1/snapshots/{snapshot}/comments": ("comment", lambda _: {"text": "hello"}),
    "POST /v1/snapshots/{snapshot}/hold": ("edit", lambda _: {"reason": "audit"}),
    "POST /v1/snapshots/{snapshot}/release": ("edit", nothing),
    "GET /v1/volumes": ("look", nothing),
    "GET /v1/volumes/{volume}": ("look", nothing),
    "DELETE /v1/volumes/{volume}": ("delete", nothing),
    "POST /v1/volumes/{volume}/delete:plan": ("look", nothing),
    "GET /v1/jobs": ("look", nothing),
    "GET /v1/jobs/{job}": ("look", nothing),
    "POST /v1/jobs/{job}/cancel": ("a job's", nothing),
    "GET /v1/jobs/{job}/recover": ("look", nothing),
    "POST /v1/jobs/{job}/recover": ("recover", lambda _: {"action": "resume"}),
    "POST /v1/jobs/{job}/retry": ("a job's", nothing),
    "GET /v1/policies": ("look", nothing),
    "POST /v1/policies": ("policy", of_policy),
    "GET /v1/policies/{policy}": ("look", nothing),
    "PUT /v1/policies/{policy}": ("policy", of_policy),
    "DELETE /v1/policies/{policy}": ("policy", nothing),
    "POST /v1/policies/{policy}/pause": ("policy", nothing),
    "POST /v1/policies/{policy}/resume": ("policy", nothing),
    "POST /v1/policies/{policy}/run": ("policy", nothing),
    "GET /v1/policies/{policy}/runs": ("look", nothing),
    "GET /v1/policies/{policy}/vms": ("look", nothing),
    "GET /v1/policies/{policy}/preview": ("look", nothing),
    "GET /v1/events": ("look", nothing),
    "GET /v1/events/stream": ("look", nothing),
    "GET /v1/webhooks": ("look", nothing),
    "POST /v1/webhooks": ("webhook", lambda there: {"url": "https://example.com/", "vm": there["vm"]}),
    "GET /v1/webhooks/{webhook}": ("look", nothing),
    "PATCH /v1/webhooks/{webhook}": ("webhook", lambda _: {"types": ["job."]}),
    "DELETE /v1/webhooks/{webhook}": ("webhook", nothing),
    "POST /v1/webhooks/{webhook}/pause": ("webhook", nothing),
    "POST /v1/webhooks/{webhook}/resume": ("webhook", nothing),
    "POST /v1/webhooks/{webhook}/ping": ("webhook", nothing),
    "POST /v1/webhooks/{webhook}/secret": ("webhook", nothing),
    "GET /v1/webhooks/{webhook}/deliveries": ("look", nothing),
    "POST /v1/webhooks/{webhook}/deliveries:replay": ("webhook", nothing),
    "POST /v1/webhooks/{webhook}/deliveries/{delivery}:replay": ("webhook", nothing),
}
#: Without a key.
OPEN = {"POST /v1/login", "GET /healthz", "GET /readyz", "GET /problems", "GET /problems/{code}"}
#: About whoever asks: tests/web/test_login.py.
OF_ONESELF = {route for route in TABLE if "/v1/me" in route or route.endswith("/v1/logout")}
#: What those who run the hosts see, and nobody else.
OF_HOSTS = {"name", "rescan"}


@dataclass(frozen=True)
class Tenant:
    """An account with one of everything."""

    name: str
    path: str
    things: Things


@dataclass(frozen=True)
class House:
    """Three tenants: `own` at the top of a domain, `mate` below it, `other` elsewhere; and a key of each role of `own`."""

    api: Api
    own: Tenant
    mate: Tenant
    other: Tenant
    keys: dict[Role, str]

    def http(self, role: Role) -> httpx.Client:
        """A client with the key of a role."""
        headers = {"Authorization": f"Bearer {self.keys[role]}"}
        return httpx.Client(base_url=self.api.url, headers=headers, timeout=60, verify=False)

    @property
    def tenants(self) -> tuple[Tenant, ...]:
        return (self.own, self.mate, self.other)


def sees(role: Role, house: House, tenant: Tenant, names: set[str]) -> bool:
    """Whether a role of `own` sees the things of a tenant."""
    if names & OF_HOSTS:
        return role is Role.ROOT
    if names & {"key", "user"} and role in {Role.USER, Role.READ_ONLY}:
        return False  # each sees its own, and these are others'
    return {
        Role.ROOT: True,
        Role.DOMAIN: tenant is not house.other,
        Role.USER: tenant is house.own,
        Role.READ_ONLY: tenant is house.own,
    }[role]


def furnished(api: Api, name: str, path: str) -> Tenant:
    """An account of that name with one of everything, all of them new; called again, all but the account."""
    world, unique = World(api.engine), f"{name}-{next(_SERIAL)}"
    account = world.account(name, path)
    vm = world.vm(unique, account=account)
    snapshot = world.snapshot(vm, f"s-{unique}")
    actor = Actor(name, account, Role.USER, path)
    with transaction(api.engine) as session:
        volume = VolumeSnapshot(
            **{"id": new_id(), "name": f"v-{unique}", "state": VolumeSnapshotState.READY, "target": "vda"},
            **{"snapshot_id": snapshot, "vm_id": vm, "host_id": world.host(), "account_id": account},
        )
        session.add(volume)
        session.flush()
        _, key = make_key(session, account, Role.READ_ONLY, f"k-{unique}")
        user = add_user(session, ADMIN, name, f"u-{unique}", "none", role=Role.READ_ONLY)
        policy = add_policy(
            session, policy_from_json(wish(f"p-{unique}", selector={"ids": [str(vm)]})), actor
        )
        webhook = add_webhook(session, actor, 0, {"url": f"https://example.com/{unique}", "enabled": False})
        session.add(Comment(id=new_id(), snapshot_id=snapshot, author=unique, text=f"said of {unique}"))
        tell(session, Told(EventType.VM_SEEN, "host", message=f"m-{unique}"), vm=vm, snapshot=snapshot)
    job = world.job(vm, snapshot=world.snapshot(vm, f"j-{unique}", state=SnapshotState.CREATING))
    ids = {"vm_id": vm, "snapshot": snapshot, "volume": volume.id, "job": job, "policy": policy, "key": key}
    ids |= {"webhook": webhook, "delivery": uuid4(), "user": user, "session": uuid4()}
    world.host("drained-now-and-then")
    of_host = {"name": "drained-now-and-then", "rescan": str(uuid4())}
    named = {"vm": unique, "account": name, "domain": path, "unique": unique}
    return Tenant(name, path, {**{one: str(id_) for one, id_ in ids.items()}, **of_host, **named})


@pytest.fixture(scope="module")
def house(api: Api) -> Iterator[House]:
    top = f"m{uuid4().hex[:8]}"
    own = furnished(api, f"own-{top}", f"/{top}")
    mate = furnished(api, f"mate-{top}", f"/{top}/below")
    other = furnished(api, f"other-{top}", f"/{top}x")
    account = World(api.engine).account(own.name, own.path)
    with transaction(api.engine) as session:
        keys = {role: make_key(session, account, role, f"matrix {role}")[0] for role in Role}
    yield House(api, own, mate, other, keys)
    with transaction(api.engine) as session:
        for row in session.query(ApiKey).filter(ApiKey.account_id == account):
            row.revoked_at = row.created_at


def test_the_table_has_every_route_and_its_right(api: Api) -> None:
    """A route that is new is in no list of rights until somebody has thought of it."""
    found = {f"{next(iter(route.methods or ()))} {route.path}": needed for route, needed in declared(api.app)}

    assert set(found) == set(TABLE) | OPEN
    assert {route for route, needed in found.items() if needed is None} == OPEN
    for route, (right, _) in TABLE.items():
        needed = found[route]
        assert needed is not None
        if right == "a job's":
            assert set(needed) <= RIGHTS[Role.USER], route
            assert needed, route
        else:
            assert needed == (() if right == "look" else (Right(right),)), route


@pytest.mark.parametrize("route", [route for route in TABLE if "{" in route and route not in OF_ONESELF])
def test_what_is_not_ones_own_is_as_if_it_were_not(house: House, route: str) -> None:
    """Without the right 403; outside of what one sees the very answer for what there is not; else it is found."""
    method, path = route.split(" ")
    right, body = TABLE[route]
    names = set(re.findall(r"\{(\w+)", path))
    for role in (Role.READ_ONLY, Role.USER, Role.DOMAIN, Role.ROOT):
        with house.http(role) as http:
            for tenant in house.tenants:
                there = (
                    furnished(house.api, tenant.name, tenant.path).things
                    if method != "GET"
                    else tenant.things
                )
                status, code, text = ask(http, method, path, there, body(there))
                where = f"{route} as {role} of {tenant.name}: {text}"
                if not may(role, right):
                    assert (status, code) == (403, "right.missing"), where
                elif not sees(role, house, tenant, names):
                    missing = there | {one: there[one][:-5] + "00000" for one in names - {"name"}}
                    if "name" in names:
                        missing["name"] = "h0"
                    assert (status, code.rpartition(".")[2]) == (404, "not_found"), where
                    assert neutral(text, there) == neutral(
                        ask(http, method, path, missing, body(there))[2], missing
                    ), where
                elif names & {"rescan", "delivery"}:
                    assert (status, code[-9:]) == (404, "not_found"), where
                else:
                    assert status < 500, where
                    assert status != 404, where
                    assert code != "right.missing", where


@pytest.mark.parametrize(
    "route",
    [route for route in TABLE if "{" not in route and route.startswith("GET") and route not in OF_ONESELF],
)
def test_a_list_has_what_one_sees(house: House, route: str) -> None:
    """All of it and nothing else, also with another's cursor, and a filter by another's name is one by no name."""
    path = route.split(" ")[1]
    if path.endswith("stream"):
        path = "/v1/events"
    with house.http(Role.ROOT) as root:
        cursor = root.get(path, params={"limit": 1}).json()["next_cursor"]
    for role in Role:
        with house.http(role) as http:
            listed = everything(http, path)
            for tenant in house.tenants:
                mark = {"/v1/accounts": tenant.name, "/v1/domains": f'"{tenant.path}"'}.get(
                    path, tenant.things["unique"]
                )
                mine = sees(
                    role,
                    house,
                    tenant,
                    {"/v1/hosts": {"name"}, "/v1/keys": {"key"}, "/v1/users": {"user"}}.get(path, set()),
                )
                assert (mark in listed) is (mine and path != "/v1/hosts"), (route, role, tenant.name)
                for query in ({"cursor": cursor}, {"q": mark}, {"q": tenant.things["snapshot"][-8:]}):
                    found = http.get(path, params={**query, "limit": 500}).text
                    assert mine or mark not in found.replace(f'"{query.get("q")}"', ""), (route, role, query)
                for name in ("vm", "snapshot", "job", "policy", "account", "domain", "below"):
                    if mine or (path in {"/v1/keys", "/v1/users"} and sees(role, house, tenant, set())):
                        continue
                    thing = tenant.things["domain" if name == "below" else name]
                    foreign, no = thing, thing[:-5] + "00000"
                    answers = [http.get(path, params={name: one, "limit": 500}) for one in (foreign, no)]
                    texts = [
                        neutral(one.text, {name: asked})
                        for one, asked in zip(answers, (foreign, no), strict=True)
                    ]
                    assert answers[0].status_code == answers[1].status_code, (route, role, name)
                    assert mark not in texts[0] or mark == thing, (route, role, name)


@pytest.mark.parametrize(
    "route",
    [
        "POST /v1/accounts",
        "POST /v1/domains",
        "POST /v1/keys",
        "POST /v1/users",
        "POST /v1/policies",
        "POST /v1/snapshots:delete",
    ],
)
def test_what_a_body_names_is_ones_own_too(house: House, route: str) -> None:
    """Nothing is made in or for what one does not see, and the answer is that for what there is not."""
    method, path = route.split(" ")
    right, body = TABLE[route]
    for role in (Role.READ_ONLY, Role.USER, Role.DOMAIN, Role.ROOT):
        with house.http(role) as http:
            for tenant in house.tenants:
                there = furnished(house.api, tenant.name, tenant.path).things
                status, code, text = ask(http, method, path, there, body(there))
                if not may(role, right):
                    assert (status, code) == (403, "right.missing"), (role, text)
                elif sees(role, house, tenant, set()):
                    assert status in {201, 202}, (role, tenant.name, text)
                else:
                    assert status in {404, 409, 422}, (role, tenant.name, text)
                    missing = {one: value[:-5] + "00000" for one, value in there.items()}
                    answer = ask(http, method, path, missing, body(missing))
                    assert (answer[0], answer[1]) == (status, code)
                    assert neutral(answer[2], missing) == neutral(text, there)


def test_the_stream_tells_only_what_one_sees(house: House) -> None:
    """From the beginning on, the events of others are not in it; a filter by what is another's finds nothing."""
    with house.http(Role.USER) as http:
        assert http.get("/v1/events/stream", params={"vm": house.other.things["vm"]}).status_code == 404
        seen = ""
        with http.stream("GET", "/v1/events/stream", params={"last": 1000}) as stream:
            for piece in stream.iter_text():
                seen += piece
                if house.own.things["unique"] in seen:
                    break
        assert house.other.things["unique"] not in seen
        assert house.mate.things["unique"] not in seen


def test_an_idempotency_key_is_an_accounts(house: House) -> None:
    """Two accounts that use the same key do not get, or see, each other's job."""
    key = {"Idempotency-Key": uuid4().hex}
    with transaction(house.api.engine) as session:
        account = World(house.api.engine).account(house.other.name, house.other.path)
        theirs = make_key(session, account, Role.USER, "k")[0]
    with house.http(Role.USER) as http:
        there = furnished(house.api, house.own.name, house.own.path).things
        mine = http.post(f"/v1/vms/{there['vm']}/snapshots", json={}, headers=key)
    there = furnished(house.api, house.other.name, house.other.path).things
    headers = {"Authorization": f"Bearer {theirs}", **key}
    other = httpx.post(f"{house.api.url}/v1/vms/{there['vm']}/snapshots", json={}, headers=headers)

    assert (mine.status_code, other.status_code) == (202, 202)
    assert mine.json()["id"] != other.json()["id"]


def may(role: Role, right: str) -> bool:
    """Whether a role has a right of the table."""
    if right == "a job's":
        return Right.CREATE in RIGHTS[role]
    return right == "look" or Right(right) in RIGHTS[role]


def ask(http: httpx.Client, method: str, path: str, there: Things, body: Any) -> tuple[int, str, str]:
    """Status, code and text of an answer."""
    url = path.replace(":path}", "}").format(**there)
    answer = http.request(method, url, json=body)
    code = answer.json().get("code", "") if "problem" in answer.headers.get("Content-Type", "") else ""
    return answer.status_code, str(code), answer.text


def neutral(text: str, there: Things) -> str:
    """The text without the names that were asked for."""
    for value in sorted(there.values(), key=len, reverse=True):
        text = text.replace(value.strip("/"), "X")
    return text


def everything(http: httpx.Client, path: str) -> str:
    """All pages of a list."""
    text, cursor = "", None
    while True:
        page = http.get(path, params={"limit": 500, **({"cursor": cursor} if cursor else {})})
        text += page.text
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return text
