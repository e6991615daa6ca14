"""How much one request may send."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stillframe.errors import BodyTooLarge
from web.problems import problem

BODY_BYTES = 1024 * 1024


class BodyLimit:
    """Refuses a body above the limit: by its Content-Length before it is read, else as soon as it has grown too long."""

    def __init__(self, app: ASGIApp, limit_bytes: int = BODY_BYTES) -> None:
        self.app = app
        self.limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif self._announced(scope) > self.limit_bytes:
            await problem(BodyTooLarge(limit_bytes=self.limit_bytes))(scope, receive, send)
        else:
            await self._read_so_much(scope, receive, send)

    async def _read_so_much(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.limit_bytes:
                raise HTTPException(413, str(self.limit_bytes))
            return message

        await self.app(scope, counted, send)

    @staticmethod
    def _announced(scope: Scope) -> int:
        text = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        return int(text) if text.isdigit() else 0
