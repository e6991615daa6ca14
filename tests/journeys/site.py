"""A whole Stillframe that runs: its real programs on a lab of its own, asked over HTTP and hurt by signals."""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import httpx
from redis import Redis
from sqlalchemy import Engine, text

from lab.daemon import children, everybody, program, wait_gone
from lab.guest import Guest
from lab.stack import Stack
from models.session import make_engine
from stillframe.client import Producer
from stillframe.states import OVER
from tasks.routing import PRIORITY_STEPS, queue_for

#: What the API answers, of any kind.
Json = Mapping[str, Any]
Found = TypeVar("Found")

#: All but Flower, which only looks.
PROGRAMS = ("api", "watchdog", "worker", "control", "beat")

_numbers = itertools.count(1)


def until(
    true: Callable[[], Found | None], timeout_s: float = 30, what: str = "it", every_s: float = 0.01
) -> Found:
    """What `true` returns once that is something; fails when the time is over."""
    end = time.monotonic() + timeout_s
    while not (found := true()):
        assert time.monotonic() < end, f"{what} did not come about in {timeout_s:g} s"
        time.sleep(every_s)
    return found


class Site:
    """One running stack, shared by the tests of a process: each leaves it whole."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.lab = stack.lab
        self.host = stack.host
        addresses = stack.addresses()
        self.url, self.key = addresses["URL"], addresses["KEY"]
        self.client = Producer(self.url, self.key, timeout_s=60)
        self.engine: Engine = make_engine(addresses["DATABASE_URL"])
        self._broker_url = addresses["BROKER_URL"]
        self._guests: list[Guest] = []
        self._heard = dict.fromkeys(PROGRAMS, 0)

    # --- its parts --------------------------------------------------------------------------------

    def mend(self) -> None:
        """Starts whatever a test has left down."""
        self.lab.start()
        for name in PROGRAMS:
            self.stack.start(name)

    def close(self) -> None:
        """Lets go of connections; the stack itself goes on."""
        self.client.close()
        self.engine.dispose()

    def forget_everything(self) -> None:
        """The database is lost: another, empty one takes its place, with a new key."""
        for name in reversed(PROGRAMS):
            self.stack.stop(name)
        self.sql("DROP SCHEMA public CASCADE")
        self.sql("CREATE SCHEMA public")
        lines = self.stack.env_file.read_text().splitlines(keepends=True)
        self.stack.env_file.write_text("".join(line for line in lines if "STILLFRAME_KEY" not in line))
        self.client.close()
        self.key = self.stack.up(PROGRAMS)["KEY"]
        self.client = Producer(self.url, self.key, timeout_s=60)

    @contextmanager
    def http(self) -> Iterator[httpx.Client]:
        """A plain HTTP client that sends the key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=30) as http:
            yield http

    @contextmanager
    def redis(self) -> Iterator[Redis]:
        """The broker."""
        with Redis.from_url(self._broker_url) as redis:
            yield redis

    def queued_messages(self) -> int:
        """How many messages lie in the host's queue."""
        queue = queue_for(self.host)
        with self.redis() as redis:
            return sum(redis.llen(f"{queue}\x06\x16{step}" if step else queue) for step in PRIORITY_STEPS)

    def listen(self) -> None:
        """From here on is what `said` tells."""
        logs = {name: self.stack.daemon(name).log for name in PROGRAMS}
        self._heard = {name: log.stat().st_size if log.exists() else 0 for name, log in logs.items()}

    def said(self, name: str = "worker") -> str:
        """What a program has said since this test began."""
        with self.stack.daemon(name).log.open("rb") as log:
            log.seek(self._heard[name])
            return log.read().decode(errors="replace")

    def sql(self, statement: str, **values: Any) -> list[Any]:
        """Runs a statement on the rows and returns what it returns."""
        with self.engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    # --- guests -----------------------------------------------------------------------------------

    def guest(self, *disks: str, **wants: Any) -> Guest:
        """A guest of a name of its own that boots; removed when the test ends."""
        guest = self.lab.create_guest(f"vm{next(_numbers)}", disks or ("qcow2",), **wants)
        self._guests.append(guest)
        return guest

    def seen(self, guest: Guest) -> Json:
        """The VM as the API shows it, once it does."""
        return until(lambda: self.find_vm(guest.name), 60, f"VM {guest.name} in the API")

    def find_vm(self, name: str) -> Json | None:
        """The VM of that name as the API shows it, if it does."""
        return next((vm for vm in self.client.vms(q=name)["items"] if vm["name"] == name), None)

    def remove_guests(self) -> None:
        """All that this test has made."""
        while self._guests:
            self._guests.pop().remove()

    def qemu(self, guest: Guest) -> int:
        """The pid of a running guest's QEMU."""
        name = f"guest={guest.name},".encode()
        return next(
            pid
            for pid in self.lab.machine.members()
            if program(pid).startswith("qemu-system") and name in _command_line(pid)
        )

    @staticmethod
    def qemu_imgs(guest: Guest, verb: str = "") -> list[int]:
        """The pids of all qemu-img that work on this guest's images, or of those that do one thing."""
        folder = os.fsencode(guest.folder)
        found = {pid: _command_line(pid) for pid in everybody() if program(pid) == "qemu-img"}
        return [pid for pid, words in found.items() if folder in words and verb.encode() in words]

    # --- jobs -------------------------------------------------------------------------------------

    def job(self, job: Json) -> Json:
        """The job as it is now."""
        return self.client.job(job["id"])

    def wait(self, job: Json, timeout_s: float = 60) -> Json:
        """The job once it is over; fails when it is not in time."""
        found = self.client.wait(job["id"], timeout_s)
        assert found["state"] in OVER, f"still {found['state']} in {found['phase']}: {self.story(job)}"
        return found

    def succeeded(self, job: Json, timeout_s: float = 60) -> Json:
        """The job, which has to end well."""
        found = self.wait(job, timeout_s)
        assert found["state"] == "succeeded", (found["error"], self.story(job))
        return found

    def wait_step(self, job: Json, step: str, state: str = "started", timeout_s: float = 60) -> Json:
        """The job once this step stands at `started` (now) or `done`; fails if the job ends before."""

        def stands() -> Json | None:
            found = self.job(job)
            standing = next((one["state"] for one in found["steps"] if one["name"] == step), None)
            assert standing == state or found["state"] not in OVER, f"{step} was missed: {self.story(job)}"
            return found if standing == state else None

        return until(stands, timeout_s, f"step {step}", every_s=0.002)

    def wait_state(self, job: Json, state: str, timeout_s: float = 30) -> Json:
        """The job once it is in this state."""
        return until(
            lambda: found if (found := self.job(job))["state"] == state else None, timeout_s, state, 0.005
        )

    def events(self, job: Json) -> Sequence[Json]:
        """All events of a job, oldest first, also those of a moment ago."""
        newest_first = self.client.every(self.client.events, job=job["id"], limit=500)
        return [*newest_first][::-1]

    def story(self, job: Json) -> list[str]:
        """A job's events in short: `step.started cut`."""
        return [
            f"{event['type']} {event['data']['step']}" if "step" in event["data"] else event["type"]
            for event in self.events(job)
        ]

    def when(self, job: Json, event: str, nth: int = 0) -> float:
        """When an event of a job was, in seconds since the epoch; waits for it."""

        def found() -> list[Json]:
            return [one for one in self.events(job) if one["type"] == event][nth : nth + 1]

        at = until(found, 60, f"event {event}", every_s=0.02)[0]["at"]
        return datetime.fromisoformat(at).timestamp()

    @contextmanager
    def nobody_begins(self, step: str) -> Iterator[Callable[[], bool]]:
        """Within the block no job can write down that it begins this step; gives whether one waits to do so.

        What waited is lost at the end, as if it had never been sent.
        """
        waiting = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory'"
        with self.engine.connect() as holder:
            holder.execute(text("SELECT pg_advisory_lock(1)"))
            holder.commit()
            self.sql(
                "CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END'"
            )
            self.sql(
                "CREATE TRIGGER wait_here BEFORE INSERT ON step FOR EACH ROW"
                f" WHEN (NEW.name = '{step}') EXECUTE FUNCTION wait_here()"
            )
            try:
                yield lambda: bool(self.sql(f"SELECT 1 {waiting}"))
            finally:
                self.sql(f"SELECT pg_terminate_backend(pid, 5000) {waiting}")
                self.sql("DROP TRIGGER wait_here ON step")
                self.sql("DROP FUNCTION wait_here")
                holder.execute(text("SELECT pg_advisory_unlock(1)"))
                holder.commit()

    # --- harm -------------------------------------------------------------------------------------

    def worker_pid(self) -> int:
        """The worker's own process."""
        pid = self.stack.daemon("worker").pid
        assert pid is not None, f"the worker is dead: {self.stack.daemon('worker').last_words()}"
        return pid

    def holder(self, job: Json) -> int:
        """The process that carries the job, as its row says."""
        return int(self.job(job)["worker"].split("/")[2])

    def kill_child(self, job: Json) -> float:
        """SIGKILL for the process that carries the job, and for nothing else; when that was."""
        pid = self.holder(job)
        assert pid in children(self.worker_pid())
        below = all_below(pid)
        killed_at = time.time()
        os.kill(pid, signal.SIGKILL)
        wait_gone([pid, *below])
        return killed_at

    def kill_worker(self) -> None:
        """SIGKILL for the worker's own process; all that it had begun must die with it."""
        below = all_below(self.worker_pid())
        self.stack.stop("worker", signal.SIGKILL)
        wait_gone(below)

    def start_worker(self) -> float:
        """Starts the worker again; when that was."""
        started_at = time.time()
        self.stack.start("worker")
        return started_at


def _command_line(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def all_below(pid: int) -> list[int]:
    """The children of a process, theirs, and so on."""
    found = children(pid)
    return found + [deeper for child in found for deeper in all_below(child)]
