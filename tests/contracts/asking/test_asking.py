"""Whoever asks, inside the application or over HTTP, asks with the same verbs and gets the same: rows, refusals, plans."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from models.events.tables import Event
from models.jobs.tables import Job
from models.snapshots.tables import Snapshot, VolumeSnapshot
from stillframe.errors import (
    AfterNotForMemory,
    ColdNeedsStopped,
    DeletionsRefused,
    DisplayNameInvalid,
    HotNeedsRunning,
    IdempotencyMismatch,
    Invalid,
    MemoryNeedsRunning,
    NameInvalid,
    NameTaken,
    SnapshotNotFound,
    SnapshotNotReady,
    StillframeError,
    VmGone,
    VmNameAmbiguous,
    VmNotFound,
    VolumeNotFound,
)
from stillframe.operations import CreateSnapshot, DeleteSnapshot, ExtractVolume, Operation, RevertSnapshot
from stillframe.states import SnapshotState, SnapshotType, VmState
from tests.contracts.asking.doors import Door
from tests.world import World

pytestmark = [pytest.mark.postgres, pytest.mark.broker]

TABLES = (Job, Snapshot, VolumeSnapshot, Event)
NOWHERE = "01a206ea-c83f-73bd-b757-917a5895aa7f"


@dataclass(frozen=True)
class There:
    """What is there when it is asked for."""

    vm: str
    ready: str
    failed: str
    memory: str
    off: str
    gone: str
    twins: str


@pytest.fixture
def there(world: World, name: str) -> There:
    vm = world.vm(name)
    world.vm(f"{name}-off", state=VmState.OFF)
    world.vm(f"{name}-gone", gone=True)
    for host in ("h1", "h2"):
        world.vm(f"{name}-twin", host=host)
    return There(
        name,
        str(world.snapshot(vm, "s1")),
        str(world.snapshot(vm, "s2", state=SnapshotState.ERROR)),
        str(world.snapshot(vm, "s3", type_=SnapshotType.MEMORY)),
        f"{name}-off",
        f"{name}-gone",
        f"{name}-twin",
    )


Asked = Callable[[There], Operation]

ACCEPTED: dict[str, Asked] = {
    "hot": lambda it: CreateSnapshot(vm=it.vm, type="hot", name="n", quiesce="never", tags=("a", "b", "a")),
    "what fits": lambda it: CreateSnapshot(
        vm=it.off, name="n", display_name=" 밤 ", description="d", start_within_s=60, timeout_s=9.5
    ),
    "revert": lambda it: RevertSnapshot(snapshot_id=it.ready, after="stop"),
    "delete": lambda it: DeleteSnapshot(snapshot_id=it.failed, timeout_s=30),
    "extract": lambda it: ExtractVolume(snapshot_id=it.ready, target="vda", name=f"{it.vm}-v"),
}

REFUSED: dict[str, tuple[type[StillframeError], Asked]] = {
    "no VM": (VmNotFound, lambda it: CreateSnapshot(vm="no such VM?")),
    "a VM that is gone": (VmGone, lambda it: CreateSnapshot(vm=it.gone)),
    "a name of two": (VmNameAmbiguous, lambda it: CreateSnapshot(vm=it.twins)),
    "a taken name": (NameTaken, lambda it: CreateSnapshot(vm=it.vm, name="s1")),
    "a bad name": (NameInvalid, lambda it: CreateSnapshot(vm=it.vm, name="../x")),
    "an empty display name": (DisplayNameInvalid, lambda it: CreateSnapshot(vm=it.vm, display_name=" ")),
    "memory of one that is off": (MemoryNeedsRunning, lambda it: CreateSnapshot(vm=it.off, type="memory")),
    "hot of one that is off": (HotNeedsRunning, lambda it: CreateSnapshot(vm=it.off, type="hot")),
    "cold of one that runs": (ColdNeedsStopped, lambda it: CreateSnapshot(vm=it.vm, type="cold")),
    "an expiry that is over": (
        Invalid,
        lambda it: CreateSnapshot(vm=it.vm, expires_at="2001-01-01T00:00:00+00:00"),
    ),
    "no snapshot": (SnapshotNotFound, lambda it: RevertSnapshot(snapshot_id=NOWHERE)),
    "no id": (SnapshotNotFound, lambda it: DeleteSnapshot(snapshot_id="nothing")),
    "one in error": (SnapshotNotReady, lambda it: RevertSnapshot(snapshot_id=it.failed)),
    "after for memory": (AfterNotForMemory, lambda it: RevertSnapshot(snapshot_id=it.memory, after="stop")),
    "no volume": (VolumeNotFound, lambda it: ExtractVolume(snapshot_id=it.ready, target="vdz")),
}

#: Refused by the shape of the request over HTTP, and by the same limits inside: one code, each with its own words.
SHAPELESS: dict[str, Asked] = {
    "an unknown type": lambda it: CreateSnapshot(vm=it.vm, type="warm"),  # type: ignore[arg-type]
    "too many tags": lambda it: CreateSnapshot(vm=it.vm, tags=tuple(map(str, range(33)))),
    "a long description": lambda it: CreateSnapshot(vm=it.vm, description="d" * 4097),
    "no time at all": lambda it: RevertSnapshot(snapshot_id=it.ready, timeout_s=0.5),
    "too much time": lambda it: DeleteSnapshot(snapshot_id=it.ready, start_within_s=1e9),
    "an expiry that is none": lambda it: CreateSnapshot(vm=it.vm, expires_at="tomorrow"),
}


def named(cases: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases.values(), ids=cases.keys())


def counts(world: World) -> list[int]:
    return [world.count(table) for table in TABLES]


@named(ACCEPTED)
def test_what_is_asked_for_is_written_down_the_same(
    case: Asked, door: Door, inside: Door, there: There, world: World
) -> None:
    """The job's row holds the same request as if it was asked for inside, and the answer names what is made."""
    operation = case(there)
    made = door.submit(operation)
    job = world.row(UUID(made.job))
    forecast = inside.plan(operation)["request"]

    assert (job.kind, str(job.vm_id), job.requested_by) == (operation.kind, made.vm, "admin")
    assert str(job.snapshot_id) == made.snapshot
    assert (made.volume is not None) is isinstance(operation, ExtractVolume)
    asked = {name: value for name, value in forecast.items() if value not in (None, [])}
    assert {name: job.request[name] for name in asked} == asked
    if isinstance(operation, CreateSnapshot):
        row = world.snapshot_row(UUID(made.snapshot or ""))
        assert (row.state, row.name, row.tags) == (
            SnapshotState.CREATING,
            "n",
            list(dict.fromkeys(operation.tags)),
        )


