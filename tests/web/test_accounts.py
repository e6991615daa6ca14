"""Accounts, domains, keys and limits, over HTTP and by the command line."""

import json
from typing import Any

import httpx
import pytest

from tests.web.conftest import Api, Cli
from tests.web.test_problems import problem
from tests.world import World

pytestmark = pytest.mark.postgres


def test_a_tenant_from_nothing(api: Api, cli: Cli, world: World, name: str) -> None:
    """A domain, an account in it, a key that works and is shown once, a VM given to it; then it is revoked."""
    tenant = f"t{name[3:]}"
    vm = world.vm(name)
    assert cli("domain", "create", f"/{tenant}").code == 0
    assert cli("domain", "create", f"/{tenant}/dev").code == 0
    assert cli("account", "create", tenant, "--domain", f"/{tenant}/dev").code == 0
    assert [
        one["path"] for one in json.loads(cli("domain", "list", "--below", tenant, "-o", "json").out)
    ] == [
        f"/{tenant}",
        f"/{tenant}/dev",
    ]
    made = cli("key", "create", tenant, "--name", "laptop", "--right", "create")
    key = made.out.strip()
    assert made.code == 0
    assert key.startswith("sfk_")
    assert cli("vm", "assign", name, "--account", tenant).code == 0
    limited = cli("account", "limit", tenant, "--snapshots", "1", "--jobs", "none", "--bytes", "1.5GiB")
    assert "snapshots 1, bytes 1.5 GiB" in limited.err
    assert ["Bytes", "0", "B", "1.5", "GiB"] in [
        line.split() for line in cli("account", "show", tenant).out.splitlines()
    ]
    assert cli("account", "limit", tenant, "--bytes", "-1GiB").code == 2
    assert "bytes 2.0 TiB" in cli("domain", "limit", f"/{tenant}", "--bytes", "2TiB").err
    assert ["Bytes", "0", "B", "2.0", "TiB"] in [
        line.split() for line in cli("domain", "show", tenant).out.splitlines()
    ]
    assert "bytes 2.0 TiB" in cli("domain", "list", "--below", tenant).out
    assert cli("account", "limit", tenant, "--bytes", "manyGiB").code == 2

    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {key}"}) as theirs:
        assert [one["id"] for one in theirs.get("/v1/vms").json()["items"]] == [str(vm)]
        assert theirs.post(f"/v1/vms/{name}/snapshots", json={}).status_code == 202
        full = problem(theirs.post(f"/v1/vms/{name}/snapshots", json={}))
        assert (full["status"], full["code"], full["evidence"]["limit"]) == (409, "quota.exceeded", 1)
        snapshot = theirs.get("/v1/snapshots").json()["items"][0]
        assert "needs the right" in snapshot["actions"]["revert"]["reason"]
        assert problem(theirs.post(f"/v1/snapshots/{snapshot['id']}/revert"))["code"] == "right.missing"

        (listed,) = json.loads(cli("key", "list", "--account", tenant, "-o", "json").out)
        assert (listed["rights"], listed["opens"]) == (["create"], True)
        assert listed["last_used_at"]
        assert key.startswith(listed["prefix"])
        assert key not in cli("key", "list", "-o", "json").out
        shown = cli("account", "show", tenant).out
        assert ["Snapshots", "1", "1"] in [line.split() for line in shown.splitlines()]
        assert cli("key", "revoke", listed["id"]).code == 0
        assert json.loads(cli("key", "show", listed["id"], "-o", "json").out)["opens"] is False


