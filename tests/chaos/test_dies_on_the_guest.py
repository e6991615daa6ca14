"""A few of the points of `make chaos`, the same ones every time; it plays all of them."""

import pytest

from tests.chaos.points import Point
from tests.chaos.theatre import Theatre
from tests.journeys.site import Site

#: One of each kind of victim and of place, each in another operation.
SHORT = (
    Point("create memory", 3, "before", "keep_snapshot", "worker"),
    Point("revert to hot, on", 1, "begun", "bring_back", "worker"),
    Point("delete the middle, on", 3, "before", "note_current", "libvirtd"),
    Point("create hot", 1, "before", "cut", "qemu"),
    Point("extract", 1, "amid", "convert", "qemu-img"),
)
LONG = (
    Point("create memory", 1, "amid", "ram", "qemu"),
    Point("create memory", 3, "amid", "ram", "libvirtd"),
    Point("create cold", 3, "begun", "cut", "child"),
    Point("create hot", 3, "before", "the end", "child"),
    Point("revert to memory, off", 1, "amid", "restore", "libvirtd"),
    Point("revert to memory, on", 3, "amid", "restore", "qemu"),
    Point("revert to cold, off", 1, "before", "stop_vm", "worker"),
    Point("delete the middle, on", 1, "amid", "live merge", "qemu"),
    Point("delete the oldest, on", 3, "amid", "live merge", "libvirtd"),
    Point("delete the newest, off", 1, "amid", "commit", "qemu-img"),
    Point("prune, on", 3, "amid", "live merge", "worker"),
    Point("prune, on", 1, "before", "remove_folder", "child"),
    Point("delete the oldest, off", 3, "amid", "commit", "libvirtd"),
    Point("extract", 3, "amid", "convert", "worker"),
)


@pytest.fixture
def theatre(site: Site) -> Theatre:
    return Theatre(site)


@pytest.mark.parametrize(
    "point", [*SHORT, *(pytest.param(one, marks=pytest.mark.chaos) for one in LONG)], ids=str
)
def test_nothing_is_lost(theatre: Theatre, point: Point) -> None:
    """Killed there, the job ends, and VM, data, files and rows are right; the operation can be asked for again."""
    outcome = theatre.play(point)
    assert outcome.faults == [], outcome.story
    assert outcome.missed == ""
