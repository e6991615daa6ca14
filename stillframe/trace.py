"""Which request something goes back to: its id and its W3C traceparent, from the API over the job's row to the host.

What is done for a request runs inside `tracing`: events told there and lines logged there carry it, and so does each job
that is asked for there; the worker that carries the job out goes on inside the same trace.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self
from uuid import uuid4

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
#: Version 00, and later ones, which may have more behind; ids of zeros only are none.
TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]{1,64})?"
)


@dataclass(frozen=True)
class Trace:
    """A request: the id it came with or was given, and where it stands in the caller's trace, if that said so."""

    request_id: str
    traceparent: str | None = None

    @classmethod
    def of_headers(cls, request_id: str | None, traceparent: str | None) -> Self:
        """What came is taken if it is well formed; else a request gets an id of its own, and no place in a trace."""
        given = request_id if request_id and REQUEST_ID.fullmatch(request_id) else str(uuid4())
        return cls(given, traceparent if traceparent and TRACEPARENT.fullmatch(traceparent) else None)

    @classmethod
    def of_tick(cls, what: str) -> Self:
        """One that nobody asked for: what the clock has done, each time by an id of its own, such as `fire_policies-...`."""
        return cls(f"{what}-{uuid4()}")

    @classmethod
    def from_json(cls, found: Mapping[str, Any] | None) -> Self | None:
        """As it was written down; None if nothing was."""
        return cls(found["request_id"], found.get("traceparent")) if found else None

    def to_json(self) -> dict[str, str]:
        """To be written down."""
        return {"request_id": self.request_id} | (
            {"traceparent": self.traceparent} if self.traceparent else {}
        )


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current() -> Trace | None:
    """The request for which this runs."""
    return _current.get()


@contextmanager
def tracing(trace: Trace | None) -> Iterator[None]:
    """What runs here runs for this request. Threads that are begun here do not, unless their context is copied."""
    before = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(before)


def traced(data: Mapping[str, Any]) -> dict[str, Any]:
    """What is written of an event, with the request it goes back to."""
    trace = _current.get()
    return dict(data) if trace is None else {**data, "trace": trace.to_json()}


def in_logs() -> None:
    """Gives every log record of this process a `trace`: ` [request ID]`, or nothing; formats may name it."""
    make = logging.getLogRecordFactory()

    def record(*words: Any, **more: Any) -> logging.LogRecord:
        made = make(*words, **more)
        trace = _current.get()
        made.trace = "" if trace is None else f" [request {trace.request_id}]"
        return made

    logging.setLogRecordFactory(record)
