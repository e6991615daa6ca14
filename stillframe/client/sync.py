"""The Producer of other services, for threads."""

from collections.abc import Iterator
from time import sleep
from types import TracebackType
from typing import Any, Self, TypeVar

from stillframe.client.answers import Event
from stillframe.client.exchange import Exchange, Manners, Pause, Reply, Send, Silence, exchange, until_over
from stillframe.client.following import Following
from stillframe.client.http import PATIENCE_S, TIMEOUT_S, arguments, options, reply_of, silence_of
from stillframe.client.request import Request
from stillframe.client.verbs.accounts import Accounts
from stillframe.client.verbs.asking import Asking
from stillframe.client.verbs.reading import Reading
from stillframe.client.verbs.users import Users
from stillframe.client.verbs.webhooks import Webhooks

T = TypeVar("T")


class Producer(Accounts, Asking, Reading, Users, Webhooks):
    """One API and one key; threads may share it. The verbs of `tasks.producer.Producer`, and those of looking.

    What is refused or fails is raised as an error of `stillframe.errors`, by its code and in the API's words, with the
    HTTP `status`. While there is no answer it goes on asking for `patience_s` seconds where that is safe, and raises
    ApiUnreachable after it. `timeout_s` is for one request.
    """

    def __init__(
        self, url: str, key: str, *, timeout_s: float = TIMEOUT_S, patience_s: float = PATIENCE_S
    ) -> None:
        import httpx  # here, so that importing the words costs nothing

        self._http = httpx.Client(**options(url, key, timeout_s))
        self._timeout_s = timeout_s
        self._manners = Manners(url.rstrip("/"), patience_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def follow(self, *, after: int | None = None, **filters: Any) -> Iterator[Event]:
        """Events as they happen, for ever: from now on, or after an event's id; `last=20` begins with the last twenty.

        In order, none missed and none twice, over restarts of the API too. Raises when the API refuses, or was not there
        at first.
        """
        import httpx

        following = Following(self._manners.url, after, filters)
        while True:
            try:
                with self._http.stream(**following.arguments()) as answer:
                    if answer.is_success:
                        for chunk in answer.iter_bytes():
                            yield from following.take(chunk)
                    else:
                        answer.read()
                        following.refused(reply_of(answer))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                following.broke(silence_of(error))
            sleep(following.pause_s())

    def _ask(self, request: Request) -> Any:
        return self._run(exchange(request, self._manners))

    def _ask_until_over(self, path: str, timeout_s: float | None) -> Any:
        return self._run(until_over(path, self._manners, timeout_s))

    def _run(self, doing: Exchange[T]) -> T:
        told: Reply | Silence | None = None
        try:
            while True:
                match doing.send(told):
                    case Send(request):
                        told = self._send(request)
                    case Pause(seconds):
                        told = None
                        sleep(seconds)
        except StopIteration as end:
            found: T = end.value
            return found

    def _send(self, request: Request) -> Reply | Silence:
        import httpx

        try:
            return reply_of(self._http.request(**arguments(request, self._timeout_s)))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return silence_of(error)
