"""All the points at which something can be killed: every boundary of every step a job has, and the middle of every long call.

They are made of the steps that a job of the scene really had, so a new step has its points on the day it is written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.scenes import SCENES, Scene

#: Images of a VM, by how many disks it has.
DISKS: dict[int, tuple[str, ...]] = {1: ("qcow2",), 3: ("raw", "qcow2", "qcow2")}
THE_END = "the end"
#: Whom a boundary concerns: there is no qemu-img between two steps.
AT_A_BOUNDARY = ("child", "worker", "libvirtd", "qemu")
#: Seconds after its intent in which somebody dies within a step, at random: one point is another moment each time.
WITHIN_S = 0.25
#: Who can be met with a step written down and not yet begun; for the others it is the boundary itself.
ONCE_BEGUN = ("child", "worker")
#: Who works in each long call, and who only keeps the books.
_BOOKS = ("postgres", "redis")
LONG_CALLS = {
    "ram": ("child", "worker", "libvirtd", "qemu", *_BOOKS),
    "restore": ("child", "worker", "libvirtd", "qemu", *_BOOKS),
    "live merge": ("child", "worker", "libvirtd", "qemu", *_BOOKS),
    "convert": ("child", "worker", "libvirtd", "qemu", "qemu-img", *_BOOKS),
    "commit": ("child", "worker", "libvirtd", "qemu-img", *_BOOKS),
}


@dataclass(frozen=True)
class Point:
    """Where (`before`, `begun`, `within` or `amid` something) who dies."""

    scene: str
    disks: int
    when: str
    what: str
    victim: str

    def __str__(self) -> str:
        return f"{self.scene}/{self.disks}/{self.when} {self.what}/{self.victim}"


def points_of(scene: Scene, disks: int, steps: Sequence[str]) -> list[Point]:
    """Every point of a scene whose job had these steps.

    `before` a step, the one before it has acted and that is not written; `begun`, it is written and has not acted;
    `within`, it acts, or has just done so.
    """
    return [
        Point(scene.name, disks, when, what, victim)
        for when, what, victim in _all(scene, steps)
        if scene.on or victim != "qemu"
    ]


def _all(scene: Scene, steps: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    for step in steps:
        yield from (("before", step, victim) for victim in AT_A_BOUNDARY)
        yield from (("begun", step, victim) for victim in ONCE_BEGUN)
        yield from (("within", step, victim) for victim in AT_A_BOUNDARY)
    yield from (("before", THE_END, victim) for victim in AT_A_BOUNDARY)
    for call in scene.amid:
        yield from (("amid", call, victim) for victim in LONG_CALLS[call])


def may_fit(only: str, scene: str, disks: int) -> bool:
    """Whether a point of a scene can have these words in its name; the rest of the name is known after a rehearsal."""
    first, *rest = only.split("/")
    of_a_scene = any(name.endswith(first) if rest else first in name for name in SCENES)
    if not of_a_scene:
        return True
    if not rest:
        return first in scene
    return scene.endswith(first) and (
        str(disks) == rest[0] or (len(rest) == 1 and str(disks).startswith(rest[0]))
    )
