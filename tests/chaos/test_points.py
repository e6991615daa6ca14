"""What can be killed where, counted from the plans."""

import pytest

from tests.chaos.points import DISKS, LONG_CALLS, THE_END, may_fit, points_of
from tests.chaos.scenes import SCENES
from workers.operations import PLANS

#: What a job finds to collect: a layer to merge, and one to unlink.
FOUND = {"plan_collection": {"acts": [{"act": "merge", "key": "vda:0"}, {"act": "unlink", "key": "vda:1"}]}}


def named(kind: str) -> list[str]:
    """The steps of a job of this kind."""
    return [step.name for step in PLANS[kind].steps(FOUND)]


@pytest.mark.parametrize("kind", PLANS)
def test_every_step_of_every_plan_has_points_around_it(kind: str) -> None:
    """A step is killed at before it is written down, once it is, and once it has acted: whoever else writes a plan."""
    scenes = [scene for scene in SCENES.values() if scene.kind == kind]
    assert scenes, f"no scene plays {kind}"
    for scene in scenes:
        found = {(point.when, point.what, point.victim) for point in points_of(scene, 1, named(kind))}
        for step in (*named(kind), THE_END):
            assert {
                ("before", step, "child"),
                ("before", step, "worker"),
                ("before", step, "libvirtd"),
            } <= found
            assert step == THE_END or {("begun", step, "child"), ("begun", step, "worker")} <= found
            assert (("before", step, "qemu") in found) == scene.on


def test_every_long_call_is_met_in_its_middle() -> None:
    """RAM written and read, layers merged and copied: each has a scene in which everybody concerned is killed amid it."""
    assert {call for scene in SCENES.values() for call in scene.amid} == set(LONG_CALLS)
    assert set(DISKS) == {1, 3}


@pytest.mark.parametrize(
    ("only", "scenes"),
    [
        ("", len(SCENES) * 2),
        ("create hot", 2),
        ("create hot/1", 1),
        ("extract/3/amid convert/qemu-img", 1),
        ("off/1/within", 7),
        ("qemu-img", len(SCENES) * 2),
    ],
)
def test_a_part_of_a_name_chooses_scenes(only: str, scenes: int) -> None:
    """Only scenes whose points can have these words in their names are rehearsed."""
    assert sum(may_fit(only, scene, disks) for scene in SCENES for disks in DISKS) == scenes
