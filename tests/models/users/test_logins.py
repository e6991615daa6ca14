"""Logins: which passwords open, for how long, and how often one may be wrong."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine, func, select, update

from models.events.tables import Event
from models.session import transaction
from models.tenants.actor import ADMIN, Actor
from models.users import keep, logins
from models.users.limit import of_name
from models.users.logins import Browser, Tried
from models.users.passwords import Passwords
from models.users.sessions import Lasts, verify_session
from models.users.tables import LoginBucket, LoginSession, User
from stillframe.errors import LoginRefused, SessionRefused, TooManyLogins
from stillframe.rights import Right, Role
from tests.clock import BEGIN, Clock
from tests.world import World

pytestmark = pytest.mark.postgres

CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
LASTS = Lasts(idle_s=3600, whole_s=43_200)
HERE, THERE = Browser("192.0.2.7", "Firefox"), Browser("198.51.100.9")
WORDS = "four words nobody joined"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def kim(world: World, engine: Engine) -> UUID:
    """A user /acme/kim."""
    world.account("web", "/acme")
    with transaction(engine) as session:
        return keep.add_user(session, ADMIN, "web", "kim", CHEAP.hash(WORDS), must_change=False)


def log_in(engine: Engine, login: str, password: str, browser: Browser = HERE) -> tuple[str, Actor]:
    """As `web.logins` does it."""
    tried = logins.begin(engine, login, browser)
    if not CHEAP.fits(tried.kept, password):
        raise LoginRefused
    return logins.succeed(engine, tried, browser, LASTS)


def who(engine: Engine, token: str) -> Actor:
    with transaction(engine) as session:
        return verify_session(session, token, LASTS)


def change(engine: Engine, what: Callable[..., Any], *words: Any, **more: Any) -> Any:
    with transaction(engine) as session:
        return what(session, ADMIN, *words, **more)


def tries(engine: Engine, login: str, browser: Browser, most: int = 200) -> int:
    """How many tries are let pass before one is refused."""
    for passed in range(most):
        try:
            logins.begin(engine, login, browser)
        except TooManyLogins:
            return passed
    return most


def test_a_login_says_who_it_is(engine: Engine, kim: UUID) -> None:
    """The user's account, role and rights; in no row stands the token, or the password."""
    change(engine, keep.edit_user, str(kim), {"scopes": [Right.CREATE]})
    token, actor = log_in(engine, "acme/KIM", WORDS)
    again = who(engine, token)
    assert again == actor
    assert (actor.name, actor.role, actor.domain, actor.rights) == (
        *("/acme/kim", Role.USER, "/acme"),
        frozenset({Right.CREATE}),
    )
    with transaction(engine) as session:
        rows = [*session.scalars(select(LoginSession)), *session.scalars(select(User))]
        kept = [str(value) for row in rows for value in vars(row).values()]
        assert not any(token in value or WORDS in value for value in kept)
        said = session.execute(select(Event.type, Event.actor, Event.data).order_by(Event.id)).all()
    assert [(type_, actor) for type_, actor, _ in said] == [
        *(("user.created", "admin"), ("user.edited", "admin")),
        ("session.began", "/acme/kim"),
    ]
    assert not any(token in str(data) or WORDS in str(data) for _, _, data in said)


def test_a_login_that_nobody_uses_is_over(engine: Engine, kim: UUID, clock: Clock) -> None:
    """After an hour without use; one that is used goes on, to its twelfth hour and no further."""
    left, _ = log_in(engine, "/acme/kim", WORDS)
    used, _ = log_in(engine, "/acme/kim", WORDS)
    for _ in range(14):
        clock.forward(50 * MINUTE)
        who(engine, used)
    with pytest.raises(SessionRefused):
        who(engine, left)
    clock.forward(21 * MINUTE)
    with pytest.raises(SessionRefused):
        who(engine, used)


def test_to_look_whether_it_goes_on_is_no_use(engine: Engine, kim: UUID, clock: Clock) -> None:
    """A stream that is open does not keep a login open that nobody uses."""
    token, _ = log_in(engine, "/acme/kim", WORDS)
    clock.forward(50 * MINUTE)
    with transaction(engine) as session:
        verify_session(session, token, LASTS, used=False)
    clock.forward(20 * MINUTE)
    with pytest.raises(SessionRefused):
        who(engine, token)


