"""Where a lab keeps its things: what stays, what goes at stop, and its ports and passwords.

Three folders.  `var` is what the caller named.  `home` (`var/lab`) holds what survives a stop:
database, images, definitions.  `run` is short and under /run, because a socket's path must fit in
108 bytes; it is removed at stop and, on most machines, by a reboot.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import secrets
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.daemon import Daemon


@dataclass(frozen=True, slots=True)
class Settings:
    """What was chosen at the first start and is kept in `var/lab.json` (mode 0600)."""

    postgres_port: int
    redis_port: int
    password: str
    host_uuid: str


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one lab; two labs on different `var` share none of them."""

    var: Path
    run: Path

    @classmethod
    def of(cls, var: Path) -> Places:
        """Name the places of the lab on `var`; creates nothing."""
        var = var.absolute()
        short = hashlib.sha256(str(var).encode()).hexdigest()[:10]
        top = Path("/run") if os.geteuid() == 0 else Path("/tmp")
        return cls(var, top / f"stillframe-lab-{short}")

    @property
    def home(self) -> Path:
        """What survives a stop, with every link resolved: the paths QEMU and Postgres are given."""
        return (self.var / "lab").resolve()

    @property
    def images(self) -> Path:
        """One folder a guest, holding its disks."""
        return self.home / "images"

    @property
    def elsewhere(self) -> Path:
        """Where `home` is kept when other users cannot reach `var`."""
        return Path("/var/tmp") / self.run.name

    def daemon(self, part: str) -> Daemon:
        """The background program of one part of the lab."""
        return Daemon(part, self.run / f"{part}.pid", self.home / "log" / f"{part}.log")

    def prepare(self) -> None:
        """Create the folders; a home nobody but root could enter goes to /var/tmp behind a link.

        Postgres refuses to be root and QEMU runs as a user of its own, so every folder above
        `home` must let others pass; /root and pytest's folders do not.
        """
        self.var.mkdir(parents=True, exist_ok=True)
        link = self.var / "lab"
        if not link.exists():
            link.unlink(missing_ok=True)
            if _others_may_pass(self.var):
                link.mkdir()
            else:
                shutil.rmtree(self.elsewhere, ignore_errors=True)  # of a `var` deleted by hand
                self.elsewhere.mkdir()
                link.symlink_to(self.elsewhere)
        for folder in (self.home, self.images, self.home / "serial", self.home / "log", self.run):
            open_folder(folder)

    def remove(self) -> None:
        """Delete everything this lab ever kept, save `var` itself and a cache in it."""
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)
        for leftover in (self.var / "lab", self.var / "lab.json", self.var / "lab.lock"):
            leftover.unlink(missing_ok=True)

    def settings(self) -> Settings:
        """This lab's settings as last written; chosen now if it never had any."""
        kept = self.var / "lab.json"
        if not kept.exists():
            with self.only_one():
                if not kept.exists():
                    self.write(
                        Settings(
                            postgres_port=free_port(),
                            redis_port=free_port(),
                            password=secrets.token_urlsafe(18),
                            host_uuid=str(uuid.uuid4()),
                        )
                    )
        return Settings(**json.loads(kept.read_text()))

    def write(self, settings: Settings) -> None:
        """Write the settings down for every later call, whole or not at all."""
        fresh = self.var / "lab.json.new"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(settings), file, indent=2)
        fresh.replace(self.var / "lab.json")

    @contextmanager
    def only_one(self) -> Iterator[None]:
        """Hold the lab's lock: starts and stops of one `var` take turns."""
        self.var.mkdir(parents=True, exist_ok=True)
        with (self.var / "lab.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def open_folder(folder: Path) -> None:
    """Make a folder that QEMU and Postgres may enter, whatever the umask."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)


def free_port() -> int:
    """Return a loopback TCP port nobody listens on, below the range of outgoing connections."""
    for port in random.sample(range(20000, 30000), 200):
        if is_free(port):
            return port
    raise OSError("none of 200 ports tried on 127.0.0.1 is free")


def is_free(port: int) -> bool:
    """Say whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def is_free_soon(port: int, within_s: float = 10.0) -> bool:
    """Say whether a server can listen on 127.0.0.1:`port`, now or within that time."""
    end = time.monotonic() + within_s
    while not (free := is_free(port)) and time.monotonic() < end:
        time.sleep(0.05)
    return free


def _others_may_pass(folder: Path) -> bool:
    real = folder.resolve()
    return all(place.stat().st_mode & 0o001 for place in (real, *real.parents))
