"""`make chaos`: kills at every point, or at a random sample of them, and says what was lost.

`python -m tests.chaos --minutes 30 --seed 1 --only "revert to memory"`. `--only` is a part of a point's name, as the table
and the list of what was lost show it. Figures of a run without it land in bench/results/chaos.json.
"""

import argparse
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from bench.record import RESULTS
from lab.lab import default_var
from tests.chaos.long_run import commit, keep_evidence, site_of_its_own
from tests.chaos.points import DISKS, Point, may_fit, points_of
from tests.chaos.scenes import SCENES
from tests.chaos.theatre import Outcome, Theatre
from tests.journeys.site import Json

#: How often the middle of a long call is chosen where a scene has one: there are few of these points, and most is in them.
SHARE_AMID = 0.4


class Sample:
    """Points not yet played, in a random order that goes through all scenes alike."""

    def __init__(self, theatre: Theatre, only: str, seed: int) -> None:
        self.theatre = theatre
        self.only = only
        self.dice = random.Random(seed)
        self.known = 0
        self._left: dict[tuple[str, int], list[Point] | None] = {
            (scene, disks): None for scene in SCENES for disks in DISKS if may_fit(only, scene, disks)
        }

    def next(self) -> Point | None:
        """Another point; None once there is none left. The first of a scene is found by a rehearsal."""
        while self._left:
            key = self.dice.choice(sorted(self._left))
            left = self._left[key]
            if left is None:
                left = self._left[key] = self._find(*key)
                self.known += len(left)
            if not left:
                del self._left[key]
                continue
            amid = [point for point in left if point.when == "amid"]
            chosen = self.dice.choice(amid if amid and self.dice.random() < SHARE_AMID else left)
            left.remove(chosen)
            return chosen
        return None

    def _find(self, scene: str, disks: int) -> list[Point]:
        steps = self.theatre.rehearse(SCENES[scene], disks)
        return [point for point in points_of(SCENES[scene], disks, steps) if self.only in str(point)]


def play(theatre: Theatre, sample: Sample, minutes: float) -> list[Outcome]:
    """Points until there is none left or the time is over; what came of each is printed as it is known."""
    end = time.monotonic() + (minutes or float("inf")) * 60
    outcomes = []
    while time.monotonic() < end and (point := sample.next()):
        outcome = theatre.play(point)
        outcomes.append(outcome)
        verdict = "LOST" if outcome.faults else "missed" if outcome.missed else outcome.ended
        print(f"{verdict:10} {outcome.took_s:6.1f} s  {point}", flush=True)
        for fault in (*outcome.faults, *([outcome.missed] if outcome.missed else [])):
            print(f"           {fault}", flush=True)
    return outcomes


def figures(outcomes: list[Outcome], sample: Sample, seed: int, seconds: float) -> Json:
    """What is kept."""
    tried = [one for one in outcomes if not one.missed]
    lost = [one for one in tried if one.faults]
    return {
        "commit": commit(),
        "at": time.strftime("%FT%TZ", time.gmtime()),
        "seed": seed,
        "seconds": round(seconds),
        "points_known": sample.known,
        "tried": len(tried),
        "lost": len(lost),
        "missed": len(outcomes) - len(tried),
        "by_operation": _count(tried, lambda one: one.point.scene),
        "by_victim": _count(tried, lambda one: one.point.victim),
        "by_place": _count(tried, lambda one: one.point.when),
        "ended": dict(sorted(Counter(one.ended for one in tried).items())),
        "recovered_after_s": {
            victim: spread(
                one.recovered_after_s
                for one in tried
                if one.point.victim == victim and one.recovered_after_s is not None
            )
            for victim in ("child", "worker")
        },
        "lost_points": [
            {
                "again": f'make chaos ONLY="{one.point}"',
                **asdict(one.point),
                "faults": one.faults,
                "story": one.story,
            }
            for one in lost
        ],
    }


def _count(outcomes: list[Outcome], of: object) -> Json:
    found: dict[str, dict[str, int]] = {}
    for one in outcomes:
        group = found.setdefault(of(one), {"tried": 0, "lost": 0})  # type: ignore[operator]
        group["tried"] += 1
        group["lost"] += bool(one.faults)
    return dict(sorted(found.items()))


def spread(seconds: Iterable[float]) -> Json:
    """Of a series: how many, least, middle, most."""
    found = sorted(seconds)
    if not found:
        return {"n": 0}
    return {"n": len(found), "min": found[0], "median": found[len(found) // 2], "max": found[-1]}


def table(found: Json) -> str:
    """The figures for people."""
    lines = [f"{'':28} tried  lost"]
    for part in ("by_operation", "by_victim", "by_place"):
        lines += [f"{name:28} {row['tried']:5} {row['lost']:5}" for name, row in found[part].items()]
        lines.append("")
    lines += [
        f"taken up again after {name} died: {row} s" for name, row in found["recovered_after_s"].items()
    ]
    lines.append(
        f"{found['tried']} of {found['points_known']} known points tried in {found['seconds']} s, "
        f"{found['missed']} missed, {found['lost']} lost (seed {found['seed']}, commit {found['commit']})"
    )
    return "\n".join([*lines, *(f"lost: {one['again']}" for one in found["lost_points"])])


def main() -> int:
    """One run."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so long; 0: all points")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--only", default="", help="a part of a point's name")
    parser.add_argument("--results", type=Path, help="bench/results/chaos.json, but nowhere with --only")
    wanted = parser.parse_args()
    default_var().mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=default_var() / "chaos.log", filemode="w", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    began = time.monotonic()
    with site_of_its_own("chaos") as site:
        theatre = Theatre(site)
        sample = Sample(theatre, wanted.only, wanted.seed)
        outcomes = play(theatre, sample, wanted.minutes)
        found = figures(outcomes, sample, wanted.seed, time.monotonic() - began)
        if found["lost"]:
            keep_evidence(site, default_var() / f"chaos-{wanted.seed}")
    if results := wanted.results or (None if wanted.only else RESULTS / "chaos.json"):
        results.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))
    if not outcomes:
        print(f"no point has {wanted.only!r} in its name")
        return 2
    return 1 if found["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