def test_what_is_over_is_removed(engine: Engine, kim: UUID, clock: Clock) -> None:
    """By the next who log in: neither old logins nor old tries pile up."""
    for number in range(4):
        log_in(engine, "/acme/kim", WORDS, Browser(f"192.0.2.{number}"))
        logins.begin(engine, f"nobody{number}", HERE)
    clock.forward(timedelta(days=2))
    log_in(engine, "/acme/kim", WORDS, THERE)
    with transaction(engine) as session:
        assert session.scalar(select(func.count()).select_from(LoginSession)) == 1
        assert session.scalar(select(func.count()).select_from(LoginBucket)) == 2


def test_an_expired_user_is_out(engine: Engine, kim: UUID, clock: Clock) -> None:
    """Also where the login was open already."""
    change(engine, keep.edit_user, str(kim), {"expires_at": timedelta(minutes=30)})
    token, actor = log_in(engine, "/acme/kim", WORDS)
    assert actor.until == BEGIN + 30 * MINUTE
    clock.forward(30 * MINUTE)
    with pytest.raises(SessionRefused):
        who(engine, token)
    with pytest.raises(LoginRefused):
        log_in(engine, "/acme/kim", WORDS)


def test_a_role_that_changes_changes_at_once(engine: Engine, kim: UUID) -> None:
    """Who is logged in loses what was taken away with the next request."""
    token, _ = log_in(engine, "/acme/kim", WORDS)
    change(engine, keep.edit_user, str(kim), {"role": Role.READ_ONLY})
    assert who(engine, token).rights == frozenset()


@pytest.mark.parametrize("login", ["/acme/kim", "/acme/nobody"])
def test_tries_are_counted_whether_the_user_is_there_or_not(
    engine: Engine, kim: UUID, clock: Clock, login: str
) -> None:
    """Ten in a row from anywhere, then one a minute: nobody is locked out for longer."""
    first, then = (tries(engine, login, Browser(f"192.0.2.{one}")) for one in (1, 2))
    assert (first, then) == (10, 0)
    with pytest.raises(TooManyLogins) as refused:
        logins.begin(engine, login, THERE)
    assert refused.value.context == {"retry_after_s": 60}
    clock.forward(59 * timedelta(seconds=1))
    assert tries(engine, login, THERE) == 0
    clock.forward(timedelta(seconds=1))
    assert tries(engine, login, THERE) == 1
    clock.forward(timedelta(days=1))
    assert tries(engine, login, THERE) == 10


def test_an_address_is_counted_over_all_names(engine: Engine, clock: Clock) -> None:
    """Fifty in a row, then one in ten seconds; other addresses are not concerned."""
    passed = sum(tries(engine, f"nobody{one}", HERE) for one in range(8))
    assert passed == 50
    assert tries(engine, "nobody9", THERE) == 10
    clock.forward(timedelta(seconds=10))
    assert tries(engine, "somebody", HERE) == 1


def test_tries_at_once_cannot_pass_together(engine: Engine, kim: UUID) -> None:
    """Forty at the same moment, of one name and from as many addresses: ten are looked at."""

    def one(number: int) -> bool:
        try:
            logins.begin(engine, "/acme/kim", Browser(f"192.0.2.{number}"))
        except TooManyLogins:
            return False
        return True

    with ThreadPoolExecutor(10) as crowd:
        assert sum(crowd.map(one, range(40))) == 10


def test_guesses_from_elsewhere_lock_nobody_out(engine: Engine, kim: UUID, clock: Clock) -> None:
    """Who logged in from an address before does so again, however many fail elsewhere; and guesses there are counted too."""
    log_in(engine, "/acme/kim", WORDS, HERE)
    assert tries(engine, "/acme/kim", THERE) == 10
    for _ in range(20):
        log_in(engine, "/acme/kim", WORDS, HERE)
    assert tries(engine, "/acme/kim", HERE) == 10
    clock.forward(timedelta(days=91))
    assert tries(engine, "/acme/kim", THERE) == 10
    assert tries(engine, "/acme/kim", HERE) == 0


def test_a_right_password_counts_for_nothing(engine: Engine, kim: UUID, clock: Clock) -> None:
    """However often one logs in, and it does not wipe out the tries of others either."""
    for _ in range(60):
        log_in(engine, "/acme/kim", WORDS, HERE)
    assert tries(engine, "/acme/kim", HERE) == 10
    assert tries(engine, "nobody", HERE, 3) == 3


