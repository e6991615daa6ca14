"""Requests that wait for a job's end: woken by one listener a process, so that a hundred of them cost what one does."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Engine

from models.queries.ended import EndedJobs

Found = TypeVar("Found")


class Bell:
    """Rings for each job and each rescan that has ended. Lives in the event loop it was started in."""

    def __init__(self, engine: Engine) -> None:
        self._waiting: dict[UUID, set[asyncio.Event]] = {}
        self._ended = EndedJobs(engine, self._heard, lambda: tuple(self._waiting))
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begins to listen."""
        self._loop = asyncio.get_running_loop()
        self._ended.start()

    def stop(self) -> None:
        """Stops listening and lets all who wait look once more."""
        self._ended.stop()
        for job in tuple(self._waiting):
            self._ring(job)

    @contextmanager
    def listening(self, job: UUID) -> Iterator[asyncio.Event]:
        """An event that is set each time the job is said to have ended; listen first, then look."""
        rung = asyncio.Event()
        self._waiting.setdefault(job, set()).add(rung)
        try:
            yield rung
        finally:
            self._waiting[job].discard(rung)
            if not self._waiting[job]:
                del self._waiting[job]

    async def wait(
        self, job: UUID, look: Callable[[], Awaitable[Found]], over: Callable[[Found], bool], timeout_s: float
    ) -> Found:
        """What `look` finds once it is `over`, or when the time is."""
        until = asyncio.get_running_loop().time() + timeout_s
        with self.listening(job) as rung:
            found = await look()
            while not over(found):
                try:
                    async with asyncio.timeout_at(until):
                        await rung.wait()
                except TimeoutError:
                    return await look()
                rung.clear()
                found = await look()
        return found

    def _heard(self, job: UUID) -> None:
        if job in self._waiting and self._loop is not None:
            self._loop.call_soon_threadsafe(self._ring, job)

    def _ring(self, job: UUID) -> None:
        for rung in self._waiting.get(job, ()):
            rung.set()
