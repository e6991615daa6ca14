"""What is seen of a job that is waited for: a bar on a terminal, a line for each change elsewhere, nothing in JSON.

Ctrl-C only ends the looking.
"""

import sys
from shutil import get_terminal_size
from time import monotonic
from typing import TextIO

from stillframe.cli import show
from stillframe.client import Json, Producer
from stillframe.states import OVER, JobState

OK, FAILED, SKIPPED, STILL_GOING = 0, 1, 3, 4
EXIT_OF_STATE = {"succeeded": OK, "skipped": SKIPPED, "expired": SKIPPED}
BAR = 14


def watch(client: Producer, job: Json, output: str, err: TextIO | None = None) -> int:
    """Follows a job to its end, shows it and returns the exit code."""
    view = _view(err or sys.stderr, output)
    try:
        while job["state"] not in OVER:
            view.show(job)
            job = client.job(job["id"], wait_s=view.every_s)
    except KeyboardInterrupt:
        view.close()
        if output == "json":
            show.data(job)
        else:
            show.note(f"\nDetached: the job goes on. `stillframe job watch {job['id']}` watches it on.")
        return STILL_GOING
    view.close()
    ended(job, output)
    return exit_code(job)


def exit_code(job: Json) -> int:
    """Of a job that is over."""
    return EXIT_OF_STATE.get(job["state"], FAILED)


def ended(job: Json, output: str) -> None:
    """How a job ended, and if not well, why."""
    if output == "json":
        show.data(job)
        return
    took = f" in {show.took(_took(job))}" if job["started_at"] and job["finished_at"] else ""
    print(f"{show.kind(job)} of VM {job['vm']['name']}: {job['state']}{took}")
    if job["error"] and job["state"] != "succeeded":
        show.problem(job["error"], output)
    if job["state"] == JobState.STUCK:
        show.note(f"`stillframe job recover {job['id']}` shows how it stands and the ways out.")


def asked_for(job: Json, output: str) -> int:
    """A job that nobody waits for here."""
    if output == "json":
        show.data(job)
    else:
        print(job["id"])
        show.note(f"{show.kind(job)} of VM {job['vm']['name']} is {job['state']} on host {job['host']}.")
        show.note(f"`stillframe job watch {job['id']}` shows how it goes.")
    return OK


def progress(job: Json) -> str:
    """`45 %  1.2 GiB of 2.7 GiB  350 MiB/s  4 s left`, as far as it is known, or what it waits for; nothing once it is over."""
    found = (job["progress"] or {}) if job["state"] not in OVER else {}
    done, total, rate = found.get("done"), found.get("total"), found.get("rate")
    if found.get("waiting"):
        return f"waits: {found['waiting']}"
    if not total:
        return ""
    amount = show.size if found.get("unit") == "bytes" else str
    parts = [f"{100 * min(done, total) // total:3d} %", f"{amount(done)} of {amount(total)}"]
    if rate:
        parts.append(f"{amount(round(rate))}/s")
    if found.get("eta_s") is not None:
        parts.append(f"{show.span(found['eta_s'])} left")
    return "  ".join(parts)


def _took(job: Json) -> float:
    return max(0.0, show.seconds(job["finished_at"]) - show.seconds(job["started_at"]))


def _view(err: TextIO, output: str) -> "_Bar | _Lines | _Nothing":
    if output == "json":
        return _Nothing()
    return _Bar(err) if err.isatty() else _Lines(err)


class _Nothing:
    """For programs: what there is to know comes at the end."""

    every_s = 30.0

    def show(self, job: Json) -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Nothing to wipe."""


class _Bar:
    """One line that is drawn over and over."""

    every_s = 0.3

    def __init__(self, err: TextIO) -> None:
        self._err = err

    def show(self, job: Json) -> None:
        """Draws it anew."""
        columns = get_terminal_size().columns - 1
        where = _where(job).removeprefix("running: ")  # which the bar shows by itself
        line = show.plain(f"{_bar(job)} {where}  {progress(job)}".rstrip())
        while show.width(line) > columns:
            line = line[:-1]
        self._err.write(f"\r\x1b[K{line}")
        self._err.flush()

    def close(self) -> None:
        """Wipes it."""
        self._err.write("\r\x1b[K")
        self._err.flush()


class _Lines:
    """A line when the state changes, and once in a while when it does not. That it is queued is known at first."""

    every_s = 1.0
    AGAIN_S = 10.0

    def __init__(self, err: TextIO) -> None:
        self._err = err
        self._last: str = JobState.QUEUED
        self._at = monotonic()

    def show(self, job: Json) -> None:
        """Says where the job is, if that is news."""
        if job["state"] != self._last or monotonic() - self._at >= self.AGAIN_S:
            self._last, self._at = job["state"], monotonic()
            line = f"{show.kind(job)} of VM {job['vm']['name']} is {_where(job)}  {progress(job)}"
            self._err.write(show.plain(line.rstrip()) + "\n")
            self._err.flush()

    def close(self) -> None:
        """Nothing to wipe."""


def _where(job: Json) -> str:
    """The state, with the step it is at, or why it does not go on."""
    at = job["waiting"]["detail"] if job["waiting"] else (job["phase"] or "").replace("_", " ")
    return f"{job['state']}: {at}" if at else str(job["state"])


def _bar(job: Json) -> str:
    found = job["progress"] or {}
    total = found.get("total")
    filled = BAR * min(found["done"], total) // total if total else 0
    return f"[{'#' * filled}{'.' * (BAR - filled)}]"
