"""Logins of this process: so many at a time that neither memory, cores nor connections are used up by those who come in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Engine

from models.session import transaction
from models.tenants.actor import Actor
from models.users import logins
from models.users.logins import Browser, Tried
from models.users.passwords import Passwords
from models.users.sessions import Lasts, verify_session
from stillframe.errors import LoginRefused, LoginsBusy, PasswordInvalid, PasswordWrong
from stillframe.passwords import check_password, normal

#: Each hash takes a core for a tenth of a second and 64 MiB, which nobody else gets meanwhile.
HASHED_AT_ONCE = 2
#: Connections that logins take, so that the rest of the API has the others, whoever knocks however often.
_CONNECTIONS = 4
#: With more than so many before it one is not let wait: it would take seconds.
MOST = 32
P = ParamSpec("P")
T = TypeVar("T")


class Logins:
    """Who logs in, and who is logged in."""

    def __init__(self, engine: Engine, lasts: Lasts, passwords: Passwords | None = None) -> None:
        self.lasts = lasts
        self._engine = engine
        self._reads = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._passwords = passwords or Passwords()
        self._hashing = CapacityLimiter(HASHED_AT_ONCE)
        self._writing = CapacityLimiter(_CONNECTIONS)
        self._inside = 0

    async def login(self, login: str, password: str, browser: Browser) -> tuple[str, Actor]:
        """The token of a new login, and who it is; raises LoginRefused, TooManyLogins or LoginsBusy."""
        with self._place():
            tried = await self._rows(logins.begin, self._engine, login, browser)
            fits, fresh = await self._slowly(self._compare, tried, password)
            if not fits:
                raise LoginRefused
            return await self._rows(logins.succeed, self._engine, tried, browser, self.lasts, fresh=fresh)

    async def change_password(
        self, actor: Actor, present: str, wanted: str, browser: Browser
    ) -> tuple[str, Actor]:
        """The token of a new login, all others of the user end; raises PasswordWrong, PasswordInvalid and those of `login`."""
        if normal(present) == normal(wanted):
            raise PasswordInvalid(why="it is the one that it was")
        wanted = _checked(wanted, actor.name.split("/"))
        with self._place():
            tried = await self._rows(logins.begin_again, self._engine, actor, browser)
            fits, _ = await self._slowly(self._compare, tried, present)
            if not fits:
                raise PasswordWrong
            fresh = await self._slowly(self._passwords.hash, wanted)
            return await self._rows(
                logins.change_password, self._engine, tried, browser, self.lasts, fresh=fresh
            )

    async def hash(self, password: str, words: list[str]) -> str:
        """What is to be kept of a password; raises LoginsBusy, PasswordInvalid, also for one that is made of these words."""
        with self._place():
            return await self._slowly(self._passwords.hash, _checked(password, words))

    def verify(self, token: str, *, used: bool = True) -> Actor:
        """Who is logged in; raises SessionRefused. The database is asked each time: a login that ended opens nothing."""
        with transaction(self._reads) as session:
            return verify_session(session, token, self.lasts, used=used)

    def _compare(self, tried: Tried, password: str) -> tuple[bool, str | None]:
        fits = self._passwords.fits(tried.kept, password)
        outdated = fits and tried.kept is not None and self._passwords.is_outdated(tried.kept)
        return fits, self._passwords.hash(password) if outdated else None

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._inside >= MOST:
            raise LoginsBusy(retry_after_s=3)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def _rows(self, asking: Callable[P, T], *words: P.args, **more: P.kwargs) -> T:
        return await to_thread.run_sync(partial(asking, *words, **more), limiter=self._writing)

    async def _slowly(self, hashing: Callable[P, T], *words: P.args, **more: P.kwargs) -> T:
        return await to_thread.run_sync(partial(hashing, *words, **more), limiter=self._hashing)


def _checked(password: str, words: list[str]) -> str:
    return check_password(password, filter(None, words))
