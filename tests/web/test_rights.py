"""What a key may do."""

import os
import subprocess
import sys
from collections import defaultdict
from typing import Any

import httpx
import pytest

from models.jobs.tables import Job
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.tenants.keys import make_key, verify_key
from models.tenants.tables import ADMIN_ACCOUNT
from stillframe.rights import Right, Role
from tests.web.conftest import Api, Cli
from tests.web.test_problems import problem
from tests.world import World

pytestmark = pytest.mark.postgres


@pytest.fixture
def reader(api: Api) -> str:
    """A key that may only read."""
    with transaction(api.engine) as session:
        return make_key(session, ADMIN_ACCOUNT, Role.READ_ONLY, "reader")[0]


def test_a_read_only_key_changes_nothing(api: Api, world: World, reader: str, name: str) -> None:
    """Every route that is not a GET or a plan refuses it before it looks at the request; every GET of a list answers.

    But for those about whoever asks.
    """
    id_ = str(world.snapshot(world.vm(name), "s1"))
    before = [world.count(table) for table in (Job, Snapshot)]
    document = httpx.get(f"{api.url}/openapi.json", timeout=60).json()
    asked, words = 0, defaultdict(lambda: id_, vm=name, name="h1", code="refused")
    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {reader}"}) as http:
        for path, operations in document["paths"].items():
            if path.endswith("/stream"):
                continue  # it goes on
            for method in (name for name, one in operations.items() if one["tags"] != ["login"]):
                answer = http.request(
                    method,
                    path.format_map(words),
                )
                if method == "get":
                    assert answer.status_code in {200, 404}, path
                    continue
                if path.endswith(":plan"):
                    assert answer.status_code in {200, 404, 422}, path
                    continue
                shown = problem(answer)
                assert (shown["status"], shown["code"]) == (403, "right.missing")
                asked += 1

    assert asked >= 7
    assert [world.count(table) for table in (Job, Snapshot)] == before


def test_the_command_line_words_it(
    cli: Cli, world: World, reader: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal with exit code 5; looking works."""
    world.vm(name)
    monkeypatch.setenv("STILLFRAME_KEY", reader)

    assert cli("vm", "show", name).code == 0
    said = cli("snapshot", "create", name)
    assert (said.code, said.out) == (5, "")
    assert 'needs the right "create"' in said.err


def test_a_key_is_made_by_command(api: Api) -> None:
    """`python -m models key` makes one that may do everything, `key read_only` one that changes nothing."""
    url = api.engine.url.render_as_string(hide_password=False)

    def models(*words: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"STILLFRAME_DATABASE_URL": url}
        command = [sys.executable, "-m", "models", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    for words, role in ((("key",), Role.ROOT), (("key", "read_only"), Role.READ_ONLY)):
        with transaction(api.engine) as session:
            assert verify_key(session, models(*words).stdout.strip()).role is role
    assert models("key", "write_only").returncode == 2


def scoped(api: Api, *rights: Right) -> httpx.Client:
    """Asks with a key that was narrowed to some rights."""
    with transaction(api.engine) as session:
        key, _ = make_key(session, ADMIN_ACCOUNT, Role.USER, "narrow", scopes=rights)
    return httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


def test_what_is_to_expire_is_to_be_deleted(api: Api, world: World, name: str) -> None:
    """Who may change words and may not delete neither lets a snapshot expire; that it stays may be said by anyone who edits."""
    path = f"/v1/snapshots/{world.snapshot(world.vm(name), 's1')}"
    with scoped(api, Right.EDIT) as http:
        shown = problem(http.patch(path, json={"expires_at": "1s", "description": "d"}))
        assert (shown["status"], shown["code"]) == (403, "right.missing")
        assert http.patch(path, json={"description": "kept", "expires_at": None}).status_code == 200
    with scoped(api, Right.EDIT, Right.DELETE) as http:
        assert http.patch(path, json={"expires_at": "1h"}).status_code == 200


def test_a_policy_does_what_its_maker_may(api: Api, world: World, name: str) -> None:
    """A key narrowed to policies makes none that creates, deletes and extracts in its place, and changes none so."""
    world.vm(name)
    wish = {
        "name": name,
        "selector": {"names": [name]},
        "schedules": [{"every": "1h"}],
        "retention": {"last": 2},
    }
    extracting = wish | {"extract": {"targets": ["vda"], "retention": {"last": 1}}}
    with scoped(api, Right.POLICY, Right.CREATE) as http:
        assert problem(http.post("/v1/policies", json=wish))["code"] == "right.missing"
    with scoped(api, Right.POLICY, Right.CREATE, Right.DELETE) as http:
        assert problem(http.post("/v1/policies", json=extracting))["code"] == "right.missing"
        made = http.post("/v1/policies", json=wish)
        assert made.status_code == 201, made.text
        changed = http.put(f"/v1/policies/{made.json()['id']}", json=extracting)
        assert problem(changed)["code"] == "right.missing"
    with scoped(api, Right.POLICY, Right.CREATE, Right.DELETE, Right.EXTRACT) as http:
        assert http.put(f"/v1/policies/{made.json()['id']}", json=extracting).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/keys", {"account": "admin", "role": "root", "name": "left behind"}),
        ("/v1/webhooks", {"url": "https://ops.example.com/left-behind"}),
        ("/v1/accounts", {"name": "left-behind"}),
    ],
)
def test_a_key_that_was_revoked_makes_nothing_that_outlives_it(api: Api, path: str, body: Any) -> None:
    """At once: for some seconds it may still look, and so long is enough for a program to make itself another key."""
    with transaction(api.engine) as session:
        key, id_ = make_key(session, ADMIN_ACCOUNT, Role.ROOT, "stolen")
    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {key}"}, verify=False) as thief:
        assert thief.get("/v1/me").status_code == 200
        with api.http as owner:
            assert owner.post(f"/v1/keys/{id_}/revoke").status_code == 200
        answer = thief.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "key.refused")
