"""A job that is watched undisturbed, and then dies at each of the points that were seen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.workers.fake_world import Death, Job, World
from workers.carry import End

Film = Callable[[World], Job]
#: All that must be the same whether or not a worker died.
Picture = dict[str, Any]
Look = Callable[[World], Picture]


@dataclass(frozen=True)
class Whole:
    """What nobody disturbed: the points it came by, and the pictures before and after it."""

    points: list[str]
    before: Picture
    after: Picture


def watched(film: Film, volumes: dict[str, str] | None, look: Look) -> Whole:
    """The job from its beginning to its end, which is a good one."""
    world = World(volumes)
    job = film(world)
    before = look(world)
    assert job.to_the_end().end is End.SUCCEEDED
    return Whole(list(world.machine.mortality.points), before, look(world))


def ends_like_one_that_was_not(film: Film, volumes: dict[str, str], look: Look) -> None:
    """Killed at each point, the next attempt brings all to the end that it has undisturbed."""
    whole = watched(film, volumes, look)
    assert len(whole.points) > 5
    for number, point in enumerate(whole.points):
        world = World(volumes)
        ending = film(world).to_the_end(dies_at=number)
        assert (ending.end, look(world)) == (End.SUCCEEDED, whole.after), (point, ending.error)


def die(world: World, job: Job, number: int) -> str:
    """Runs the job until the worker is killed at that point; which one it was."""
    mortality = world.machine.mortality
    mortality.points.clear()
    mortality.dies_at = number
    with pytest.raises(Death):
        job.run()
    mortality.dies_at = None
    return mortality.points[-1]