def test_what_is_refused(http: httpx.Client, name: str) -> None:
    """Names that are taken or cannot be, and what there is not."""
    tenant = f"r{name[3:]}"
    assert http.post("/v1/domains", json={"name": tenant}).status_code == 201
    for path, body, status, code in (
        ("/v1/domains", {"name": tenant}, 409, "domain.name_taken"),
        ("/v1/domains", {"name": "a/b"}, 422, "name.invalid"),
        ("/v1/domains", {"name": "a", "parent": "/nowhere"}, 404, "domain.not_found"),
        ("/v1/accounts", {"name": "admin"}, 409, "account.name_taken"),
        ("/v1/accounts", {"name": "a", "domain": "/nowhere"}, 404, "domain.not_found"),
        ("/v1/keys", {"account": "nobody", "name": "k"}, 404, "account.not_found"),
        ("/v1/keys", {"account": "admin", "name": "k", "scopes": ["fly"]}, 422, "request.invalid"),
        ("/v1/keys", {"account": "admin", "name": "k", "scopes": ["host"]}, 422, "key.rights_not_of_role"),
        ("/v1/keys/01a206ee/revoke", None, 404, "key.not_found"),
        ("/v1/vms/nothing:assign", {"account": "admin"}, 404, "vm.not_found"),
    ):
        shown = problem(http.post(path, json=body))
        assert (shown["status"], shown["code"]) == (status, code), path
    assert http.get("/v1/domains//").json()["path"] == "/"
    assert http.get(f"/v1/domains/{tenant}").json()["parent"] == "/"


def test_what_keys_may_do_is_shown(cli: Cli, name: str) -> None:
    """One that only looks says so in the list and by itself, and the help says what each role may do."""
    tenant = f"k{name[3:]}"
    assert cli("account", "create", tenant).code == 0
    assert cli("key", "create", tenant, "--name", "reader", "--role", "read_only").code == 0
    listed = cli("key", "list", "--account", tenant).out
    assert "read_only  looking only  yes" in listed
    id_ = listed.split()[-1]
    assert "looking only" in cli("key", "show", id_).out
    said = cli("key", "create", tenant, "--name", "odd", "--role", "user", "--right", "host")
    assert said.code == 2
    assert "cannot have the rights host" in said.err
    helped = " ".join(cli("key", "create", "--help").out.split())
    assert "user all but account, recover, host read_only nothing: it looks" in helped


def test_what_is_deleted_is_empty_first(cli: Cli, world: World, name: str) -> None:
    """Refused with the figures and the remedy; then its VM is given away, which says what went with it, and it goes."""
    tenant = f"d{name[3:]}"
    world.snapshot(world.vm(name), "s1")
    assert cli("domain", "create", f"/{tenant}").code == 0
    assert cli("account", "create", "dev", "--domain", f"/{tenant}").code == 0
    assert (
        "with 1 snapshot and 0 extracted volumes"
        in cli("vm", "assign", name, "--account", f"{tenant}/dev").err
    )
    refused = cli("account", "delete", f"{tenant}/dev", "--yes")
    assert refused.code == 5
    assert "while it has 1 VM, 1 snapshot" in refused.err
    assert "stillframe vm assign" in refused.err
    assert cli("account", "delete", f"{tenant}/dev").code == 2
    assert cli("vm", "assign", name, "--account", "/admin").code == 0
    assert "while it has 1 account" in cli("domain", "delete", tenant, "--yes").err
    assert cli("account", "delete", f"{tenant}/dev", "--yes").code == 0
    assert "No accounts." in cli("account", "list", "--domain", tenant).err
    assert "\ndev " in cli("account", "list", "--domain", tenant, "--deleted").out
    assert "Deleted" in cli("account", "show", f"{tenant}/dev").out
    assert cli("domain", "delete", tenant, "--yes").code == 0
    assert cli("domain", "show", tenant).code == 5
    assert "account.deleted" in cli("event", "list", "--type", "account.deleted").out


