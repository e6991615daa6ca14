"""The server, which ends open streams before it waits for its connections to end."""

import socket

import uvicorn
from fastapi import FastAPI


class Server(uvicorn.Server):
    """Serves one app. A stop takes as long as the requests under way, and those who follow events are no requests under way."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the streams, then the rest."""
        self._app.state.house.streams.close()
        await super().shutdown(sockets)
