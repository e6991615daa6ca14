"""One client of the long run: it has a guest of its own, writes into it, and asks for snapshots of it and of the others."""

import hashlib
import logging
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import libvirt

from lab import readback
from stillframe.errors import StillframeError
from stillframe.operations import CreateSnapshot, DeleteSnapshot, ExtractVolume, Operation, RevertSnapshot
from stillframe.states import OVER
from tests.chaos.book import Book, Kept, new_marker
from tests.chaos.judge import serial_errors, untidy
from tests.chaos.patience import DOWN, refused, steadily
from tests.given import given
from tests.journeys.site import Json, Site, until

logger = logging.getLogger(__name__)

#: Seconds for a job among many, with its message lost (60 s) and its workers killed.
JOB_S = 600.0
#: Seconds to wait for a guest that boots on a machine with much to do.
BOOT_S = 180.0
MOST_KEPT = 5


class Wrong(Exception):
    """Something is not as it must be; the guest is given up, so that the run can go on."""

    kind = "other"


class WrongBytes(Wrong):
    """A disk, a snapshot or an image holds what it must not hold."""

    kind = "bytes"


class Untidy(Wrong):
    """Files, rows or libvirt are not as they must be while nothing is under way."""

    kind = "untidy"


@dataclass
class Tally:
    """What all clients have done and found, together."""

    jobs: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    verified: Counter[str] = field(default_factory=Counter)
    violations: list[Json] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: Counter[str], name: str) -> None:
        with self.lock:
            what[name] += 1

    def complain(self, guest: str, kind: str, what: str, story: list[str]) -> None:
        logger.error("WRONG with %s: %s %s", guest, what, story)
        with self.lock:
            self.violations.append(
                {
                    "at": time.strftime("%FT%TZ", time.gmtime()),
                    "vm": guest,
                    "kind": kind,
                    "what": what,
                    "story": story,
                }
            )