def test_a_name_of_several_accounts_is_named_with_its_domain(
    http: httpx.Client, cli: Cli, world: World, name: str
) -> None:
    """By plain name refused with the candidates wherever an account is named; by domain/name, in a path too, found."""
    tenant = f"n{name[3:]}"
    world.vm(name)
    for domain in (f"{tenant}-a", f"{tenant}-b"):
        assert http.post("/v1/domains", json={"name": domain}).status_code == 201
        assert http.post("/v1/accounts", json={"name": tenant, "domain": domain}).status_code == 201
    both = f"/{tenant}-a/{tenant}, /{tenant}-b/{tenant}"
    wish = {
        "name": name,
        "selector": {"account": tenant},
        "schedules": [{"every": "1d"}],
        "retention": {"last": 3},
    }
    asked: list[tuple[str, str, Any]] = [
        ("GET", f"/v1/accounts/{tenant}", None),
        ("PATCH", f"/v1/accounts/{tenant}", {"max_jobs": 3}),
        ("POST", "/v1/keys", {"account": tenant, "name": "k"}),
        ("POST", f"/v1/vms/{name}:assign", {"account": tenant}),
        ("POST", "/v1/policies?allow_empty=true", wish),
        *(("GET", f"/v1/{noun}?account={tenant}", None) for noun in ("vms", "snapshots", "keys")),
    ]
    for method, path, body in asked:
        shown = problem(http.request(method, path, json=body))
        assert (shown["status"], shown["code"]) == (422, "account.name_ambiguous"), path
        assert shown["evidence"]["candidates"] == both, path
        exact = f"/{tenant}-a/{tenant}"
        found = http.request(method, path.replace(tenant, exact), json=_renamed(body, tenant, exact))
        assert found.is_success, (path, found.text)
    assert problem(http.delete(f"/v1/accounts/{tenant}"))["evidence"]["candidates"] == both
    assert http.delete(f"/v1/accounts//{tenant}-b/{tenant}").status_code == 204
    assert f"/{tenant}-a" in cli("account", "show", tenant).out


def _renamed(body: Any, name: str, exact: str) -> Any:
    return None if body is None else json.loads(json.dumps(body).replace(f'"{name}"', f'"{exact}"'))


def test_whose_keys_are_shown(api: Api, cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user sees the key it asks with; a domain's administrator those below that see no further; one is found by name."""
    tenant = f"w{name[3:]}"
    for words in (
        ("domain", "create", f"/{tenant}"),
        ("account", "create", tenant, "--domain", f"/{tenant}"),
    ):
        assert cli(*words).code == 0
    keys = {
        role: cli("key", "create", tenant, "--name", f"{tenant} {role}", "--role", role).out.strip()
        for role in ("root", "domain", "user", "read_only")
    }
    seen = {}
    for role, key in keys.items():
        monkeypatch.setenv("STILLFRAME_KEY", key)
        listed = json.loads(cli("key", "list", "--account", tenant, "-o", "json").out)
        seen[role] = {one["role"] for one in listed}
        assert cli("key", "show", f"{tenant} user").code == (0 if role != "read_only" else 5)
    assert seen["root"] == {"root", "domain", "user", "read_only"}
    assert seen["domain"] == {"domain", "user", "read_only"}
    assert (seen["user"], seen["read_only"]) == ({"user"}, {"read_only"})

    monkeypatch.setenv("STILLFRAME_KEY", keys["root"])
    shown = cli("key", "show", keys["user"][:12]).out
    assert f"/{tenant}" in shown
    id_ = json.loads(cli("key", "show", f"{tenant} user", "-o", "json").out)["id"]
    assert id_ in cli("key", "show", id_[-8:]).out
    assert cli("key", "revoke", f"{tenant} user").code == 0
    assert cli("key", "create", tenant, "--name", f"{tenant} user").code == 0
    assert id_ not in cli("key", "show", f"{tenant} user").out
    assert cli("key", "create", tenant, "--name", f"{tenant} user").code == 0
    both = cli("key", "show", f"{tenant} user")
    assert both.code == 2
    assert "could be any of" in both.err


def test_events_name_what_they_are_about(cli: Cli, world: World, name: str) -> None:
    """To whom a VM was given, and which webhook was made; nothing of how requests are traced."""
    tenant = f"e{name[3:]}"
    world.vm(name)
    assert cli("account", "create", tenant).code == 0
    assert cli("vm", "assign", name, "--account", tenant).code == 0
    url = f"https://{tenant}.example.com/"
    made = json.loads(cli("webhook", "create", url, "-o", "json").out)
    said = cli("event", "list", "--vm", name).out
    assert f"to account {tenant}" in said
    assert "trace" not in said
    assert url in cli("event", "list", "--type", "webhook.created").out
    assert cli("webhook", "delete", made["id"], "--yes").code == 0
