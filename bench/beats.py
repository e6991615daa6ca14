"""Beat processes side by side: ours, and the schedulers that people use, each in a process and a store of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.lab import default_var

ROOT = Path(__file__).resolve().parent.parent
PROCESS = ROOT / "bench" / "beat_process.py"
ROUNDS = 3
LOOKS = 15
#: Seconds for one life of a process; 100,000 entries take some of them minutes to read.
PATIENCE_S = 900


def environment_of_others() -> Path:
    """The Python that has the other schedulers, in an environment of its own; made if it is not there."""
    home = default_var() / "bench" / "others"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pins = ["-c", str(ROOT / "constraints.txt"), "-r", str(ROOT / "bench" / "other_beats.txt")]
        subprocess.run([*pip, *pins], check=True)
        (home / "ready").touch()
    return python


class Beat:
    """One scheduler with so many entries."""

    def __init__(self, name: str, python: Path, entries: int, *, database: str, broker: str) -> None:
        self.name, self.entries = name, entries
        ours = {"STILLFRAME_DATABASE_URL": database, "STILLFRAME_BROKER_URL": broker}
        self._env = os.environ | ours | {"BENCH_DATABASE": database, "BENCH_BROKER": broker}
        self._command = [str(python), str(PROCESS), name]

    def fill(self, due: int = 0) -> None:
        """Its entries, the first of them due."""
        self._run("fill", due)

    def live(self, due: int = 0) -> dict[str, Any]:
        """One life of the process, as `beat_process.run` tells it."""
        told: dict[str, Any] = json.loads(self._run("run", due))
        return told

    def _run(self, verb: str, due: int) -> str:
        began = {"BENCH_BEGAN": str(time.time()), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [*self._command, verb, str(self.entries), str(due)],
            env=self._env | began,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name} {verb}: {done.stderr[-800:]}")
        return done.stdout.strip().rpartition("\n")[2]


def lives(
    beats: dict[str, Beat], look: Callable[[], object]
) -> tuple[dict[str, list[dict[str, Any]]], list[float]]:
    """Several lives of each, by turns, and of each turn the median of some looks, which are ours."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in beats}
    looks = []
    for _ in range(ROUNDS):
        for name, beat in beats.items():
            found[name].append(beat.live())
            looks.append(statistics.median(_timed(look) for _ in range(LOOKS)))
    return found, looks


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def ticks(told: list[dict[str, Any]]) -> list[float]:
    """The median tick of each life, in seconds."""
    return [statistics.median(one["ticks_s"]) for one in told]


def of(told: list[dict[str, Any]], what: str) -> list[float]:
    """One figure of each life."""
    return [float(one[what]) for one in told]
