"""The lab's own Redis: loopback only, with a password, remembering what it was told (AOF)."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path

from lab.daemon import Daemon, end_leftovers
from lab.errors import LabError
from lab.places import Places


class Redis:
    """One Redis with its append-only file in `home/redis`."""

    def __init__(self, places: Places) -> None:
        self.places = places

    @property
    def folder(self) -> Path:
        """Its configuration and its append-only file."""
        return self.places.home / "redis"

    @property
    def daemon(self) -> Daemon:
        """The server."""
        return self.places.daemon("redis")

    @property
    def url(self) -> str:
        """The broker's address in the form Celery reads."""
        return f"redis://:{self.places.settings().password}@127.0.0.1:{self.places.settings().redis_port}/0"

    def start(self) -> None:
        """Start it and wait until it has read its file; raises LabError if it will not."""
        if self.daemon.pid is not None:
            return
        binary = shutil.which("redis-server")
        if binary is None:
            raise LabError("redis-server is not installed; `make setup` installs it")
        self.folder.mkdir(exist_ok=True)
        end_leftovers("redis-", self.folder)
        self.daemon.start([binary, str(self._configuration())])
        self.daemon.wait_until(self._answers, timeout_s=60)

    def stop(self) -> None:
        """Stop it in order: what it knows is on disk."""
        self.daemon.end(signal.SIGTERM)
        end_leftovers("redis-", self.folder)

    def kill(self) -> None:
        """Kill it at once; up to a second of what it was told may be lost, as in the field."""
        self.daemon.end(signal.SIGKILL)

    def _configuration(self) -> str:
        """Write the configuration (mode 0600: it holds the password) and return its path."""
        path = self.folder / "redis.conf"
        settings = self.places.settings()
        lines = (
            "bind 127.0.0.1",
            f"port {settings.redis_port}",
            f"requirepass {settings.password}",
            f'dir "{self.folder}"',
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            "daemonize no",
        )
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write("\n".join(lines) + "\n")
        return str(path)

    def _answers(self) -> bool:
        settings = self.places.settings()
        try:
            with socket.create_connection(("127.0.0.1", settings.redis_port), timeout=1) as link:
                link.sendall(f"AUTH {settings.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (more := link.recv(100)):
                    answer += more
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"
