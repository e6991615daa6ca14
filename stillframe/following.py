"""Following the events of an API: a stream that is begun again wherever it broke off."""

import json
import random
from collections.abc import Iterator
from time import sleep
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

Json = dict[str, Any]

PATH = "/v1/events/stream"
_REMEDY = "Check STILLFRAME_URL, and that the API runs (/healthz)."
#: Seconds without a word after which the connection counts as dead; the API says every 15 s that it is there.
SILENT_S = 40.0
#: Seconds between two tries, at most; the first is after about half a second.
LONGEST_S = 15.0


def follow(http: "httpx.Client", after: int | None, filters: Json) -> Iterator[Json]:
    """Events one by one, for ever: in order, none missed and none twice, over restarts of the API too.

    Without `after`, an event's id, from now on. Raises ProblemError when the API refuses, or was not there at first.
    """
    import httpx

    from stillframe.client import ProblemError, _problem

    params = {name: value for name, value in filters.items() if value is not None}
    tries, seen = 0, after
    while True:
        headers = {} if seen is None else {"Last-Event-ID": str(seen)}
        try:
            with http.stream("GET", PATH, params=params, headers=headers, timeout=SILENT_S) as answer:
                if not answer.is_success and answer.status_code not in PASSING:
                    answer.read()
                    raise _problem(answer)
                for id_, data in messages(answer.iter_bytes()) if answer.is_success else ():
                    tries = 0
                    seen = seen if id_ is None else id_
                    if data:
                        yield json.loads(data)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if seen is None:  # it was never there: more likely a wrong address than a restart
                raise ProblemError(
                    "api.unreachable", f"The API does not answer: {error}.", _REMEDY, 0
                ) from error
        tries += 1
        sleep(min(LONGEST_S, 0.5 * 2 ** min(tries - 1, 5)) * random.uniform(0.5, 1.0))  # noqa: S311


#: Answers of a server, or of something before it, that will be back.
PASSING = frozenset({429, 500, 502, 503, 504})


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
