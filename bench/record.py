"""Figures as they are kept: ours beside a baseline of the same run, medians, and how noisy the machine was."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One comparison. `ratio` is ours / baseline; it meets `goal` if it is not above it."""

    name: str
    unit: str
    ours: float
    baseline: float
    baseline_name: str
    ratio: float
    goal: float
    n: int
    min: float
    max: float
    load: float
    at: str


def compare(
    name: str,
    ours: Sequence[float],
    baseline: Sequence[float],
    *,
    baseline_name: str,
    goal: float,
    unit: str = "s",
) -> Figure:
    """A figure from two interleaved series, of seconds if nothing else is said."""
    mine, theirs = statistics.median(ours), statistics.median(baseline)
    return Figure(
        name=name,
        unit=unit,
        ours=round(mine, 6),
        baseline=round(theirs, 6),
        baseline_name=baseline_name,
        ratio=round(mine / theirs, 3),
        goal=goal,
        n=len(ours),
        min=round(min(ours), 6),
        max=round(max(ours), 6),
        load=round(os.getloadavg()[0], 2),
        at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def absolute(name: str, ours: Sequence[float], *, unit: str, goal: float) -> Figure:
    """A figure that stands for itself: its ratio is to one of its unit."""
    return compare(name, ours, [1.0], baseline_name=f"one {unit}", goal=goal, unit=unit)


def keep(file: str, figures: Sequence[Figure]) -> None:
    """Writes them to bench/results/<file>.json and prints them."""
    RESULTS.mkdir(exist_ok=True)
    values = [asdict(figure) for figure in figures]
    (RESULTS / f"{file}.json").write_text(json.dumps(values, indent=1) + "\n")
    for figure in figures:
        verdict = "meets" if figure.ratio <= figure.goal else "MISSES"
        print(
            f"{figure.name:28} {figure.ours:8.3f} {figure.unit}  {figure.baseline_name} {figure.baseline:.3f} {figure.unit}  "
            f"ratio {figure.ratio:.2f}  {verdict} {figure.goal}  (n {figure.n}, load {figure.load})"
        )
