"""Following the events of an API: a stream that is begun again wherever it broke off. Knows no network.

`Producer.follow` and `AsyncProducer.follow` open the stream as this says and give it what comes.
"""

import json
import random
from collections.abc import Iterator
from typing import Any, cast

from stillframe.client.answers import Event
from stillframe.client.exchange import Reply, Silence, refusal_of
from stillframe.client.request import Json
from stillframe.errors import ApiUnreachable

PATH = "/v1/events/stream"
#: Seconds without a word after which the connection counts as dead; the API says every 15 s that it is there.
SILENT_S = 40.0
#: Seconds between two tries, at most; the first is after about half a second.
LONGEST_S = 15.0
#: Answers of a server, or of something before it, that will be back.
PASSING = frozenset({429, 500, 502, 503, 504})


class Following:
    """How far a reader of the stream is. Without `after`, an event's id, it begins with what comes from now on."""

    def __init__(self, url: str, after: int | None, filters: Json) -> None:
        self._url = url
        self._params = {name: value for name, value in filters.items() if value is not None}
        self._seen, self._tries, self._rest = after, 0, b""

    def arguments(self) -> dict[str, Any]:
        """How the stream is opened, in httpx' words: where the last one ended."""
        self._rest = b""
        headers = {} if self._seen is None else {"Last-Event-ID": str(self._seen)}
        return {"method": "GET", "url": PATH, "params": self._params, "headers": headers, "timeout": SILENT_S}

    def take(self, chunk: bytes) -> Iterator[Event]:
        """The events that are whole now."""
        *whole, self._rest = (self._rest + chunk).split(b"\n\n")
        for id_, data in map(_message, whole):
            self._tries = 0
            self._seen = self._seen if id_ is None else id_
            if data:
                yield cast(Event, json.loads(data))

    def refused(self, reply: Reply) -> None:
        """It was not opened; raises what the API said, unless that will be over."""
        if reply.status not in PASSING:
            raise refusal_of(reply)

    def broke(self, silence: Silence) -> None:
        """It ended with an error; raises ApiUnreachable if it never was there: rather a wrong address than a restart."""
        if self._seen is None or silence.hopeless:
            raise ApiUnreachable(url=self._url, why=silence.why)

    def pause_s(self) -> float:
        """How long to wait before it is opened again."""
        self._tries += 1
        return min(LONGEST_S, 0.5 * 2.0 ** min(self._tries - 1, 5)) * random.uniform(0.5, 1.0)  # noqa: S311


def messages(chunks: Iterator[bytes]) -> Iterator[tuple[int | None, str]]:
    """Id and data of each message of a stream; one that has no data only says how far the stream is."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n\n")
        yield from map(_message, whole)


def _message(block: bytes) -> tuple[int | None, str]:
    id_, data = None, []
    for line in block.split(b"\n"):
        name, _, value = line.rstrip(b"\r").partition(b":")
        text = value.removeprefix(b" ").decode()
        if name == b"data":
            data.append(text)
        elif name == b"id" and text.isdigit():
            id_ = int(text)
    return id_, "\n".join(data)
