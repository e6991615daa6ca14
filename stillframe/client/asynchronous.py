"""The Producer of other services, for an event loop."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self, TypeVar

from stillframe.client.answers import Event
from stillframe.client.exchange import Exchange, Manners, Pause, Reply, Send, Silence, exchange, until_over
from stillframe.client.following import Following
from stillframe.client.http import PATIENCE_S, TIMEOUT_S, arguments, options, reply_of, silence_of
from stillframe.client.request import Request
from stillframe.client.verbs.awaited.accounts import Accounts
from stillframe.client.verbs.awaited.asking import Asking
from stillframe.client.verbs.awaited.reading import Reading
from stillframe.client.verbs.awaited.users import Users
from stillframe.client.verbs.awaited.webhooks import Webhooks

T = TypeVar("T")


class AsyncProducer(Accounts, Asking, Reading, Users, Webhooks):
    """As `Producer`, with every verb to be awaited; tasks of one event loop may share it."""

    def __init__(
        self, url: str, key: str, *, timeout_s: float = TIMEOUT_S, patience_s: float = PATIENCE_S
    ) -> None:
        import httpx  # here, so that importing the words costs nothing

        self._http = httpx.AsyncClient(**options(url, key, timeout_s))
        self._timeout_s = timeout_s
        self._manners = Manners(url.rstrip("/"), patience_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def follow(self, *, after: int | None = None, **filters: Any) -> AsyncIterator[Event]:
        """Events as they happen, for ever: from now on, or after an event's id; `last=20` begins with the last twenty.

        In order, none missed and none twice, over restarts of the API too. Raises when the API refuses, or was not there
        at first.
        """
        from asyncio import sleep

        import httpx

        following = Following(self._manners.url, after, filters)
        while True:
            try:
                async with self._http.stream(**following.arguments()) as answer:
                    if answer.is_success:
                        async for chunk in answer.aiter_bytes():
                            for event in following.take(chunk):
                                yield event
                    else:
                        await answer.aread()
                        following.refused(reply_of(answer))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                following.broke(silence_of(error))
            await sleep(following.pause_s())

    async def _ask(self, request: Request) -> Any:
        return await self._run(exchange(request, self._manners))

    async def _ask_until_over(self, path: str, timeout_s: float | None) -> Any:
        return await self._run(until_over(path, self._manners, timeout_s))

    async def _run(self, doing: Exchange[T]) -> T:
        from asyncio import sleep  # here, so that the command line does not load an event loop

        told: Reply | Silence | None = None
        try:
            while True:
                match doing.send(told):
                    case Send(request):
                        told = await self._send(request)
                    case Pause(seconds):
                        told = None
                        await sleep(seconds)
        except StopIteration as end:
            found: T = end.value
            return found

    async def _send(self, request: Request) -> Reply | Silence:
        import httpx

        try:
            return reply_of(await self._http.request(**arguments(request, self._timeout_s)))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return silence_of(error)