class Client(threading.Thread):
    """Acts until it is told to stop."""

    def __init__(
        self, number: int, site: Site, books: list[Book], fresh: Callable[[], Book], tally: Tally, seed: int
    ) -> None:
        super().__init__(name=f"client{number}", daemon=True)
        self.number = number
        self.site = site
        self.books = books
        self.fresh = fresh
        self.tally = tally
        self.dice = random.Random(seed)
        self.over = threading.Event()
        self._acts: dict[Callable[[], None], int] = {
            self.write: 8,
            lambda: self.create("hot"): 6,
            lambda: self.create("memory"): 5,
            self.create_cold: 2,
            self.revert: 5,
            lambda: self.delete(self.book): 4,
            lambda: self.extract(self.book): 3,
            self.look: 3,
            self.as_stranger: 7,
        }

    @property
    def book(self) -> Book:
        """Of its own guest."""
        return self.books[self.number]

    def run(self) -> None:
        """One act after the other."""
        while not self.over.is_set():
            try:
                self.act()
            except Wrong as wrong:
                self._give_up(wrong.kind, str(wrong))
            except Exception as error:
                logger.exception("a client stumbled")
                self._give_up("other", f"{type(error).__name__}: {error}")

    def act(self) -> None:
        """Something, on a VM that runs and has something on its disks."""
        if self.book.condemned:
            raise Wrong("another client found something wrong")
        self.is_running()
        while len(self.book.kept) > MOST_KEPT:
            self.delete(self.book)
        (act,) = self.dice.choices(list(self._acts), list(self._acts.values()))
        act()
        self.over.wait(self.dice.uniform(0, 1.5))

    # --- acts ---------------------------------------------------------------------------------------

    def write(self) -> None:
        """Another file on every disk, durable."""
        command, digest = new_marker(self.dice)
        self.book.may_become(digest)
        try:
            self.book.write(command)
        except DOWN as error:
            logger.info("a write was cut short: %s", error)  # one or the other, as a look will show
        else:
            self.book.is_now(digest)

    def create(self, kind: str) -> None:
        """A snapshot of its own guest while nobody writes or reverts: all that was durable is in it."""
        ticks = self.book.guest.ticks()
        before = ticks[-1] if ticks else None
        with self.book.window() as seen:
            job = self._ask(self.book, CreateSnapshot(vm=self.book.guest.name, type=kind))  # type: ignore[arg-type]
            done = job and self._finish(self.book, job, may_cancel=True)
        if job and done and done["state"] == "succeeded":
            certain = before is not None and not self.book.killed_since(job)
            boot = before.boot_id if before and certain and kind == "memory" else None
            least = before.counter if before and certain else 0
            self.book.keep(Kept(done["snapshot_id"], kind, frozenset(seen), least, boot))

    def create_cold(self) -> None:
        """Cuts the power, takes a snapshot, and starts the VM again."""
        book = self.book
        with book.power:
            book.loses_power()
            steadily(book.guest.destroy)
            with suppress(
                AssertionError
            ):  # who tells the rows may be dead just now; the request is refused then
                steadily(lambda: until(lambda: self.site.seen(book.guest)["state"] == "off", 20, "off"))
        self.create("cold")

    def revert(self) -> None:
        """Back to one of its snapshots: its disks, and its boot if it has RAM, are those of then."""
        book, kept = self.book, self.book.any_kept(self.dice)
        if kept is None:
            return
        before = book.possible
        book.reverting, book.last_tick = True, 0
        try:
            job = self._ask(book, RevertSnapshot(snapshot_id=kept.id))
            if job is None:
                return
            book.may_become(*kept.digests)
            done = self._finish(book, job, may_cancel=True)
        finally:
            book.history = book.guest.serial.end
            book.reverting, book.last_tick = False, 0
        if done["state"] != "succeeded":
            book.is_now(*before)
        else:
            book.is_now(*kept.digests)
            tick = self.is_running()
            if kept.boot and not book.killed_since(job) and tick.boot_id != kept.boot:
                raise Wrong(
                    f"revert to memory snapshot {kept.id} came to boot {tick.boot_id}, not {kept.boot}"
                )
        self.is_right(f"after revert {job['id']} to {kept.kind} {kept.id}: {done['state']}")
        self.tally.count(self.tally.verified, f"revert {kept.kind} {done['state']}")

    def delete(self, book: Book) -> None:
        """One of a guest's snapshots goes."""
        kept = book.any_kept(self.dice)
        if kept is None or book.drop(kept.id) is None:
            return
        job = self._ask(book, DeleteSnapshot(snapshot_id=kept.id))
        if job:
            self._finish(book, job, may_cancel=True)
        row = steadily(lambda: self.site.client.snapshot(kept.id))
        if (
            row["state"] == "error"
        ):  # cancelled half way: nobody can go back to it, and deleting it again ends that
            again = self._ask(book, DeleteSnapshot(snapshot_id=kept.id))
            if again is None or self._finish(book, again)["state"] != "succeeded":
                raise Wrong(f"snapshot {kept.id}, deleted half way, cannot be deleted again")
        elif row["state"] != "deleted":
            book.keep(kept)

    def extract(self, book: Book) -> None:
        """A volume of a snapshot becomes an image, which holds what the guest had written; then it is taken away."""
        kept = book.any_kept(self.dice)
        if kept is None:
            return
        target = self.dice.choice(["vda", "vdb"])
        job = self._ask(book, ExtractVolume(snapshot_id=kept.id, target=target))
        done = job and self._finish(book, job, may_cancel=True)
        if not job or not done or done["state"] != "succeeded":
            return
        volume = steadily(lambda: self.site.client.volume(done["volume_snapshot_id"]))
        path = Path(given(volume["path"]))
        self._holds(path, "qcow2", kept, f"extract {job['id']} of {target}")
        said = hashlib.sha256(path.read_bytes()).hexdigest()
        if volume["sha256"] not in {None, said}:
            raise WrongBytes(
                f"volume {volume['id']} has the checksum {said}, its row says {volume['sha256']}"
            )
        book.witness.taken_away.add(volume["id"])
        path.unlink()
        path.with_suffix(".json").unlink()
        self.tally.count(self.tally.verified, "extract")

    def as_stranger(self) -> None:
        """Asks something of another's guest, which may be busy, off, or about to be reverted."""
        book = self.dice.choice(self.books)
        if book is self.book:
            return
        with book.as_stranger() as entered:
            if not entered:
                return
            try:
                self._ask_of_another(book)
            except Wrong as wrong:
                self.tally.complain(book.guest.name, wrong.kind, f"asked by another client: {wrong}", [])
                book.condemned = True

    def _ask_of_another(self, book: Book) -> None:
        what = self.dice.choice(["create", "delete", "extract"])
        if what == "delete":
            return self.delete(book)
        if what == "extract":
            return self.extract(book)
        with book.window() as seen:
            job = self._ask(book, CreateSnapshot(vm=book.guest.name, type="hot"))
            done = job and self._finish(book, job)
        if done and done["state"] == "succeeded":
            book.keep(Kept(done["snapshot_id"], "hot", frozenset(seen), 0, None))
        return None

    def look(self) -> None:
        """With nobody else asking: files, rows and every snapshot's data are as they must be."""
        with self.book.alone():
            self.is_right("in a look")
            if faults := steadily(lambda: untidy(self.book.witness)):
                raise Untidy("; ".join(faults))
            for kept in list(self.book.kept.values()):
                self._read_back(kept)
        self.tally.count(self.tally.verified, "looks")

    # --- what must be so ----------------------------------------------------------------------------

    def is_running(self) -> Any:
        """The VM runs; it is started if its power was cut. Its first tick then goes on from the last one."""
        book, end = self.book, time.monotonic() + BOOT_S
        while True:
            try:
                if not book.guest.is_active:
                    self._start(book)
                elif book.guest.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING:
                    return book.guest.wait_tick(timeout_s=20)
            except Wrong:
                raise
            except Exception as error:
                logger.info("%s does not run yet: %s", book.guest.name, error)
            if time.monotonic() > end:
                state = steadily(book.guest.domain.state)
                raise Wrong(f"the VM does not run for {BOOT_S:g} s: {state}, last {book.guest.ticks()[-1:]}")
            time.sleep(0.5)

    def _start(self, book: Book) -> None:
        if not book.qemu_killed:
            raise Wrong("the VM is off, and nobody has cut its power")
        with book.power:
            printed = book.guest.serial.end
            book.guest.start()
            book.guest.wait_tick(timeout_s=BOOT_S)
            first = book.guest.serial.ticks(printed)[0]
            book.qemu_killed = False
            if book.last_tick and first.counter <= book.last_tick:
                raise WrongBytes(
                    f"tick {book.last_tick} was durable, and the VM began again with {first.counter}"
                )

    def is_right(self, when: str) -> None:
        """The running guest reads what it wrote, on every disk, and has met no error."""

        def read() -> list[str]:
            self.is_running()
            targets = self.book.guest.disks
            return [self.book.guest.sh(f"sha256sum /disk/{target}/marker").split()[0] for target in targets]

        if wrong := [found for found in steadily(read) if found not in self.book.possible]:
            raise WrongBytes(f"the guest reads {wrong}, not {sorted(self.book.possible)}, {when}")
        if said := serial_errors(self.book.guest, self.book.heard):
            raise Wrong(f"the guest complains: {said[:5]}")
        self.book.heard = self.book.guest.serial.end

    def _read_back(self, kept: Kept) -> None:
        row = steadily(lambda: self.site.client.snapshot(kept.id))
        if row["state"] != "ready":
            raise Wrong(f"snapshot {kept.id} is {row['state']}")
        for volume in row["volumes"]:
            path = Path(volume["layer"])
            form = "raw" if path.suffix == ".raw" else "qcow2"
            self._holds(path, form, kept, f"snapshot {kept.id} ({kept.kind}), {volume['target']}")
        self.tally.count(self.tally.verified, "snapshots read back")

    def _holds(self, path: Path, form: str, kept: Kept, what: str) -> None:
        marker = hashlib.sha256(readback.read_file(path, "/marker", form)).hexdigest()
        counter, _ = readback.counter(path, form)
        if marker not in kept.digests:
            raise WrongBytes(f"{what} holds {marker}, not {sorted(kept.digests)}")
        if counter < kept.least:
            raise WrongBytes(f"{what} holds tick {counter}; {kept.least} was durable before it was asked for")

    # --- how ----------------------------------------------------------------------------------------

    def _ask(self, book: Book, operation: Operation) -> Json | None:
        key = str(uuid4())
        try:
            return steadily(lambda: self.site.client.submit(operation, key))
        except StillframeError as problem:
            if not refused(problem) or problem.code == "request.invalid":
                raise
            logger.info("refused for %s: %s %s", book.guest.name, operation.kind, problem.code)
            self.tally.count(self.tally.refused, problem.code)
            return None

    def _finish(self, book: Book, job: Json, may_cancel: bool = False) -> Json:
        """The job once it is over; not in time, stuck, or failed without a reason is wrong."""
        if may_cancel and self.dice.random() < 0.08:
            time.sleep(self.dice.uniform(0, 1))
            with suppress(StillframeError):
                self.site.client.cancel_job(job["id"])
        end = time.monotonic() + JOB_S
        while True:
            found = steadily(lambda: self.site.client.wait(job["id"], 5))
            if found["state"] in OVER:
                break
            if time.monotonic() > end:
                raise Wrong(
                    f"job {job['id']} ({job['kind']}) is {found['state']} in {found['phase']} after {JOB_S:g} s"
                )
        code = found["error"]["code"] if found["error"] else ""
        logger.info("%s %s of %s: %s %s", job["kind"], job["id"], book.guest.name, found["state"], code)
        self.tally.count(self.tally.jobs, f"{job['kind']} {found['state']}")
        if found["state"] == "stuck":
            self.tally.complain(
                book.guest.name, "stuck", f"job {job['id']} is stuck: {found['error']}", self._story(found)
            )
            raise Wrong("a job is stuck")
        if found["state"] == "failed":
            self._explain(book, found, code)
        return found

    def _explain(self, book: Book, job: Json, code: str) -> None:
        """A failure needs a reason that lies outside of Stillframe: another client, or the VM's death."""
        died = book.killed_since(job)
        self.tally.count(self.tally.failed, f"{job['kind']} {code}{' (VM died)' if died else ''}")
        by_others = {"snapshot.not_ready", "snapshot.hot_needs_running", "snapshot.memory_needs_running"}
        shot_down = ((job["error"].get("evidence") or {}).get("rc")) == -signal.SIGKILL
        if code not in by_others and not died and not shot_down:
            self.tally.complain(
                book.guest.name,
                "failed",
                f"{job['kind']} {job['id']} failed: {job['error']}",
                self._story(job),
            )

    def _story(self, job: Json) -> list[str]:
        with suppress(Exception):
            return steadily(lambda: self.site.story(job), 30)
        return []

    def _give_up(self, kind: str, what: str) -> None:
        """The guest is kept as it lies, off, for whoever looks into it; another takes its place."""
        self.tally.complain(self.book.guest.name, kind, what, [])
        with self.book.alone():
            self.book.close()
            with suppress(Exception):
                steadily(self.book.guest.destroy, 60)
        self.books[self.number] = self.fresh()
