"""The whole of Stillframe on this machine: the lab, and on it API, watchdog, worker, control worker, beat, webhooks and Flower.

`python -m lab.stack up|down|status`. With STILLFRAME_LIBVIRT_URI in the environment the worker serves that libvirt
(the machine's own, say) instead of the lab's private one. Addresses and the admin key land in `var/stack.env`.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from lab.daemon import Daemon
from lab.errors import LabError
from lab.lab import PARTS, Lab, default_var
from lab.places import free_port, is_free

ROOT = Path(__file__).resolve().parent.parent
HOST = "lab"
#: Characters of a key that stand beside its hash.
SHOWN = 12
#: Started in this order, stopped in the other.
PROGRAMS = ("api", "watchdog", "worker", "control", "beat", "webhooks", "flower")


@dataclass(frozen=True)
class Addresses:
    """Where the stack is reached, as `var/stack.env` says it."""

    values: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values[f"STILLFRAME_{name}"]


class Stack:
    """One stack on one `var` folder."""

    def __init__(self, var: Path | None = None, host: str = HOST) -> None:
        self.var = (var or default_var()).resolve()
        self.lab = Lab(self.var)
        self.host = host
        self.env_file = self.var / "stack.env"
        self._run = self.var / "stack"

    def up(self, programs: tuple[str, ...] = PROGRAMS) -> Addresses:
        """Starts what is down; returns once the API answers. Raises LabError with the last words of what failed."""
        foreign = os.environ.get("STILLFRAME_LIBVIRT_URI")
        self.lab.start(tuple(part for part in PARTS if part != "libvirt" or not foreign))
        self._run.mkdir(parents=True, exist_ok=True)
        addresses = self._addresses(foreign or self.lab.libvirt_uri)
        self._once("models", "upgrade", addresses)
        if not self._knows(addresses.values.get("STILLFRAME_KEY", "")):
            addresses.values["STILLFRAME_KEY"] = self._once("models", "key", addresses)
        self._write(addresses)
        for name in programs:
            self.start(name)
        if "api" in programs:
            # Not /readyz: that of another stack, which took the port meanwhile, would do.
            self.daemon("api").wait_until(lambda: _get(addresses, "/v1/me") != "", 90)
        if "worker" in programs:
            self._wait_for_host(addresses)
        return addresses

    def down(self) -> None:
        """Stops everything, the lab too; twice is fine."""
        for name in reversed(PROGRAMS):
            self.stop(name)
        self.lab.stop()

    def start(self, name: str) -> None:
        """Starts one program if it is down."""
        daemon, addresses = self.daemon(name), self.addresses()
        if daemon.pid is None:
            # A worker that is killed leaves a folder in there.
            temporary = self._run / "tmp"
            temporary.mkdir(exist_ok=True)
            words = [f"TMPDIR={temporary}", *(f"{key}={value}" for key, value in addresses.values.items())]
            daemon.start(["env", "-C", str(ROOT), *words, *_command(name, self.host, addresses, self._run)])

    def stop(self, name: str, sign: signal.Signals = signal.SIGTERM) -> None:
        """Stops one program; a worker is given the time to end its jobs."""
        self.daemon(name).end(sign, timeout_s=60)

    def daemon(self, name: str) -> Daemon:
        """A program of the stack; its log is var/stack/<name>.log."""
        return Daemon(name, self._run / f"{name}.pid", self._run / f"{name}.log")

    def addresses(self) -> Addresses:
        """What stack.env says; raises LabError if the stack was never up."""
        try:
            lines = self.env_file.read_text().splitlines()
        except OSError:
            raise LabError(f"{self.env_file} is not there: `make up` writes it") from None
        return Addresses(dict(line.split("=", 1) for line in lines if "=" in line))

    def _addresses(self, libvirt_uri: str) -> Addresses:
        try:
            known = self.addresses().values
        except LabError:
            known = {}
        port = _port(known.get("STILLFRAME_LISTEN"), self.daemon("api"), 8460)
        flower = _port(
            known.get("STILLFRAME_FLOWER_URL", "").rpartition("//")[2], self.daemon("flower"), 5555
        )
        # Of another libvirt whoever named it says where they are.
        own = libvirt_uri == self.lab.libvirt_uri
        definitions = {"STILLFRAME_DEFINITIONS_FOLDER": str(self.lab.definitions)} if own else {}
        return Addresses(
            {
                "STILLFRAME_URL": f"http://127.0.0.1:{port}",
                **{key: value for key, value in known.items() if key == "STILLFRAME_KEY"},
                "STILLFRAME_DATABASE_URL": self.lab.database_url(),
                "STILLFRAME_BROKER_URL": self.lab.broker_url,
                "STILLFRAME_LIBVIRT_URI": libvirt_uri,
                **definitions,
                "STILLFRAME_FLOWER_URL": f"http://127.0.0.1:{flower}",
                "STILLFRAME_FLOWER_LOGIN": known.get("STILLFRAME_FLOWER_LOGIN")
                or f"admin:{secrets.token_urlsafe(12)}",
                "STILLFRAME_WEBHOOK_KEY": known.get("STILLFRAME_WEBHOOK_KEY") or secrets.token_urlsafe(32),
                "STILLFRAME_WEBHOOK_ALLOW": "127.0.0.0/8",
                "STILLFRAME_LISTEN": f"127.0.0.1:{port}",
                "STILLFRAME_HOST": self.host,
                "STILLFRAME_WATCH_FOLDER": str(self._run / "watch"),
            }
        )

    def _write(self, addresses: Addresses) -> None:
        self.env_file.touch(mode=0o600)
        self.env_file.write_text("".join(f"{key}={value}\n" for key, value in addresses.values.items()))

    def _knows(self, key: str) -> bool:
        """Whether the database has the key; it may not be the one for which the key was made."""
        prefix = key[:SHOWN].replace("'", "")
        return bool(self.lab.postgres.sql(f"SELECT 1 FROM api_key WHERE prefix = '{prefix}'", "stillframe"))

    def _once(self, module: str, verb: str, addresses: Addresses) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, verb],
            cwd=ROOT,
            env=os.environ | addresses.values,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LabError(f"python -m {module} {verb}: {done.stderr.strip()[-600:]}")
        return done.stdout.strip()

    def _wait_for_host(self, addresses: Addresses, timeout_s: float = 90) -> None:
        """The worker has registered its host: jobs have a queue to go to."""
        worker, deadline = self.daemon("worker"), time.monotonic() + timeout_s
        while self.host not in _get(addresses, "/v1/hosts"):
            if worker.pid is None or time.monotonic() > deadline:
                raise LabError(f"the worker did not register its host: {worker.last_words()}")
            time.sleep(0.05)


def _command(name: str, host: str, addresses: Addresses, run: Path) -> list[str]:
    celery = [sys.executable, "-m", "celery"]
    lean = ["--without-gossip", "--without-mingle", "--heartbeat-interval", "30", "-E", "--loglevel", "INFO"]
    flower = addresses["FLOWER_URL"].rpartition(":")[2]
    return {
        "api": [sys.executable, "-m", "web"],
        "watchdog": [sys.executable, "-m", "workers.watchdog"],
        "worker": [*celery, "-A", "workers.app", "worker", "-n", f"snap@{host}", "-Q", f"host.{host}", "-c", "2", *lean],
        "control": [*celery, "-A", "tasks.control", "worker", "-n", "control@%h", "-Q", "control", "-c", "1", *lean],
        "webhooks": [sys.executable, "-m", "tasks.webhooks"],
        "beat": [*celery, "-A", "tasks.beat", "beat", "--schedule", str(run / "beat"), "--pidfile", ""],
        "flower": [
            *celery, "-A", "tasks.control", "flower", "--address=127.0.0.1", f"--port={flower}",
            "--enable_events=False", "--tasks_columns=name,args,state,received,runtime,worker,uuid",
            "--read_only=True", "--purge_offline_workers=86400",
            f"--basic_auth={addresses['FLOWER_LOGIN']}",
        ],
    }[name]  # fmt: skip


def _port(listen: str | None, daemon: Daemon, liked: int) -> int:
    """The port used before if it is ours or free, else the one people expect, else any."""
    port = int(listen.rpartition(":")[2]) if listen and listen.rpartition(":")[2].isdigit() else 0
    if port and (daemon.pid or is_free(port)):
        return port
    return liked if is_free(liked) else free_port()


def _get(addresses: Addresses, path: str) -> str:
    request = urllib.request.Request(addresses["URL"] + path)
    request.add_header("Authorization", f"Bearer {addresses['KEY']}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(answer.read().decode())
    except (URLError, OSError):
        return ""


def _where_read(stack: Stack) -> str:
    """The command line looks for var/stack.env; another folder has to be named to it."""
    if stack.env_file == ROOT / "var" / "stack.env":
        return "it reads var/stack.env"
    return f"after: set -a; . {stack.env_file}; set +a"


def _person(stack: Stack) -> str:
    """How somebody is made who logs in by name and password: the stack itself has a key only."""
    words = stack.env_file.relative_to(ROOT) if stack.env_file.is_relative_to(ROOT) else stack.env_file
    return f"`(set -a; . {words}; .venv/bin/python -m models user NAME)` makes who may do everything"


def _guests(stack: Stack) -> str:
    """How many there are, and the command that starts or makes one."""
    if os.environ.get("STILLFRAME_LIBVIRT_URI"):
        return "those of that libvirt"
    guests = stack.lab.guests()
    off = [guest.name for guest in guests if not guest.is_active]
    var = "" if stack.var == ROOT / "var" else f"STILLFRAME_VAR={stack.var} "
    command = f"{var}.venv/bin/python -m lab guest {off[0] if off else 'NAME'}"
    if not guests:
        return f"none yet; `{command} --disks 3` makes one"
    count = f"{len(guests)}, {len(guests) - len(off)} running"
    return f"{count}; `{command}` starts {off[0]}" if off else f"{count}; `{command}` makes another"


def main() -> int:
    """Do one command and say where things are."""
    parser = argparse.ArgumentParser(prog="python -m lab.stack", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status"))
    wanted, stack = parser.parse_args(), Stack()
    try:
        if wanted.command == "up":
            began = time.monotonic()
            addresses = stack.up()
            print(f"Stillframe is up after {time.monotonic() - began:.1f} s.")
            print(f"  API      {addresses['URL']}/docs")
            print(
                f"  Flower   {addresses['FLOWER_URL']}  (login {addresses['FLOWER_LOGIN'].replace(':', ' / ')})"
            )
            print(f"  CLI      .venv/bin/stillframe vm list   ({_where_read(stack)})")
            print(f"  Login    {_person(stack)}")
            print(f"  Guests   {_guests(stack)}")
        elif wanted.command == "down":
            stack.down()
            print("Stillframe is down; nothing of it runs.")
        else:
            for name in PROGRAMS:
                print(f"{name:8} {stack.daemon(name).pid or 'down'}")
    except LabError as error:
        print(f"stack: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
