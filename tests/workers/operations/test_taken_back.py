"""QEMU, its host or the worker die while a cut that the daemon forgot is taken back: what is below is half merged then."""

from contextlib import suppress

import pytest

from stillframe.states import VmState
from tests.workers.fake_world import Death, Job, World
from tests.workers.nothing_is_lost.hurt import TWO, die_at
from workers.carry import End
from workers.operations import merging
from workers.operations.cutting import layers_of

#: No film has as many.
_POINTS = 200
#: Points before the definition names the layers.
_UNSEEN = 10


def _begun() -> tuple[World, Job]:
    """A job whose cut QEMU has made and the daemon has forgotten; the guest wrote to both volumes since."""
    world = World(TWO)
    _write(world, 1)
    job = world.create("s1", "hot")
    die_at(world, job, "before cut")
    with world.guest.daemon_forgets():
        world.host.vm(world.guest.uuid).cut(layers_of(job.work()), None, False, lambda *_: None)
    world.host.reconnect(1)
    _write(world, 2)
    world.machine.mortality.forget()
    return world, job


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("worker_too", [False, True])
@pytest.mark.parametrize("boots", [False, True])
def test_qemu_dies(cancelled: bool, worker_too: bool, boots: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whatever point, and whether or not it is started at once by others: nothing is lost, and nothing is mixed.

    Started before anybody saw that its cut had been forgotten, it is what it was then, and what it wrote since is kept.
    """
    monkeypatch.setattr(merging, "POLL_S", 0.0)
    for at in range(_POINTS):
        world, job = _begun()
        if cancelled:
            job.cancel()

        wrote = list[int]()

        def happens(world: World = world, wrote: list[int] = wrote) -> None:
            world.guest.crash()
            if boots:
                world.guest.boot()
                wrote.append(world.guest.counter)

        world.machine.mortality.happens[at] = happens
        world.machine.mortality.dies_at = at if worker_too else None
        _run_to_the_end(world, job)
        if world.machine.mortality.happens:
            break
        if wrote == [1]:
            assert at < _UNSEEN
            world.host.reconnect(1)
            assert {world.guest.read(key, target) for key in ("first", "last") for target in TWO} == {1}, at
            assert {world.machine.read_back(path)["last"] for path in _left(world)} == {2}, at
        else:
            _is_whole(world, at)
    assert 10 < at < _POINTS - 1


@pytest.mark.parametrize("cancelled", [False, True])
def test_the_worker_dies_and_qemu_later(cancelled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest goes on where it is, and QEMU dies before the next attempt, in it, or not at all."""
    monkeypatch.setattr(merging, "POLL_S", 0.0)
    for at in range(_POINTS):
        for later in (None, 0, 4, 8):
            world, job = _begun()
            if cancelled:
                job.cancel()
            world.machine.mortality.dies_at = at
            try:
                job.run()
                break
            except Death:
                world.machine.mortality.forget()
            if world.facts().state == VmState.RUNNING:
                _write(world, 3)
            if later is not None:
                world.machine.mortality.happens[later] = world.guest.crash
            _run_to_the_end(world, job)
            _is_whole(world, at)
        else:
            continue
        break
    assert 10 < at < _POINTS - 1


@pytest.mark.parametrize("cancelled", [False, True])
def test_qemu_dies_as_the_definition_names_its_layers(
    cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started on them at once, it is started on them the next time as well, whatever becomes of the worker."""
    monkeypatch.setattr(merging, "POLL_S", 0.0)
    started = 0
    for at in range(_UNSEEN):
        for later in range(5):
            world, job = _begun()
            if cancelled:
                job.cancel()
            wrote = list[int]()

            def happens(world: World = world, wrote: list[int] = wrote) -> None:
                world.guest.crash()
                world.guest.boot()
                wrote.append(world.guest.counter)

            world.machine.mortality.happens[at] = happens
            world.machine.mortality.dies_at = at + later
            with suppress(Death):
                job.run()
            world.machine.mortality.forget()
            if wrote == [2]:
                started += 1
                _write(world, 3)
                world.guest.crash()
                world.guest.boot()
                assert world.guest.counter == 3, (at, later)
                _run_to_the_end(world, job)
                _is_whole(world, (at, later))
    assert started


def _run_to_the_end(world: World, job: Job) -> None:
    """Attempt after attempt, until there is an end; never one in which somebody has to help."""
    try:
        ending = job.run()
    except Death:
        world.machine.mortality.dies_at = None
        ending = job.run()
    assert ending.end in {End.SUCCEEDED, End.FAILED, End.CANCELLED}, ending.error


def _is_whole(world: World, at: object) -> None:
    """The VM boots with all that was written, a snapshot is of one instant, and nothing is left half merged."""
    world.host.reconnect(1)
    world.guest.crash()
    world.guest.boot()
    last = world.guest.counter
    found = {(world.guest.read("first", target), world.guest.read("last", target)) for target in TWO}
    assert (found, last >= 2) == ({(last, last)}, True), at
    for frozen in world.tree().frozen.values():
        instant = {(read["first"], read["last"]) for read in map(world.machine.read_back, frozen.values())}
        assert instant in [{(number, number)} for number in range(1, last + 1)], at
    assert not world.tree().half_merged, at


def _write(world: World, number: int) -> None:
    """The guest writes this twice to each of its volumes."""
    while world.guest.counter < number:
        world.guest.tick()
    for target in TWO:
        for key in ("first", "last"):
            world.guest.write(key, number, target)


def _left(world: World) -> set[str]:
    found = {path for path in world.files() if path.endswith((".left", ".qcow2"))}
    return {path for path in found if path.startswith(f"/images/vm1/stillframe/{world.guest.uuid}")}
