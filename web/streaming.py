"""Open streams of events: server-sent events to however many readers, each of whom reads the rows at its own pace.

A reader holds one page of events and no more, so one that is slow costs what one that is quick costs, and holds up nobody.
While somebody reads, one question in POLL_S tells the whole process whether there is something new; Postgres is not
asked to ring, since that would make all who write events commit one after the other (docs/adr/0019).
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Engine
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from models.events.places import newest_place
from models.queries.stream import Batch, Conditions, Mark, following
from models.queries.trouble import DatabaseTrouble
from web.shapes import Event

log = logging.getLogger(__name__)

#: Seconds between two looks for something new, while anybody reads.
POLL_S = 0.02
#: Seconds each reader adds to the time between two of any reader's looks, so that many readers are no storm.
SPREAD_S = 0.001
#: Seconds after which a silent stream says that it is alive, and whether its key is still good is asked again.
KEEPALIVE_S = 15.0
#: Milliseconds after which a reader whose stream ended comes back.
RETRY_MS = 1000
#: Seconds for which a reader may take nothing before it is let go.
STALLED_S = 30.0
#: Events of one page.
PAGE = 200
#: Reading takes so many connections at most, however many readers there are.
_READING = 4


class Streams:
    """The streams of this process. Lives in the event loop it was started in."""

    def __init__(self, reads: Engine) -> None:
        self._reads = reads
        self._readers: set[asyncio.Event] = set()
        self._closing = False
        self._newest = 0
        self._looking: asyncio.Task[None] | None = None
        self._threads = CapacityLimiter(_READING)

    def close(self) -> None:
        """Ends all streams; their readers come back by the id of the last event they had."""
        self._closing = True
        if self._looking is not None:
            self._looking.cancel()
        for reader in self._readers:
            reader.set()

    async def follow(
        self, mark: Mark, conditions: Conditions, welcome: Callable[[], Awaitable[bool]]
    ) -> AsyncGenerator[str]:
        """The stream from a mark on, as text. Ends when the process does, the database goes away or its key is not `welcome`."""
        new, now = asyncio.Event(), asyncio.get_running_loop().time
        self._readers.add(new)
        try:
            self._look()
            yield f"retry: {RETRY_MS}\n{_here(mark)}"
            asked = now()
            async for batch in self._batches(mark, conditions, new):
                yield "".join(map(_shown, batch.events)) + _here(batch.mark)
                if now() - asked >= KEEPALIVE_S:
                    if not await welcome():
                        return
                    asked = now()
        except DatabaseTrouble as error:
            log.warning("a stream of events ends: %s", error)
        finally:
            self._readers.discard(new)

    async def _batches(self, mark: Mark, conditions: Conditions, new: asyncio.Event) -> AsyncIterator[Batch]:
        """What is wanted of what comes; an empty batch when there was nothing for a while."""
        loop = asyncio.get_running_loop()
        said = loop.time()
        while not self._closing:
            new.clear()
            batch = await to_thread.run_sync(
                partial(self._following, mark, conditions), limiter=self._threads
            )
            mark = batch.mark
            if batch.events or loop.time() - said >= KEEPALIVE_S:
                yield batch
                said = loop.time()
            if not batch.more:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(said + KEEPALIVE_S):
                        await new.wait()
                await asyncio.sleep(SPREAD_S * len(self._readers))

    def _following(self, mark: Mark, conditions: Conditions) -> Batch:
        with self._reads.connect() as connection:
            return following(connection, mark, conditions, PAGE)

    def _look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_for_new())

    async def _look_for_new(self) -> None:
        """Until nobody reads any more: wakes all readers when there is something new."""
        limiter = CapacityLimiter(1)
        while self._readers and not self._closing:
            try:
                newest = await to_thread.run_sync(self._newest_place, limiter=limiter)
            except DatabaseTrouble as error:
                log.warning("not looking for new events for now: %s", error)
                await asyncio.sleep(1.0)
                continue
            if newest != self._newest:
                self._newest = newest
                for reader in self._readers:
                    reader.set()
            await asyncio.sleep(POLL_S)

    def _newest_place(self) -> int:
        with self._reads.connect() as connection:
            return newest_place(connection)


class EventStream(StreamingResponse):
    """An answer that goes on. A reader that takes nothing for STALLED_S is let go."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncGenerator[str]) -> None:
        super().__init__(content, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One stream."""

        async def in_time(message: Message) -> None:
            async with asyncio.timeout(STALLED_S):
                await send(message)

        try:
            await super().__call__(scope, receive, in_time)
        except (TimeoutError, ClientDisconnect):
            log.info("a reader of the stream took nothing for %s s and is let go", STALLED_S)
        finally:
            await self._content.aclose()


def _shown(event: dict[str, Any]) -> str:
    return f"id: {event['id']}\ndata: {Event(**event).model_dump_json()}\n\n"


def _here(mark: Mark) -> str:
    """How far the stream is, for a reader that comes back; also when nothing of it was wanted. It is no event."""
    return f": at {mark.place}\nid: {mark.event_id}\n\n"
