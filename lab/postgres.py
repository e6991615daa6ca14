"""The lab's own Postgres: as durable as a real one (fsync on), reachable on loopback only."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path

from lab.daemon import Daemon, end_leftovers
from lab.errors import LabError
from lab.places import Places

USER = "stillframe"  # a superuser: what the product's roles may do is the product's to arrange

_CONFIGURATION = """\
listen_addresses = '127.0.0.1'
max_connections = 200
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %d '
"""

_WHO_MAY_ENTER = """\
local all all peer map=lab
host all all 127.0.0.1/32 scram-sha-256
"""


class Postgres:
    """One database cluster in `home/postgres`."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.sockets = places.run / "postgres"

    @property
    def folder(self) -> Path:
        """The cluster; where it is, is settled only at the lab's first start."""
        return self.places.home / "postgres"

    @property
    def daemon(self) -> Daemon:
        """The server's first process."""
        return self.places.daemon("postgres")

    def url(self, name: str) -> str:
        """The database's address in the form SQLAlchemy with psycopg reads."""
        at = f"127.0.0.1:{self.places.settings().postgres_port}"
        return f"postgresql+psycopg://{USER}:{self.places.settings().password}@{at}/{name}"

    def start(self) -> None:
        """Start it, making the cluster first if there is none; raises LabError if it will not."""
        if self.daemon.pid is not None:
            return
        user = _own_user()
        for folder, mode in ((self.folder, 0o700), (self.sockets, 0o755)):
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)
            shutil.chown(folder, user)
        if not (self.folder / "ready").exists():
            self._make_cluster(user)
        end_leftovers("postgres", self.folder)
        # A lock left by a killed server would refuse us if its pid lives again as another program.
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        self.daemon.start(
            [
                *(str(_binary("postgres")), "-D", str(self.folder)),
                *("-p", str(self.places.settings().postgres_port), "-k", str(self.sockets)),
            ],
            user=user,
        )
        self.daemon.wait_until(self._answers, timeout_s=60)
        self.sql(f"ALTER ROLE {USER} PASSWORD '{self.places.settings().password}'")

    def stop(self) -> None:
        """Stop it in order: sessions are cut, everything is written."""
        self.daemon.end(signal.SIGINT)
        end_leftovers("postgres", self.folder)

    def kill(self) -> None:
        """Kill it with all its sessions, as a power cut would."""
        self.daemon.end(signal.SIGKILL)
        end_leftovers("postgres", self.folder)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database unless it is there, optionally as a copy; return its address."""
        like = f" TEMPLATE {_checked(template)} STRATEGY file_copy" if template else ""
        if not self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{_checked(name)}'"):
            self.sql(f"CREATE DATABASE {name}{like}")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and the sessions in it; one that is not there is fine."""
        self.sql(f"DROP DATABASE IF EXISTS {_checked(name)} WITH (FORCE)")

    def sql(self, statement: str, name: str = "postgres") -> str:
        """Run one statement as superuser and return its bare output; raises LabError."""
        port = str(self.places.settings().postgres_port)
        ended = subprocess.run(
            [
                *(str(_binary("psql")), "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(self.sockets)),
                *("-p", port, "-U", USER, "-d", name, "-c", statement),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        if ended.returncode:
            raise LabError(f"Postgres refused: {ended.stderr.strip()}")
        return ended.stdout.strip()

    def _make_cluster(self, user: str) -> None:
        for left in self.folder.iterdir():  # an initdb that was cut short
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        made = subprocess.run(
            [
                *_become(user),
                *(str(_binary("initdb")), "-D", str(self.folder), "-U", USER, "--no-instructions"),
                *("-E", "UTF8", "--locale=C.UTF-8", "-A", "trust"),  # until pg_hba.conf below
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
        )
        if made.returncode:
            raise LabError(f"initdb failed: {made.stderr.strip()}")
        with (self.folder / "postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION)
        for name, text in (
            # The socket knows its caller, so this package needs no password; TCP asks for one.
            ("pg_hba.conf", _WHO_MAY_ENTER),
            ("pg_ident.conf", "".join(f"lab {who} {USER}\n" for who in {user, "root"})),
            ("ready", ""),
        ):
            (self.folder / name).write_text(text)
            shutil.chown(self.folder / name, user)

    def _answers(self) -> bool:
        asked = [str(_binary("pg_isready")), "-q", "-h", str(self.sockets)]
        port = str(self.places.settings().postgres_port)
        return subprocess.run([*asked, "-p", port], check=False).returncode == 0


def _own_user() -> str:
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _become(user: str) -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]


def _checked(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        raise LabError(f"{name!r} is no database name: small letters, digits and _ only")
    return name


def _binary(name: str) -> Path:
    """Debian keeps the server's programs out of PATH, in a folder a major version."""
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = sorted(versions, key=lambda path: float(path.parts[4]))
    if newest:
        return newest[-1]
    found = shutil.which(name)
    if found is None:
        raise LabError(f"{name} is not installed; `make setup` installs it")
    return Path(found)
