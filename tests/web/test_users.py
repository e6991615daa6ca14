"""Users, over HTTP and by the command line: who may make and change them, and what is answered."""

import asyncio
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import func, select

from models.events.tables import Event
from models.session import transaction
from models.tenants.keys import make_key
from models.users.passwords import Passwords
from models.users.sessions import Lasts
from stillframe.errors import LoginsBusy
from stillframe.rights import Right, Role
from tests.web.conftest import Api, Cli
from tests.web.test_login import FIRST, OWN, log_in, stranger
from tests.web.test_problems import problem
from tests.world import World
from web.browser import counted
from web.logins import HASHED_AT_ONCE, MOST, Logins

pytestmark = pytest.mark.postgres


@pytest.fixture
def tenant(world: World, name: str) -> str:
    """An account of that name in a domain of that name."""
    tenant = f"w{name[3:]}"
    world.account(tenant, f"/{tenant}")
    return tenant


@pytest.fixture
def admin(api: Api, world: World, tenant: str) -> Iterator[httpx.Client]:
    """An administrator of the tenant's domain, without the right to delete."""
    scopes = [Right.ACCOUNT, Right.CREATE]
    with transaction(api.engine) as session:
        account = world.account(tenant, f"/{tenant}")
        key, _ = make_key(session, account, Role.DOMAIN, "narrow", scopes=scopes)
    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        yield http


