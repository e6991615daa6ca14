"""People who log in by name and password, over HTTP."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from lab.places import free_port
from models.session import transaction
from models.tenants.keys import make_key
from stillframe.rights import Role
from tests.web.conftest import Api, until
from tests.web.test_problems import problem
from tests.world import World

pytestmark = pytest.mark.postgres

FIRST, OWN = "set by somebody else", "chosen by the person"
_ADDRESSES = itertools.count(1)


def stranger(api: Api) -> httpx.Client:
    """A browser on a page of the API's own origin, at an address of its own."""
    number = next(_ADDRESSES)
    headers = {"Origin": api.url, "X-Forwarded-For": f"10.9.{number // 250}.{number % 250 + 1}"}
    return httpx.Client(base_url=api.url, headers=headers, timeout=60)


def log_in(browser: httpx.Client, login: str, password: str) -> httpx.Response:
    return browser.post("/v1/login", json={"login": login, "password": password})


@dataclass
class Person:
    """A user with a password of their own, and a browser that is logged in."""

    login: str
    id: str
    browser: httpx.Client


@pytest.fixture
def tenant(world: World, name: str) -> str:
    """An account of that name in a domain of that name."""
    tenant = f"u{name[3:]}"
    world.account(tenant, f"/{tenant}")
    return tenant


@pytest.fixture
def kim(api: Api, http: httpx.Client, tenant: str) -> Iterator[Person]:
    made = http.post("/v1/users", json={"account": tenant, "name": "kim", "password": FIRST}).json()
    with stranger(api) as browser:
        log_in(browser, made["login"], FIRST).raise_for_status()
        browser.post("/v1/me/password", json={"present": FIRST, "wanted": OWN}).raise_for_status()
        yield Person(made["login"], made["id"], browser)


