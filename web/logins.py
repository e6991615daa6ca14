"""Logins of this process: passwords are hashed a few at a time, beside the threads that routes run in."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Engine

from models.session import transaction
from models.tenants.actor import Actor
from models.users import logins
from models.users.logins import Browser, Tried
from models.users.passwords import Passwords
from models.users.sessions import Lasts, verify_session
from stillframe.errors import LoginRefused, LoginsBusy, PasswordInvalid, PasswordWrong
from stillframe.passwords import check_password, normal

#: Each takes a core for a tenth of a second and 64 MiB, which nobody else gets meanwhile.
AT_ONCE = 2
#: With more than so many before it one is not let wait: it would take seconds.
MOST_WAITING = 30
P = ParamSpec("P")
T = TypeVar("T")


class Logins:
    """Who logs in, and who is logged in."""

    def __init__(self, engine: Engine, lasts: Lasts, passwords: Passwords | None = None) -> None:
        self.lasts = lasts
        self._engine = engine
        self._passwords = passwords or Passwords()
        self._slots = CapacityLimiter(AT_ONCE)
        self._wanted = 0

    async def login(self, login: str, password: str, browser: Browser) -> tuple[str, Actor]:
        """The token of a new login, and who it is; raises LoginRefused, TooManyLogins or LoginsBusy."""
        tried = await run_in_threadpool(logins.begin, self._engine, login, browser)
        fits, fresh = await self._slowly(self._compare, tried, password)
        if not fits:
            raise LoginRefused
        return await run_in_threadpool(logins.succeed, self._engine, tried, browser, self.lasts, fresh=fresh)

    async def change_password(
        self, actor: Actor, present: str, wanted: str, browser: Browser
    ) -> tuple[str, Actor]:
        """The token of a new login, all others of the user end; raises PasswordWrong, PasswordInvalid and those of `login`."""
        tried = await run_in_threadpool(logins.begin_again, self._engine, actor, browser)
        fits, _ = await self._slowly(self._compare, tried, present)
        if not fits:
            raise PasswordWrong
        if normal(present) == normal(wanted):
            raise PasswordInvalid(why="it is the one that it was")
        fresh = await self.hash(wanted, actor.name.split("/"))
        return await run_in_threadpool(
            logins.change_password, self._engine, tried, browser, self.lasts, fresh=fresh
        )

    async def hash(self, password: str, words: list[str]) -> str:
        """What is to be kept of a password; raises PasswordInvalid, also for one that is made of these words."""
        return await self._slowly(self._passwords.hash, check_password(password, filter(None, words)))

    def verify(self, token: str, *, used: bool = True) -> Actor:
        """Who is logged in; raises SessionRefused. The database is asked each time: a login that ended opens nothing."""
        with transaction(self._engine) as session:
            return verify_session(session, token, self.lasts, used=used)

    def _compare(self, tried: Tried, password: str) -> tuple[bool, str | None]:
        fits = self._passwords.fits(tried.kept, password)
        outdated = fits and tried.kept is not None and self._passwords.is_outdated(tried.kept)
        return fits, self._passwords.hash(password) if outdated else None

    async def _slowly(self, hashing: Callable[P, T], *words: P.args, **_: P.kwargs) -> T:
        if self._wanted >= AT_ONCE + MOST_WAITING:
            raise LoginsBusy(retry_after_s=3)
        self._wanted += 1
        try:
            return await to_thread.run_sync(hashing, *words, limiter=self._slots)
        finally:
            self._wanted -= 1