def test_too_many_failures_are_told_once(engine: Engine, world: World, kim: UUID, clock: Clock) -> None:
    """To the account of the user, and of an address to those who run the hosts; of what is nobody's name nothing is kept."""
    for _ in range(3):
        assert tries(engine, "/acme/kim", THERE) <= 10
        clock.forward(MINUTE)
        assert tries(engine, "correct horse battery", HERE) <= 10
    for number in range(8):
        tries(engine, f"nobody{number}", HERE)
    with transaction(engine) as session:
        failed = select(Event).where(Event.type == "login.failed").order_by(Event.id)
        told = [(one.account_id, one.actor, one.message) for one in session.scalars(failed)]
        kept = session.scalars(select(LoginBucket.subject)).all()
    assert told == [
        (
            world.account("web", "/acme"),
            "198.51.100.9",
            "too often as /acme/kim, the last time from 198.51.100.9",
        ),
        (None, "192.0.2.7", "too often as anybody, the last time from 192.0.2.7"),
    ]
    assert not any("correct" in subject for subject in kept)
    assert of_name("/correct horse battery", None).key in kept


def test_a_login_that_races_a_new_password_comes_to_nothing(engine: Engine, kim: UUID) -> None:
    """The password fitted when it was looked at, and another was set, or the user was disabled, before it was let in."""

    def while_it_is_hashed(meanwhile: Callable[[], Any]) -> None:
        tried: Tried = logins.begin(engine, "/acme/kim", HERE)
        assert CHEAP.fits(tried.kept, WORDS)
        meanwhile()
        with pytest.raises(LoginRefused):
            logins.succeed(engine, tried, HERE, LASTS)

    while_it_is_hashed(lambda: change(engine, keep.set_password, str(kim), CHEAP.hash(WORDS)))
    while_it_is_hashed(lambda: change(engine, keep.disable_user, str(kim)))
    change(engine, keep.enable_user, str(kim))
    while_it_is_hashed(lambda: change(engine, keep.delete_user, str(kim)))
    with transaction(engine) as session:
        assert session.scalars(select(LoginSession)).all() == []


def test_old_parameters_are_brought_up_to_date(engine: Engine, kim: UUID) -> None:
    """At a login, for the same password; two that do it at once both get in."""
    dearer = Passwords(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    with transaction(engine) as session:
        kept = session.scalars(select(User.password_hash)).one()
    assert dearer.is_outdated(kept)
    assert not CHEAP.is_outdated(kept)
    both = [logins.begin(engine, "/acme/kim", HERE) for _ in range(2)]
    for tried in both:
        logins.succeed(engine, tried, HERE, LASTS, fresh=dearer.hash(WORDS))
    with transaction(engine) as session:
        fresh = session.scalars(select(User.password_hash)).one()
    assert not dearer.is_outdated(fresh)
    assert dearer.fits(fresh, WORDS)


def test_what_is_not_there_takes_as_long_and_fits_nothing() -> None:
    """Whoever is not there is compared with nobody's hash, of the same parameters; a hash that is broken opens nothing."""
    parameters = CHEAP.hash(WORDS).rpartition("$")[0].rpartition("$")[0]
    assert CHEAP._nobodys.startswith(parameters + "$")
    assert not CHEAP.is_outdated(CHEAP._nobodys)
    assert not CHEAP.fits(None, WORDS)
    assert not CHEAP.fits("broken", WORDS)
    assert CHEAP.fits(CHEAP.hash("ä" * 12), "a\u0308" * 12)


def test_a_session_is_used_to_the_minute(engine: Engine, kim: UUID, clock: Clock) -> None:
    """Reading with a login does not write each time."""
    token, _ = log_in(engine, "/acme/kim", WORDS)
    clock.forward(timedelta(seconds=30))
    who(engine, token)
    with transaction(engine) as session:
        assert session.scalars(select(LoginSession.last_seen_at)).one() == BEGIN
        session.execute(update(LoginSession).values(last_seen_at=BEGIN))
    clock.forward(timedelta(seconds=31))
    who(engine, token)
    with transaction(engine) as session:
        assert session.scalars(select(LoginSession.last_seen_at)).one() == BEGIN + timedelta(seconds=61)