def test_users_from_the_command_line(
    api: Api, cli: Cli, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made with a password from a pipe or one that is made up, changed, kept out, let in again, removed."""
    login = f"/{tenant}/kim"
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{FIRST}\n"))
    made = cli("user", "create", "kim", "--account", tenant, "--display-name", "김하늘", "--right", "create")
    assert (made.code, made.out, made.err) == (0, "", f"User {login} is made.\n")
    with stranger(api) as browser:
        assert log_in(browser, login, FIRST).status_code == 200
    listed = cli("user", "list", "--account", tenant).out
    assert f"{login}  김하늘" in listed
    assert "create" in listed
    assert (
        cli("user", "edit", login, "--all-rights", "--email", "kim@example.com", "--expires", "7d").code == 0
    )
    shown = json.loads(cli("user", "show", login, "-o", "json").out)
    assert (shown["scopes"], shown["email"], shown["must_change_password"]) == (None, "kim@example.com", True)
    assert shown["expires_at"]
    assert "kim@example.com" in cli("user", "show", shown["id"]).out
    assert cli("user", "edit", login, "--no-expiry", "--no-email").code == 0
    assert cli("user", "edit", login).code == 2
    assert cli("user", "disable", login).err == f"User {login} does not log in any more.\n"
    assert [
        one["login"] for one in json.loads(cli("user", "list", "--disabled", "-q", "하늘", "-o", "json").out)
    ] == [login]
    assert cli("user", "enable", login).code == 0
    password = cli("user", "password", login, "--generate").out.strip()
    with stranger(api) as browser:
        assert log_in(browser, login, password).status_code == 200
    assert cli("user", "delete", login, "--yes").code == 0
    assert cli("user", "show", login).code == 5
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "No password came" in cli("user", "create", "lee", "--account", tenant).err
    who = cli("whoami")
    assert "Account  admin" in who.out
    assert api.key[:12] in who.out
    assert api.key not in who.out + cli("whoami", "-o", "json").out


def test_what_is_done_to_a_user_is_told(api: Api, http: httpx.Client, tenant: str) -> None:
    """To its account, by whom, and without a word of what is private."""
    body = {"account": tenant, "name": "kim", "password": FIRST, "email": "kim@example.com"}
    id_ = http.post("/v1/users", json=body).json()["id"]
    http.patch(f"/v1/users/{id_}", json={"email": "lee@example.com", "scopes": ["create"]})
    with stranger(api) as browser:
        log_in(browser, f"/{tenant}/kim", FIRST)
        browser.post("/v1/me/password", json={"present": FIRST, "wanted": OWN})
        browser.post("/v1/logout")
    http.post(f"/v1/users/{id_}/password", json={"password": FIRST})
    for verb in ("disable", "disable", "enable", "enable"):
        http.post(f"/v1/users/{id_}/{verb}")
    http.delete(f"/v1/users/{id_}")
    with transaction(api.engine) as session:
        of = select(Event).where(Event.data["user_id"].astext == id_).order_by(Event.id)
        events = session.scalars(of).all()
    assert len({event.account_id for event in events}) == 1
    assert not any("example.com" in f"{event.message}{event.data}" for event in events)
    kim = f"/{tenant}/kim"
    assert [(event.type, event.actor) for event in events] == [
        *(("user.created", "admin"), ("user.edited", "admin"), ("session.began", kim)),
        *(("session.began", kim), ("user.password_changed", kim), ("session.ended", kim)),
        *(("user.password_set", "admin"), ("user.disabled", "admin"), ("user.enabled", "admin")),
        ("user.deleted", "admin"),
    ]


def test_what_is_refused(http: httpx.Client, tenant: str) -> None:
    """Passwords that are too plain, names that are taken or cannot be, and what there is not."""
    made = http.post("/v1/users", json={"account": tenant, "name": "kim", "password": FIRST})
    assert made.headers["Location"] == f"/v1/users/{made.json()['id']}"
    for changes, status, code in (
        ({"name": "KIM"}, 409, "user.name_taken"),
        ({"name": "a/b"}, 422, "name.invalid"),
        ({"name": "lee", "account": "nobody"}, 404, "account.not_found"),
        ({"name": "lee", "password": "short"}, 422, "request.invalid"),
        ({"name": "lee", "password": "x" * 257}, 422, "request.invalid"),
        ({"name": "lee", "password": "abcdefghijklm"}, 422, "password.invalid"),
        ({"name": "lee", "password": "ababababababab"}, 422, "password.invalid"),
        ({"name": "lee", "password": "Password2026!"}, 422, "password.invalid"),
        ({"name": "annabelle.lee", "password": "annabelle.lee1"}, 422, "password.invalid"),
        ({"name": "lee", "email": "nothing"}, 422, "request.invalid"),
        ({"name": "lee", "scopes": ["host"]}, 422, "key.rights_not_of_role"),
    ):
        body = {"account": tenant, "password": FIRST, **changes}
        refused = http.post("/v1/users", json=body)
        shown = problem(refused)
        assert (shown["status"], shown["code"]) == (status, code), changes
        assert str(body["password"]) not in refused.text
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/disable")):
        shown = problem(http.request(method, f"/v1/users/nobody-{tenant}{path}", json={}))
        assert shown["code"] == "user.not_found"
    assert problem(http.patch("/v1/users/kim", json={"role": None}))["code"] == "request.invalid"


def test_a_name_that_several_have_is_asked_about(http: httpx.Client, world: World, tenant: str) -> None:
    """Each domain has names of its own; who sees both says which, who sees one means that one."""
    world.account(f"{tenant}-dev", f"/{tenant}/dev")
    name = f"kim-{tenant}"
    ids = [
        http.post("/v1/users", json={"account": account, "name": name, "password": FIRST}).json()["id"]
        for account in (tenant, f"{tenant}-dev")
    ]
    shown = problem(http.get(f"/v1/users/{name}"))
    assert shown["code"] == "user.name_ambiguous"
    assert all(id_ in shown["detail"] for id_ in ids)
    found = http.get("/v1/users", params={"login": f"/{tenant}/dev/{name.upper()}"}).json()["items"]
    assert [one["id"] for one in found] == ids[1:]


def test_nobody_gives_more_than_they_have(
    api: Api, http: httpx.Client, admin: httpx.Client, tenant: str
) -> None:
    """Neither in a new user, nor in a change of one, nor by the password of one that may do more."""
    body = {"account": tenant, "password": FIRST}
    narrow = admin.post("/v1/users", json={**body, "name": "kim", "scopes": ["create"]})
    assert narrow.status_code == 201
    for wish in ({"role": "root"}, {"scopes": None}, {"scopes": ["create", "delete"]}):
        assert problem(admin.post("/v1/users", json={**body, "name": "lee", **wish}))["code"] == (
            "right.beyond_own"
        )
        assert problem(admin.patch("/v1/users/kim", json=wish))["code"] == "right.beyond_own"
    wide = http.post("/v1/users", json={**body, "name": "pat"}).json()["id"]
    for path, json_ in (("password", {"password": OWN}), ("enable", None)):
        assert problem(admin.post(f"/v1/users/{wide}/{path}", json=json_))["code"] == "right.beyond_own"
    assert admin.patch(f"/v1/users/{wide}", json={"display_name": "Pat"}).status_code == 200
    assert admin.post(f"/v1/users/{wide}/disable").status_code == 200
    root = http.post("/v1/users", json={**body, "name": "root", "role": "root"}).json()["id"]
    assert problem(admin.post(f"/v1/users/{root}/disable"))["code"] == "user.not_found"


def test_a_key_that_ends_makes_no_user_that_stays(api: Api, world: World, tenant: str) -> None:
    """What somebody may do for a while they cannot do for ever by another name."""
    with transaction(api.engine) as session:
        account = world.account(tenant, f"/{tenant}")
        tomorrow = session.scalars(select(func.now() + timedelta(days=1))).one()
        key, _ = make_key(session, account, Role.DOMAIN, "for a while", expires_at=tomorrow)
    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        body = {"account": tenant, "name": "kim", "password": FIRST}
        assert problem(http.post("/v1/users", json=body))["code"] == "right.beyond_own"
        assert http.post("/v1/users", json={**body, "expires_at": "12h"}).status_code == 201
        assert problem(http.patch("/v1/users/kim", json={"expires_at": None}))["code"] == "right.beyond_own"


def test_an_administrator_does_not_lock_themselves_out(api: Api, http: httpx.Client, tenant: str) -> None:
    """Nobody disables or deletes who they are logged in as, or sets their password without the present one."""
    body = {"account": tenant, "name": "boss", "password": FIRST, "role": "domain"}
    id_ = http.post("/v1/users", json=body).json()["id"]
    with stranger(api) as browser:
        log_in(browser, f"/{tenant}/boss", FIRST).raise_for_status()
        browser.post("/v1/me/password", json={"present": FIRST, "wanted": OWN}).raise_for_status()
        for method, path, json_ in (
            ("POST", "/disable", None),
            ("DELETE", "", None),
            ("POST", "/password", {"password": FIRST}),
        ):
            shown = problem(browser.request(method, f"/v1/users/{id_}{path}", json=json_))
            assert shown["code"] == "user.is_oneself"
        made = browser.post("/v1/keys", json={"account": tenant, "name": "laptop"})
        assert made.status_code == 201
    with transaction(api.engine) as session:
        told = session.scalars(select(Event).where(Event.type == "key.created").order_by(Event.id.desc()))
        assert told.first().actor == f"/{tenant}/boss"  # type: ignore[union-attr]


def test_too_many_tries_are_told_to_come_back(api: Api, http: httpx.Client, tenant: str) -> None:
    """With 429 and when; nobody else is concerned, and who is logged in goes on."""
    http.post("/v1/users", json={"account": tenant, "name": "kim", "password": FIRST})
    with stranger(api) as inside, stranger(api) as guessing:
        log_in(inside, f"/{tenant}/kim", FIRST).raise_for_status()
        statuses = [
            log_in(guessing, f"/{tenant}/kim", f"{FIRST}{number}").status_code for number in range(11)
        ]
        assert statuses == [401] * 10 + [429]
        refused = log_in(guessing, f"/{tenant}/kim", FIRST)
        assert problem(refused)["code"] == "login.too_many"
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert log_in(guessing, f"/{tenant}/lee", FIRST).status_code == 401
        assert inside.get("/v1/me").status_code == 200
        assert log_in(inside, f"/{tenant}/kim", FIRST).status_code == 200


def test_no_password_is_logged(
    api: Api, http: httpx.Client, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither one that opens nor one that does not, in no line and no event."""
    caplog.set_level("DEBUG")
    http.post("/v1/users", json={"account": tenant, "name": "kim", "password": FIRST})
    with stranger(api) as browser:
        log_in(browser, f"/{tenant}/kim", "certainly not this")
        log_in(browser, f"/{tenant}/kim", FIRST)
        browser.post("/v1/me/password", json={"present": "certainly not this", "wanted": OWN})
        browser.post("/v1/login", json={"login": f"/{tenant}/kim", "password": [OWN]})
    with transaction(api.engine) as session:
        said = [f"{one.message}{one.data}" for one in session.scalars(select(Event))]
    for line in (*said, caplog.text):
        assert all(word not in line for word in (FIRST, OWN, "certainly not this"))


def test_the_first_administrator_as_a_person(api: Api, tenant: str) -> None:
    """`python -m models user` makes one who may do everything, and lets that one in again by another password."""
    name = f"first-{tenant}"
    env = os.environ | {"STILLFRAME_DATABASE_URL": api.engine.url.render_as_string(hide_password=False)}

    def ran(words: str, password: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "models", *words.split()]
        return subprocess.run(command, input=password, env=env, capture_output=True, text=True, check=False)

    assert ran(f"user {name}", FIRST).stdout == f"User /{name} is made, and may do everything.\n"
    with stranger(api) as browser:
        me = log_in(browser, name, FIRST).json()
        assert (me["role"], me["must_change_password"]) == ("root", False)
        assert (
            ran(f"user {name}", OWN).stdout == f"User /{name} has another password, and may do everything.\n"
        )
        assert problem(browser.get("/v1/me"))["code"] == "session.refused"
        assert log_in(browser, f"/{name}", OWN).status_code == 200
    assert ran("user --help", OWN).stderr.startswith("usage: python -m models")
    short = ran(f"user {name}", "short")
    assert (short.returncode, short.stdout) == (2, "")
    assert "12 are the fewest" in short.stderr


def test_passwords_are_hashed_a_few_at_a_time(api: Api) -> None:
    """However many log in at once: what waits too long is refused before it takes any memory."""
    now, most = [0], [0]
    lock = threading.Lock()

    class Slow(Passwords):
        def hash(self, password: str) -> str:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.01)
            with lock:
                now[0] -= 1
            return password

    async def crowd() -> list[str | BaseException]:
        logins = Logins(api.engine, Lasts(3600, 43200), Slow())
        return await asyncio.gather(*(logins.hash(FIRST, []) for _ in range(50)), return_exceptions=True)

    done = asyncio.run(crowd())
    assert most[0] == HASHED_AT_ONCE
    assert [type(one) for one in done].count(LoginsBusy) == 50 - MOST
    assert done.count(FIRST) == MOST


@pytest.mark.parametrize(
    ("address", "under"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("", "unknown"),
        ("anything", "unknown"),
    ],
)
def test_an_address_is_counted_by_who_has_it(address: str, under: str) -> None:
    """Of IPv6 a whole network is one asker's; what is no address is no way around the count."""
    assert counted(address) == under
