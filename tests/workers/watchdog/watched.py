"""What tests of the watchdog say: a freeze on record, a look, and what was told."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

from hypervisor.fake import FakeHost
from stillframe.events import EventType, Level
from tests.workers.fake_world import World
from workers import identity
from workers.watch_folder import Ward, now
from workers.watchdog import Watchdog


def dead() -> str:
    """The name of a worker that is dead, on this very boot."""
    return f"here/{identity.own('here').split('/')[1]}/999999999/1"


def begin(world: World, kind: Any = "freeze", age_s: float = 0.0, **facts: Any) -> Ward:
    """A freeze or a pause on record that began `age_s` ago, and whose worker lives unless said otherwise."""
    ward = Ward(
        vm=world.guest.uuid, name="vm1", job=uuid4(), kind=kind, began=now() - age_s, budget_s=10.0,
        holder=identity.own("here"),
    )  # fmt: skip
    ward = replace(ward, **facts)
    world.watch.write(ward)
    return ward


def dog(world: World) -> Watchdog:
    return Watchdog(world.watch, lambda: FakeHost(world.machine))


def look(world: World, watching: Watchdog | None = None) -> None:
    """One look, and what it begins carried to its end."""
    watching = watching or dog(world)
    watching.look()
    watching.settle()


def is_frozen(world: World) -> bool | None:
    return world.host.vm(world.guest.uuid).is_frozen()


def said(world: World) -> list[tuple[EventType, Level]]:
    return [(word.type, word.level) for word in world.watch.words()]
