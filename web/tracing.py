"""Each request has an id: the caller's own or a new one, in the answer, in the log, in events and with the job."""

import logging
from time import monotonic

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stillframe.trace import Trace, tracing

log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-Id"
#: Where the outermost handler of errors, which is outside of this, finds the trace.
TRACE = "stillframe.trace"
_LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})


class Tracing:
    """Runs the rest inside the request's trace, and logs what asked for a change."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope)
        trace = Trace.of_headers(sent.get(REQUEST_ID), sent.get("traceparent"))
        began, status = monotonic(), 0

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = trace.request_id
            await send(message)

        scope[TRACE] = trace
        with tracing(trace):
            try:
                await self.app(scope, receive, named)
            finally:
                if scope["method"] not in _LOOKING:
                    took_ms = (monotonic() - began) * 1000
                    log.info("%s %s: %d in %.0f ms", scope["method"], scope["path"], status, took_ms)
