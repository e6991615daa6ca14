"""Plays points: sets a scene, kills at the point, brings back, and judges what came of it."""

import logging
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from stillframe.states import OVER
from tests.chaos.judge import serial_errors, untidy
from tests.chaos.points import DISKS, Point
from tests.chaos.scenes import SCENES, Scene, Stage
from tests.chaos.strike import AWAY_S, Missed, Strike
from tests.journeys.site import Json, Site
from tests.journeys.witness import Witness

logger = logging.getLogger(__name__)

#: Seconds for a job after everything is back.
JOB_S = 150.0
#: Guests that were lost are kept for whoever looks into them, but not all of them.
MOST_LOST = 4


@dataclass
class Outcome:
    """What came of a point; no faults mean that nothing was lost."""

    point: Point
    faults: list[str] = field(default_factory=list)
    #: The point was not reached, so nothing was killed.
    missed: str = ""
    ended: str = ""
    #: Seconds from the return of what was killed to the job running again, where another attempt took it up.
    recovered_after_s: float | None = None
    took_s: float = 0.0
    story: list[str] = field(default_factory=list)


class Theatre:
    """A site, with one stage a number of disks and size; a stage on which something was lost is not played on again."""

    #: What happens at a point.
    strike: type[Strike] = Strike

    def __init__(self, site: Site) -> None:
        self.site = site
        self._stages: dict[tuple[int, bool], Stage] = {}
        self._lost: list[Witness] = []

    def rehearse(self, scene: Scene, disks: int) -> list[str]:
        """Plays a scene undisturbed; the steps that its job had. Raises AssertionError if that alone goes wrong."""
        stage = self._stage(disks, big=False)
        scene.begin(stage)
        job = self._ask(stage, scene)
        self.site.succeeded(job, JOB_S)
        scene.end(stage, self.site.job(job))
        faults = self._judge(stage, scene, killed_qemu=False)
        assert not faults, faults
        stage.clear()
        return [step["name"] for step in self.site.job(job)["steps"]]

    def play(self, point: Point, away_s: float = AWAY_S) -> Outcome:
        """One point, whatever comes of it. A daemon that is killed stays away for so long."""
        began, outcome = time.monotonic(), Outcome(point)
        key = (point.disks, point.when == "amid")
        try:
            self._play(point, outcome, self._stage(*key), away_s)
        except Missed as missed:
            outcome.missed = str(missed)
            self._leave(key)
        except Exception as error:
            logger.exception("lost: %s", point)
            outcome.faults.append(f"{type(error).__name__}: {error} {traceback.format_exc(limit=-3)}")
        if outcome.faults:
            self._leave(key)
        outcome.took_s = round(time.monotonic() - began, 1)
        return outcome

    def _play(self, point: Point, outcome: Outcome, stage: Stage, away_s: float) -> None:
        scene = SCENES[point.scene]
        scene.begin(stage)
        heard = stage.vm.guest.serial.end
        strike = self.strike(self.site, stage.vm, point, away_s)
        with strike.prepared():
            job = self._ask(stage, scene)
            try:
                strike.at(job)
            finally:
                self.site.mend()
        done = self.site.wait(job, JOB_S)
        outcome.ended = done["state"]
        outcome.story = self.site.story(job)
        outcome.recovered_after_s = self._recovered(job, strike.since)
        outcome.faults += _end_is_true(point, done)
        if done["state"] == "succeeded":
            scene.end(stage, done)
        outcome.faults += self._judge(stage, scene, killed_qemu=point.victim == "qemu")
        outcome.faults += [f"the guest complains: {line}" for line in serial_errors(stage.vm.guest, heard)]
        if not outcome.faults:
            self._again(stage, scene)
            stage.clear()

    def _ask(self, stage: Stage, scene: Scene) -> Json:
        stage.asked = stage.vm.guest.ticks()[-1]
        return scene.ask(stage)

    def _judge(self, stage: Stage, scene: Scene, *, killed_qemu: bool) -> list[str]:
        """Everything that is wrong with VM, files, rows and data."""
        faults = untidy(stage.vm, running=None if killed_qemu else scene.on_after)
        if faults:
            return faults
        for shot in stage.shots:
            faults += _told(f"snapshot {shot.id}", partial(stage.vm.holds, shot))
        stage.run()
        faults += _told("the guest", lambda: stage.vm.runs(stage.digest))
        return faults + untidy(stage.vm, running=True)

    def _again(self, stage: Stage, scene: Scene) -> None:
        """The same operation once more, from the start, on the VM as it is now."""
        scene.begin(stage)
        job = self._ask(stage, scene)
        done = self.site.succeeded(job, JOB_S)
        scene.end(stage, done)
        stage.run()
        stage.vm.runs(stage.digest)

    def _recovered(self, job: Json, since: float) -> float | None:
        if not since or "job.taken_over" not in self.site.story(job):
            return None
        return round(max(0.0, self.site.when(job, "job.taken_over") - since), 2)

    # --- stages -------------------------------------------------------------------------------------

    def _stage(self, disks: int, big: bool) -> Stage:
        if (disks, big) not in self._stages:
            size = {"disk_mib": 256, "memory_mib": 224, "ballast_mib": 96} if big else {}
            guest = self.site.guest(*DISKS[disks], **size)
            guest.wait_tick(timeout_s=120)
            self.site.seen(guest)
            self._stages[disks, big] = Stage(Witness(self.site, guest), big)
        return self._stages[disks, big]

    def _leave(self, key: tuple[int, bool]) -> None:
        """The guest is left as it lies, off; the next point gets a fresh one."""
        if stage := self._stages.pop(key, None):
            with suppress(Exception):
                self.site.mend()
                stage.vm.guest.destroy()
            self._lost.append(stage.vm)
        while len(self._lost) > MOST_LOST:
            with suppress(Exception):
                self._lost.pop(0).guest.remove()


def _end_is_true(point: Point, job: Json) -> list[str]:
    """A job ends well whoever dies; only the death of what did the work itself may make it fail."""
    if job["state"] == "succeeded":
        return []
    code = (job["error"] or {}).get("code")
    may_fail = point.victim in {"qemu", "qemu-img"} and job["state"] in OVER - {"stuck"}
    return [] if may_fail else [f"the job is {job['state']}: {code} {job['error']}"]


def _told(what: str, act: Callable[[], object]) -> list[str]:
    try:
        act()
    except Exception as error:
        return [f"{what}: {type(error).__name__}: {error}"]
    return []