def test_a_user_logs_in_and_out(api: Api, http: httpx.Client, world: World, tenant: str) -> None:
    """By the password that was given only to another one; then every route is open as for a key of the same role."""
    vm = world.vm(f"vm-{tenant}", account=world.account(tenant, f"/{tenant}"))
    made = http.post(
        "/v1/users", json={"account": tenant, "name": "Kim", "display_name": "김하늘", "password": FIRST}
    )
    assert made.status_code == 201
    login = made.json()["login"]
    assert login == f"/{tenant}/Kim"
    with stranger(api) as browser:
        inside = log_in(browser, login.lower(), FIRST)
        assert inside.status_code == 200
        assert inside.json()["must_change_password"] is True
        cookie = inside.headers["Set-Cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert problem(browser.get("/v1/vms"))["code"] == "password.to_be_changed"
        first = browser.cookies["stillframe"]
        changed = browser.post("/v1/me/password", json={"present": FIRST, "wanted": OWN})
        assert changed.json()["must_change_password"] is False
        assert browser.cookies["stillframe"] != first
        assert [one["id"] for one in browser.get("/v1/vms").json()["items"]] == [str(vm)]
        asked = browser.post(f"/v1/vms/{vm}/snapshots", json={})
        assert (asked.status_code, asked.json()["requested_by"]) == (202, login)
        me = browser.get("/v1/me").json()
        assert (me["by"], me["account"]["name"], me["role"], me["user"]["login"]) == (
            *("session", tenant, "user"),
            login,
        )
        assert [one["login"] for one in browser.get("/v1/users").json()["items"]] == [login]
        assert browser.post("/v1/logout").status_code == 204
        assert "stillframe" not in browser.cookies
        browser.cookies.set("stillframe", changed.cookies["stillframe"])
        assert problem(browser.get("/v1/vms"))["code"] == "session.refused"


def test_a_key_is_told_who_it_is(api: Api, http: httpx.Client, world: World, tenant: str) -> None:
    """What it may do and how long it opens; what is for people is not for it."""
    with transaction(api.engine) as session:
        key, id_ = make_key(session, world.account(tenant, f"/{tenant}"), Role.READ_ONLY, "reader")
    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {key}"}) as http:
        me = http.get("/v1/me").json()
        assert (me["by"], me["key"]["id"], me["rights"]) == ("key", str(id_), [])
        assert (me["domain"], me["user"], me["session"]) == (f"/{tenant}", None, None)
        for path in ("/v1/logout", "/v1/me/password"):
            shown = problem(http.post(path, json={"present": "a", "wanted": OWN}))
            assert (shown["status"], shown["code"]) == (409, "session.needed")


def test_what_is_wrong_is_answered_alike(api: Api, http: httpx.Client, kim: Person) -> None:
    """A wrong password, a user that is not there, and one that is disabled: one answer, to the letter."""
    answers: list[Any] = []
    with stranger(api) as browser:
        answers += [log_in(browser, kim.login, "not the password").content]
        answers += [log_in(browser, kim.login + "x", OWN).content]
        answers += [log_in(browser, "/nowhere/at/all", OWN).content]
        assert http.post(f"/v1/users/{kim.id}/disable").status_code == 200
        answers += [log_in(browser, kim.login, OWN).content]
        assert problem(log_in(browser, kim.login, OWN))["status"] == 401
    assert len(set(answers)) == 1


def test_who_is_locked_out_is_out_at_once(api: Api, http: httpx.Client, kim: Person) -> None:
    """Disabled, given another password, or deleted: the next request with the login's cookie is refused."""
    assert kim.browser.get("/v1/vms").status_code == 200
    assert http.post(f"/v1/users/{kim.id}/disable").json()["opens"] is False
    assert problem(kim.browser.get("/v1/vms"))["code"] == "session.refused"
    assert http.post(f"/v1/users/{kim.id}/enable").json()["opens"] is True
    assert log_in(kim.browser, kim.login, OWN).status_code == 200
    assert http.post(f"/v1/users/{kim.id}/password", json={"password": FIRST}).status_code == 200
    assert problem(kim.browser.get("/v1/vms"))["code"] == "session.refused"
    assert log_in(kim.browser, kim.login, OWN).status_code == 401
    assert log_in(kim.browser, kim.login, FIRST).status_code == 200
    assert http.delete(f"/v1/users/{kim.id}").status_code == 204
    assert problem(kim.browser.get("/v1/me"))["code"] == "session.refused"


def test_a_new_password_ends_all_other_logins(api: Api, kim: Person) -> None:
    """The browser that asked goes on with a new token; the others have to log in again."""
    with stranger(api) as other:
        log_in(other, kim.login, OWN).raise_for_status()
        assert len(kim.browser.get("/v1/me/sessions").json()["items"]) == 2
        wrong = kim.browser.post("/v1/me/password", json={"present": "not that one", "wanted": FIRST})
        assert problem(wrong)["code"] == "password.wrong"
        same = kim.browser.post("/v1/me/password", json={"present": OWN, "wanted": OWN})
        assert problem(same)["code"] == "password.invalid"
        assert other.get("/v1/me").status_code == 200
        changed = kim.browser.post("/v1/me/password", json={"present": OWN, "wanted": FIRST})
        assert changed.status_code == 200
        assert problem(other.get("/v1/me"))["code"] == "session.refused"
        (left,) = kim.browser.get("/v1/me/sessions").json()["items"]
        assert left["current"] is True


def test_ones_own_logins_are_seen_and_ended(api: Api, http: httpx.Client, kim: Person) -> None:
    """Each with where it came from; another's is not found."""
    with stranger(api) as other:
        log_in(other, kim.login, OWN).raise_for_status()
        mine, theirs = (one.get("/v1/me").json()["session"] for one in (kim.browser, other))
        assert other.headers["X-Forwarded-For"] == theirs["address"]
        assert kim.browser.delete(f"/v1/me/sessions/{theirs['id']}").status_code == 204
        assert problem(other.get("/v1/me"))["code"] == "session.refused"
        assert problem(kim.browser.delete(f"/v1/me/sessions/{theirs['id']}"))["code"] == "session.not_found"
        assert kim.browser.get("/v1/me").json()["session"]["id"] == mine["id"]


def test_to_log_in_again_ends_the_login_before(api: Api, kim: Person) -> None:
    """Of the same browser: a token that somebody slipped into it does not become one that is logged in."""
    before = kim.browser.cookies["stillframe"]
    assert log_in(kim.browser, kim.login, OWN).status_code == 200
    assert kim.browser.cookies["stillframe"] != before
    with stranger(api) as other:
        other.cookies.set("stillframe", before)
        assert problem(other.get("/v1/me"))["code"] == "session.refused"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 204),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({}, 403),
        ({"Origin": "https://evil.example.com", "Sec-Fetch-Site": "same-origin"}, 204),
    ],
)
def test_no_other_site_changes_anything(api: Api, kim: Person, headers: dict[str, str], status: int) -> None:
    """A change with the cookie is done only for a page of the same origin; looking harms nobody, its answer stays unread."""
    with httpx.Client(base_url=api.url, cookies=kim.browser.cookies) as elsewhere:
        assert elsewhere.get("/v1/me", headers=headers).status_code == 200
        answer = elsewhere.post("/v1/logout", headers=headers)
        assert answer.status_code == status
        if status == 403:
            assert problem(answer)["code"] == "request.cross_site"
            assert kim.browser.get("/v1/me").status_code == 200


