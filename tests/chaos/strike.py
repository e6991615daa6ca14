"""Holding a job at a point, and killing there. What holds it lies in the database, so the programs are the real ones."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import libvirt
from sqlalchemy import text

from lab.daemon import program, wait_gone
from tests.brakes import slow
from tests.chaos.points import THE_END, WITHIN_S, Point
from tests.journeys.site import Json, Site, until
from tests.journeys.witness import Witness

#: Seconds for a job to come to a point, on a machine with much to do.
REACH_S = 90.0
#: Seconds for which a daemon is away: long enough for a call to meet nobody.
AWAY_S = 0.5
#: Seconds between two looks whether the job is over: a look takes time in which the moment may pass.
_LOOK_S = 2.0
_ENDS = "('succeeded', 'failed', 'cancelled', 'stuck')"
_WAITING = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory'"


class Missed(Exception):
    """The job had gone past the point before it could be held there: nothing was tried."""


class Hold:
    """Keeps whoever wants to write one thing waiting, until it may, or is cut off as if it had never been sent."""

    def __init__(self, site: Site, what: str) -> None:
        self.site = site
        self.what = what
        self._connection = site.engine.connect()

    def __enter__(self) -> "Hold":
        self._connection.execute(text("SELECT pg_advisory_lock(2)"))
        self._connection.commit()
        self.site.sql(
            "CREATE FUNCTION hold_here() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_advisory_xact_lock(2); RETURN NEW; END'"
        )
        where = (
            f"UPDATE ON job FOR EACH ROW WHEN (NEW.state IN {_ENDS})"
            if self.what == THE_END
            else f"INSERT ON step FOR EACH ROW WHEN (NEW.name = '{self.what}')"
        )
        self.site.sql(f"CREATE TRIGGER hold_here BEFORE {where} EXECUTE FUNCTION hold_here()")
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_off()
        self.let_go()
        self._connection.close()
        table = "job" if self.what == THE_END else "step"
        self.site.sql(f"DROP TRIGGER hold_here ON {table}")
        self.site.sql("DROP FUNCTION hold_here")

    def waits(self) -> bool:
        """Whether somebody is held."""
        return bool(self.site.sql(f"SELECT 1 {_WAITING}"))

    def cut_off(self) -> None:
        """What is held is lost."""
        self.site.sql(f"SELECT pg_terminate_backend(pid, 5000) {_WAITING}")

    def let_go(self) -> None:
        """What is held is written, and nobody is held any more."""
        self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
        self._connection.commit()


class Strike:
    """One kill at one point. `since` is the moment from which on there was everything again that the job needs."""

    def __init__(self, site: Site, vm: Witness, point: Point, away_s: float = AWAY_S) -> None:
        self.site = site
        self.vm = vm
        self.point = point
        self.away_s = away_s
        self.since = 0.0

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """What has to stand before the job is asked for."""
        with ExitStack() as stack:
            self._hold = (
                None if self.point.when == "amid" else stack.enter_context(Hold(self.site, self.point.what))
            )
            yield

    def at(self, job: Json) -> None:
        """Waits until the job is there, kills, and brings back."""
        if self._hold is None:
            with self._amid(job):
                self._kill(job)
        else:
            self._reach(job, self._hold.waits, "the boundary")
            if self.point.when == "begun":
                self._kill_once_begun(job, self._hold)
            elif self.point.when == "within":
                self._hold.let_go()
                time.sleep(random.uniform(0, WITHIN_S))
                self._kill(job)
            else:
                self._kill(job, self._hold)
        self._bring_back()

    # --- killing ------------------------------------------------------------------------------------

    def _kill(self, job: Json, hold: Hold | None = None) -> None:
        match self.point.victim:
            case "child":
                self.since = self.site.kill_child(job)
            case "worker":
                self.site.kill_worker()
            case "libvirtd":
                self.site.lab.kill_libvirtd()
            case "qemu":
                _end(self._qemu())
            case "qemu-img":
                _end(self._qemu_img())
            case "postgres":
                self.site.lab.kill_postgres()
            case "redis":
                self.site.lab.kill_redis()
        if hold and self.point.victim in {"child", "worker"}:
            hold.cut_off()
        elif hold:
            hold.let_go()

    def _kill_once_begun(self, job: Json, hold: Hold) -> None:
        """The holder sleeps while its intent is written, and never hears that it was."""
        holder = self.site.holder(job)
        os.kill(holder, signal.SIGSTOP)
        hold.let_go()
        begun = "SELECT 1 FROM step WHERE job_id = CAST(:job AS uuid) AND name = :name"
        until(lambda: self.site.sql(begun, job=job["id"], name=self.point.what), 10, "the intent")
        self._kill(job)

    def _bring_back(self) -> None:
        match self.point.victim:
            case "worker":
                self.since = self.site.start_worker()
            case "libvirtd":
                time.sleep(self.away_s)
                self.site.lab.start_libvirtd()
                self.since = time.time()
            case "postgres":
                time.sleep(self.away_s)
                self.site.lab.start_postgres()
                self.since = time.time()
            case "redis":
                time.sleep(self.away_s)
                self.site.lab.start_redis()
                self.since = time.time()
            case _ if not self.since:
                self.since = time.time()

    # --- the middle of long calls ---------------------------------------------------------------------

    @contextmanager
    def _amid(self, job: Json) -> Iterator[None]:
        guest = self.vm.guest
        match self.point.what:
            case "ram":
                with slow(self.site.qemu(guest)):
                    self._reach(job, self._half_written_ram, "half of the RAM")
                    yield
            case "restore":
                qemu = self.site.qemu(guest) if guest.is_active else None
                self._reach(job, lambda: self._other_qemu(qemu), "the restore")
                with slow(self.site.qemu(guest)):
                    yield
            case "live merge":
                with slow(self.site.qemu(guest), 0.3):
                    self._reach(job, self._is_merging, "the merge")
                    yield
            case _:
                with self._still_qemu_img(job):
                    yield

    @contextmanager
    def _still_qemu_img(self, job: Json) -> Iterator[None]:
        """Stopped as soon as it is seen: it may be nearly through."""
        met: list[int] = []

        def meets() -> bool:
            if pid := self._qemu_img_or_none():
                os.kill(pid, signal.SIGSTOP)
                met.append(pid)
            return bool(met)

        try:
            self._reach(job, meets, f"qemu-img {self.point.what}")
            yield
        finally:
            for pid in met:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _reach(self, job: Json, there: object, what: str) -> None:
        end, looked = time.monotonic() + REACH_S, 0.0
        while not there():  # type: ignore[operator]
            if time.monotonic() - looked > _LOOK_S:
                looked = time.monotonic()
                (row,) = self.site.sql("SELECT state FROM job WHERE id = CAST(:id AS uuid)", id=job["id"])
                if row.state not in {"queued", "running", "undoing"}:
                    raise Missed(f"{what} was missed: the job has {row.state}")
                if looked > end:
                    raise Missed(f"{what} did not come in {REACH_S:g} s")
            time.sleep(0.001)

    def _half_written_ram(self) -> bool:
        found = [path for path in self.vm.guest.folder.rglob("memory.save") if _changed_just_now(path)]
        return any(path.stat().st_size > 8 << 20 for path in found)

    def _other_qemu(self, before: int | None) -> bool:
        with suppress(StopIteration):
            return self.site.qemu(self.vm.guest) != before
        return False

    def _is_merging(self) -> bool:
        with suppress(libvirt.libvirtError):
            for target in self.vm.guest.disks:
                said = self.vm.guest.domain.blockJobInfo(target, 0)
                if said and said["cur"] < said["end"]:
                    return True
        return False

    def _qemu_img_or_none(self) -> int | None:
        for pid in _all_below(self.site.worker_pid()):
            if program(pid) == "qemu-img" and self.point.what in _words(pid):
                return pid
        return None

    def _qemu(self) -> int:
        try:
            return self.site.qemu(self.vm.guest)
        except StopIteration:
            raise Missed("a step later the VM is off, and has no QEMU") from None

    def _qemu_img(self) -> int:
        pid = self._qemu_img_or_none()
        if pid is None:
            raise Missed("qemu-img was faster")
        return pid


def _all_below(pid: int) -> Iterator[int]:
    """The children of a process, theirs, and so on, in a fraction of the time that a look at all processes takes."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                yield child
                yield from _all_below(child)


def _words(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return []


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_gone([pid])


def _changed_just_now(path: Path) -> bool:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime < 5
    return False