@named(REFUSED)
def test_what_is_refused_is_refused_the_same(
    case: tuple[type[StillframeError], Asked], door: Door, inside: Door, there: There, world: World
) -> None:
    """The same class, code, sentence, remedy and evidence, and nothing is left of it."""
    kind, asked = case
    before = counts(world)
    with pytest.raises(kind) as measure:
        inside.submit(asked(there))
    with pytest.raises(kind) as refused:
        door.submit(asked(there))

    assert refused.value.to_json() == measure.value.to_json()
    assert counts(world) == before


@named(SHAPELESS)
def test_what_makes_no_sense_is_refused_with_one_code(
    case: Asked, door: Door, there: There, world: World
) -> None:
    """Before anything is looked for."""
    before = counts(world)
    with pytest.raises(Invalid) as refused:
        door.submit(case(there))

    assert refused.value.code == "request.invalid"
    assert counts(world) == before


@named(
    ACCEPTED
    | {name: asked for name, (kind, asked) in REFUSED.items() if kind in (NameTaken, SnapshotNotReady)}
)
def test_a_plan_is_the_same(case: Asked, door: Door, inside: Door, there: There, world: World) -> None:
    """Word for word, also of what would be refused; nothing is written."""
    before = counts(world)
    ours, theirs = door.plan(case(there)), inside.plan(case(there))

    assert ours.pop("seen_at")[:10] == theirs.pop("seen_at")[:10]
    assert ours == theirs
    assert counts(world) == before


@named(ACCEPTED)
def test_a_key_makes_once(case: Asked, door: Door, inside: Door, there: There, world: World) -> None:
    """Asked again, also by another way in, it is the first job; with another request it is refused."""
    key = f"{there.vm}-key"
    first = door.submit(case(there), key)
    before = counts(world)

    assert door.submit(case(there), key) == first
    assert inside.submit(case(there), key) == first
    with pytest.raises(IdempotencyMismatch) as refused:
        door.submit(CreateSnapshot(vm=there.vm, name="another"), key)
    assert refused.value.evidence == {"key": key}
    assert counts(world) == before


def test_of_many_at_once_one_is_made(door: Door, inside: Door, there: There, world: World) -> None:
    """Those who ask inside and those who ask through this door take turns."""
    before = world.count(Job)
    operation = CreateSnapshot(vm=there.vm, name="n")
    with ThreadPoolExecutor(9) as pool:
        waiting = [pool.submit(inside.submit, operation, there.vm) for _ in range(8)]
        made = {door.submit(operation, there.vm), *(one.result() for one in waiting)}

    assert len(made) == 1
    assert world.count(Job) == before + 1


@pytest.mark.parametrize("key", ["", "a b", "a\n", "x" * 256])
def test_a_bad_key_is_refused(door: Door, there: There, world: World, key: str) -> None:
    """1 to 255 visible characters."""
    before = counts(world)
    with pytest.raises(Invalid):
        door.submit(CreateSnapshot(vm=there.vm), key)
    assert counts(world) == before


def test_many_are_deleted_together(door: Door, inside: Door, there: There, world: World) -> None:
    """A job about all of the VM; asked again with its key, also by another way in, it is the same one."""
    key = f"{there.vm}-key"
    (job,) = door.delete(there.ready, there.failed, there.memory, key=key)

    assert set(world.row(UUID(job)).request["snapshot_ids"]) == {there.ready, there.failed, there.memory}
    for again in (door, inside):
        assert again.delete(there.memory, there.failed, there.ready, key=key) == [job]


def test_many_are_refused_together(door: Door, inside: Door, there: There, world: World) -> None:
    """The same words and evidence of each, and nothing is left of it."""
    before = counts(world)
    with pytest.raises(DeletionsRefused) as measure:
        inside.delete(there.ready, NOWHERE, "nothing")
    with pytest.raises(DeletionsRefused) as refused:
        door.delete(there.ready, NOWHERE, "nothing")

    assert refused.value.to_json() == measure.value.to_json()
    assert {one["snapshot"] for one in refused.value.to_json()["evidence"]["refusals"]} == {
        NOWHERE,
        "nothing",
    }
    assert counts(world) == before