def test_no_other_site_logs_anybody_in(api: Api, kim: Person) -> None:
    """What is done in a browser would be done as somebody whom the person there is not."""
    body = {"login": kim.login, "password": OWN}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example.com"}):
        answer = httpx.post(f"{api.url}/v1/login", json=body, headers=headers)
        assert problem(answer)["code"] == "request.cross_site"
        assert "set-cookie" not in answer.headers


def test_over_https_the_cookie_is_for_https_only(api: Api, kim: Person) -> None:
    """As the proxy says; and one that came over http before opens nothing there."""
    body = {"login": kim.login, "password": OWN}
    headers = {**kim.browser.headers, "X-Forwarded-Proto": "https"}
    answer = httpx.post(f"{api.url}/v1/login", json=body, headers=headers)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-stillframe=")
    assert {"secure", "path=/"} <= {one.strip().lower() for one in cookie.split(";")}
    assert "domain" not in cookie.lower()
    assert kim.browser.get("/v1/me", headers={"X-Forwarded-Proto": "https"}).status_code == 401


def test_only_a_trusted_proxy_says_who_asks(api: Api, kim: Person) -> None:
    """What anybody else writes into the headers is not believed: neither the address nor that it is https."""
    port = free_port()
    env = os.environ | {
        "STILLFRAME_DATABASE_URL": api.engine.url.render_as_string(hide_password=False),
        "STILLFRAME_BROKER_URL": api.lab.broker_url,
        "STILLFRAME_LISTEN": f"127.0.0.1:{port}",
        "STILLFRAME_TRUSTED_PROXIES": "192.0.2.1, 2001:db8::/32",
    }
    process = subprocess.Popen([sys.executable, "-m", "web"], env=env, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            until(lambda: _answers(http), 60)
            http.headers.update({"X-Forwarded-For": "192.0.2.77", "X-Forwarded-Proto": "https"})
            inside = log_in(http, kim.login, OWN)
            assert inside.json()["session"]["address"] == "127.0.0.1"
            assert "secure" not in inside.headers["Set-Cookie"].lower()
    finally:
        process.terminate()
        process.wait(30)


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_key_beside_a_cookie_is_what_counts(api: Api, http: httpx.Client, kim: Person) -> None:
    """Who sends a key is a program, and nobody can have a browser send it."""
    cookies = {"stillframe": kim.browser.cookies["stillframe"]}
    with httpx.Client(base_url=api.url, headers=http.headers, cookies=cookies) as both:
        assert both.get("/v1/me").json()["by"] == "key"
        assert both.post("/v1/domains", json={"name": kim.login.split("/")[1] + "k"}).status_code == 201


@pytest.mark.parametrize("what", ["logged out", "narrowed"])
def test_a_stream_ends_with_its_login(
    api: Api, http: httpx.Client, kim: Person, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It opens with the cookie, and is over soon after the login is, or after it sees less."""
    monkeypatch.setattr("web.streaming.KEEPALIVE_S", 0.2)
    with kim.browser.stream("GET", "/v1/events/stream", params={"type": "none"}, timeout=30) as answer:
        words = answer.iter_text()
        next(words)
        assert next(words).startswith(": at ")
        if what == "logged out":
            with httpx.Client(base_url=api.url, cookies=kim.browser.cookies) as other:
                assert other.post("/v1/logout", headers={"Origin": api.url}).status_code == 204
        else:
            assert http.patch(f"/v1/users/{kim.id}", json={"role": "read_only"}).status_code == 200
        assert all(word.startswith(": at ") for word in words)
