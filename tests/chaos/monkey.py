"""Harm at random: one part after the other is killed, and brought back."""

import logging
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from lab import LabError
from lab.daemon import children, wait_gone
from tests.chaos.book import Book
from tests.chaos.patience import DOWN
from tests.journeys.site import PROGRAMS, Site, all_below

logger = logging.getLogger(__name__)

#: Seconds to wait for something that can be hurt.
_COMES_BY_S = 3.0


class Monkey(threading.Thread):
    """Hurts the site until it is told to stop; then all is up again. QEMU is killed rarely: that ends what a VM was doing."""

    def __init__(self, site: Site, books: Sequence[Book], seed: int, pause_s: tuple[float, float]) -> None:
        super().__init__(name="monkey", daemon=True)
        self.site = site
        self.books = books
        self.dice = random.Random(seed)
        self.pause_s = pause_s
        self.done: Counter[str] = Counter()
        #: Programs that were found dead though nobody had killed them.
        self.died_alone: list[str] = []
        self._over = threading.Event()
        self._harms: dict[Callable[[], bool], int] = {
            self.child: 6,
            self.worker: 4,
            self.libvirtd: 4,
            self.qemu_img: 4,
            self.qemu: 2,
            self.worker_and_libvirtd: 1,
            self.redis: 1,
            self.redis_forgets: 1,
            self.postgres: 1,
            self.postgres_away: 1,
            self.api: 1,
            self.beat: 1,
        }

    def run(self) -> None:
        """One harm after the other."""
        while not self._over.wait(self.dice.uniform(*self.pause_s)):
            self._see_who_died_alone()
            (harm,) = self.dice.choices(list(self._harms), list(self._harms.values()))
            try:
                if harm():
                    self.done[harm.__name__] += 1
                    logger.info("killed: %s", harm.__name__)
            except DOWN as error:
                logger.info("%s could not be hurt: %s", harm.__name__, error)
            self._heal()

    def stop(self) -> None:
        """Returns once everything is up again."""
        self._over.set()
        if self.is_alive():
            self.join()
        self._heal()

    # --- harms: each says whether there was something to hurt ----------------------------------------

    def child(self) -> bool:
        """A process that carries a job; none may come by."""
        end = time.monotonic() + _COMES_BY_S
        while time.monotonic() < end:
            holders = self.site.sql("SELECT worker FROM job WHERE state IN ('running', 'undoing')")
            alive = children(self.site.worker_pid())
            pids = [int(row.worker.split("/")[2]) for row in holders if row.worker]
            if ours := [pid for pid in pids if pid in alive]:
                return _kill(self.dice.choice(ours))
            time.sleep(0.02)
        return False

    def worker(self) -> bool:
        """The worker with all that it has begun."""
        self.site.kill_worker()
        self._wait()
        return True

    def libvirtd(self) -> bool:
        """The daemon alone; the VMs run on."""
        self.site.lab.kill_libvirtd()
        self._wait()
        return True

    def worker_and_libvirtd(self) -> bool:
        """Both, and the daemon comes back after the worker."""
        self.site.kill_worker()
        self.site.lab.kill_libvirtd()
        self.site.start_worker()
        self._wait()
        return True

    def qemu(self) -> bool:
        """One VM loses its power."""
        book = self.dice.choice(self.books)
        with book.power:
            pid = self.site.qemu(book.guest)
            book.loses_power()
            return _kill(pid)

    def qemu_img(self) -> bool:
        """A qemu-img at work for a job; none may come by."""
        end = time.monotonic() + _COMES_BY_S
        while time.monotonic() < end:
            ours = set(all_below(self.site.worker_pid()))
            for book in self.books:
                if found := [pid for pid in self.site.qemu_imgs(book.guest) if pid in ours]:
                    return _kill(found[0])
            time.sleep(0.02)
        return False

    def redis(self) -> bool:
        """The broker, for a moment."""
        self.site.lab.kill_redis()
        self._wait()
        return True

    def redis_forgets(self) -> bool:
        """All messages are lost."""
        with self.site.redis() as redis:
            redis.flushall()
        return True

    def postgres(self) -> bool:
        """The database, for a moment."""
        self.site.lab.kill_postgres()
        return True

    def postgres_away(self) -> bool:
        """The database for longer than a heartbeat, at times for longer than a lease."""
        self.site.lab.stop_postgres()
        self._over.wait(self.dice.choice([8, 15, 40]))
        return True

    def api(self) -> bool:
        """What clients speak to."""
        self.site.stack.stop("api", signal.SIGKILL)
        return True

    def beat(self) -> bool:
        """What ticks, and who hears it."""
        self.site.stack.stop("beat", signal.SIGKILL)
        self.site.stack.stop("control", signal.SIGKILL)
        self._wait()
        return True

    def _wait(self) -> None:
        time.sleep(self.dice.choice([0, 0, 0.5, 3]))

    def _heal(self) -> None:
        """Also what was slow to start: it is given three times as long."""
        for again in (True, True, False):
            try:
                self.site.mend()
            except LabError:
                if not again:
                    raise

    def _see_who_died_alone(self) -> None:
        for name in PROGRAMS:
            if self.site.stack.daemon(name).pid is None:
                words = self.site.stack.daemon(name).last_words()
                logger.error("%s died by itself: %s", name, words)
                self.died_alone.append(name)
                self.site.stack.start(name)


def _kill(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_gone([pid])
    return True
