"""Hours of random operations by four clients on four guests, while a monkey kills one part after the other.

`python -m tests.chaos.long_run --minutes 120`. Everything is on a stack of its own under var/long_run, with a log beside
it; the figures land in bench/results/longrun.json. Ends with 0 if nothing was wrong.
"""

import argparse
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.record import RESULTS
from lab.lab import default_var
from lab.places import free_port
from lab.stack import Stack
from tests.chaos.book import Book, new_marker
from tests.chaos.client import BOOT_S, Client, Tally, Wrong
from tests.chaos.monkey import Monkey
from tests.chaos.patience import steadily
from tests.journeys.site import PROGRAMS, Json, Site
from tests.journeys.witness import Witness

logger = logging.getLogger(__name__)

GUESTS = 4
#: Seconds in which all that was asked for has to be over once nothing is killed any more.
LAST_JOBS_S = 600.0


class LongRun:
    """One run on a site."""

    def __init__(self, site: Site, seed: int, pause_s: tuple[float, float] = (3, 12)) -> None:
        self.site = site
        self.seed = seed
        self.tally = Tally()
        self.dice = random.Random(seed)
        self.books = [self._fresh() for _ in range(GUESTS)]
        self.monkey = Monkey(site, self.books, seed, pause_s)
        self.clients = [
            Client(number, site, self.books, self._fresh, self.tally, self.dice.randrange(1 << 30))
            for number in range(GUESTS)
        ]

    def run(self, minutes: float) -> Json:
        """Works for so long, then looks at all there is; what came of it."""
        began = time.time()
        for client in self.clients:
            client.start()
        self.monkey.start()
        while time.time() < began + minutes * 60:
            time.sleep(min(30, max(0.0, began + minutes * 60 - time.time())))
            logger.info("after %.0f min: %s", (time.time() - began) / 60, self._short())
        self.monkey.stop()
        for client in self.clients:
            client.over.set()
        for client in self.clients:
            client.join(LAST_JOBS_S + BOOT_S)
        unfinished = self._unfinished()
        for client in self.clients:
            self._judge(client)
        return self._figures(began, unfinished)

    def _fresh(self) -> Book:
        guest = steadily(lambda: self.site.guest("qcow2", "raw", tick_ms=500), 300)
        steadily(lambda: self.site.seen(guest), 120)
        book = Book(Witness(self.site, guest))
        command, digest = new_marker(self.dice)
        steadily(lambda: book.write(command), BOOT_S)
        book.is_now(digest)
        return book

    def _unfinished(self) -> int:
        """How many jobs are not over, long after the last harm."""
        end = time.monotonic() + LAST_JOBS_S
        while True:
            (row,) = steadily(
                lambda: self.site.sql(
                    "SELECT count(*) AS n FROM job WHERE state IN ('queued', 'running', 'undoing')"
                )
            )
            if row.n == 0 or time.monotonic() > end:
                return int(row.n)
            time.sleep(1)

    def _judge(self, client: Client) -> None:
        """One guest at the end: all is read back, and one snapshot is gone back to."""
        try:
            if client.is_alive():
                raise Wrong("its client did not come to an end")
            client.is_running()
            client.look()
            client.revert()
            client.look()
        except Exception as error:
            kind = getattr(error, "kind", "other")
            self.tally.complain(client.book.guest.name, kind, f"at the end: {error}", [])

    def _short(self) -> str:
        wrong = len(self.tally.violations)
        return f"{self.tally.jobs.total()} jobs, {self.monkey.done.total()} kills, {wrong} wrong"

    def _figures(self, began: float, unfinished: int) -> Json:
        tally = self.tally
        (stuck,) = self.site.sql("SELECT count(*) AS n FROM job WHERE state = 'stuck'")
        kinds = Counter(one["kind"] for one in tally.violations)
        return {
            "commit": commit(),
            "seed": self.seed,
            "at": time.strftime("%FT%TZ", time.gmtime(began)),
            "minutes": round((time.time() - began) / 60, 1),
            "clients": GUESTS,
            "guests": GUESTS,
            "jobs": dict(sorted(tally.jobs.items())),
            "failed": dict(sorted(tally.failed.items())),
            "refused": dict(sorted(tally.refused.items())),
            "killed": dict(sorted(self.monkey.done.items())),
            "died_by_themselves": self.monkey.died_alone,
            "verified": dict(sorted(tally.verified.items())),
            "wrong_bytes": kinds["bytes"],
            "stuck_jobs": stuck.n,
            "unfinished_jobs": unfinished,
            "untidy": kinds["untidy"],
            "failed_without_reason": kinds["failed"],
            "recovered_after_s": recovered_after(self.site),
            "violations": tally.violations,
        }


def recovered_after(site: Site) -> Json:
    """Seconds from the last sign of a job's dead worker to its taking over, over all jobs of this site."""
    rows = site.sql(
        "SELECT extract(epoch FROM taken.at - max(before.at)) AS s FROM event AS taken"
        " JOIN event AS before ON before.job_id = taken.job_id AND before.at < taken.at"
        " WHERE taken.type = 'job.taken_over' GROUP BY taken.id, taken.at"
    )
    found = sorted(float(row.s) for row in rows)
    if not found:
        return {"n": 0}
    return {"n": len(found), "min": found[0], "median": found[len(found) // 2], "max": found[-1]}


def commit() -> str:
    """The commit that is tried, with a + if the files differ from it."""
    here = Path(__file__).parent
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=here, capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "unknown"


@contextmanager
def site_of_its_own(name: str) -> Iterator[Site]:
    """A whole stack under var/<name>, gone afterwards."""
    var = default_var() / name
    var.mkdir(parents=True, exist_ok=True)
    if not (var / "stack.env").exists():
        (var / "stack.env").write_text(f"STILLFRAME_LISTEN=127.0.0.1:{free_port()}\n")
    stack = Stack(var, f"{name.replace('_', '-')}-{uuid.uuid4().hex[:8]}")
    try:
        stack.up(PROGRAMS)
        site = Site(stack)
        yield site
        site.close()
    finally:
        for program in PROGRAMS:
            stack.stop(program, signal.SIGKILL)
        stack.lab.remove()
        (var / "stack.env").unlink(missing_ok=True)


def main() -> int:
    """One long run."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.long_run", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--results", type=Path, default=RESULTS / "longrun.json")
    wanted = parser.parse_args()
    log = default_var() / "long_run.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=log,
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(threadName)s %(levelname)s %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    print(f"seed {wanted.seed}, log {log}", flush=True)
    with site_of_its_own("long_run") as site:
        found = LongRun(site, wanted.seed).run(wanted.minutes)
        if found["violations"]:
            keep_evidence(site, log.parent / f"long_run-{wanted.seed}")
    wanted.results.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps({name: value for name, value in found.items() if name != "violations"}, indent=1))
    for one in found["violations"]:
        print(f"WRONG {one['at']} {one['vm']}: {one['what']}")
    wrong = found["violations"] or found["unfinished_jobs"] or found["stuck_jobs"]
    return 1 if wrong else 0


def keep_evidence(site: Site, folder: Path) -> None:
    """The programs' logs and all events, for whoever looks into what was wrong."""
    folder.mkdir(exist_ok=True)
    for program in PROGRAMS:
        source = site.stack.daemon(program).log
        (folder / source.name).write_bytes(source.read_bytes())
    events = site.sql("SELECT at, type, level, job_id, snapshot_id, message, data FROM event ORDER BY id")
    (folder / "events").write_text("".join(f"{row}{os.linesep}" for row in events))


if __name__ == "__main__":
    sys.exit(main())
