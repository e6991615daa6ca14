"""A cut that QEMU made and the daemon did not live to note: nothing that the guest wrote since is lost."""

from collections.abc import Callable
from typing import Any

import pytest

from hypervisor import fake_vm
from hypervisor.port import CutFacts
from stillframe.errors import HostLost
from tests.workers.fake_world import Death, Job, World, ok
from tests.workers.nothing_is_lost.hurt import TWO, die_at
from workers import marks
from workers.carry import End
from workers.operations import merging


def _forget_the_first_cut(
    world: World, monkeypatch: pytest.MonkeyPatch, then: Callable[[], object], ticks: int = 1
) -> None:
    """The daemon dies before it has noted the first cut that QEMU makes, and the guest goes on."""
    real, first = fake_vm.FakeVm.cut, [True]

    def cut(self: fake_vm.FakeVm, *words: Any) -> CutFacts:
        if not first:
            return real(self, *words)
        first.clear()
        with world.guest.daemon_forgets():
            real(self, *words)
        for _ in range(ticks):
            world.guest.tick()
        then()
        raise HostLost(detail="End of file while reading data")

    monkeypatch.setattr(fake_vm.FakeVm, "cut", cut)


@pytest.mark.parametrize("kind", ["hot", "memory"])
def test_a_cut_that_the_daemon_forgot_is_made_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU writes to a layer that libvirt knows nothing of: what is in it goes down, and the snapshot is taken then."""
    world = World(TWO)
    world.guest.tick()
    _forget_the_first_cut(world, monkeypatch, lambda: None)
    ok(world.create("s1", kind).to_the_end())
    frozen = world.tree().frozen[world.ids["s1"]]
    counter = world.guest.counter
    assert {world.machine.read_back(path)["counter"] for path in frozen.values()} == {counter}
    world.guest.crash()
    world.guest.boot()
    assert world.guest.counter == counter


def test_the_layer_of_a_cut_that_the_daemon_forgot_is_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled before anybody noticed: what the guest wrote since is in the image that libvirt names."""
    world = World(TWO)
    world.guest.tick()
    job = world.create("s1", "hot")
    _forget_the_first_cut(world, monkeypatch, job.cancel)
    job.to_the_end()
    counter = world.guest.counter
    world.guest.crash()
    world.guest.boot()
    assert world.guest.counter == counter
    assert _layers(world) == set()


@pytest.mark.parametrize("kind", ["hot", "memory"])
def test_when_qemu_died_too_the_vm_goes_on_where_its_guest_wrote_last(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images tell that the VM was cut: the snapshot is of that instant, and the VM starts on its layers."""
    world = World(TWO)
    counter = world.guest.tick()
    _forget_the_first_cut(world, monkeypatch, world.guest.crash)
    ok(world.create("s1", kind).to_the_end())
    world.host.reconnect(1)
    assert {world.counter_in("s1", target) for target in TWO} == {counter}
    world.guest.boot()
    assert world.guest.counter == counter + 1


def test_when_qemu_died_too_and_the_job_was_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the guest wrote to the layers goes down before they are removed."""
    world = World(TWO)
    world.guest.tick()
    job = world.create("s1", "hot")

    def then() -> None:
        job.cancel()
        world.guest.crash()

    _forget_the_first_cut(world, monkeypatch, then)
    job.to_the_end()
    world.guest.boot()
    assert world.guest.counter == 2
    assert _layers(world) == set()


@pytest.mark.parametrize("is_on", [True, False])
def test_a_vm_that_was_started_without_its_layers_since(is_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can bring the two together: the job says so, the layers stay, and the VM is not touched. It can be asked again."""
    world = World(TWO)
    world.guest.tick()

    def then() -> None:
        world.guest.crash()
        world.guest.boot()
        world.guest.write("key", "written below")
        if not is_on:
            world.guest.crash()

    heads = world.tree().heads
    _forget_the_first_cut(world, monkeypatch, then)
    ending = world.create("s1", "hot").to_the_end()
    world.host.reconnect(1)
    assert (ending.end, ending.error and ending.error["code"]) == (End.FAILED, "vm.cut_forgotten")
    left = _layers(world)
    assert {world.machine.read_back(path)["counter"] for path in left} == {2}
    assert world.tree().heads == heads
    ok(world.create("s2").to_the_end())
    ok(world.delete("s2").to_the_end())
    assert _layers(world) >= left
    if not is_on:
        world.guest.boot()
    assert world.guest.read("key") == "written below"


def test_a_guest_that_wrote_nothing_since_has_lost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers that are empty are taken as they are for the next try, on whatever the VM runs by then."""
    world = World(TWO)
    counter = world.guest.tick()

    def then() -> None:
        world.guest.crash()
        world.guest.boot()

    _forget_the_first_cut(world, monkeypatch, then, ticks=0)
    ok(world.create("s1", "hot").to_the_end())
    world.host.reconnect(1)
    assert world.counter_in("s1") == counter == world.guest.counter


@pytest.mark.parametrize("was_started", [False, True])
@pytest.mark.parametrize("cancelled", [False, True])
def test_dies_anywhere_after_that(
    cancelled: bool, was_started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds it may die at any point: what the guest wrote is there to boot from, or stays where it is."""
    at, tried, died = 0, 0, True
    while died:
        world, then = World(TWO), list[str]()
        world.guest.tick()
        job = world.create("s1", "hot")

        def happens(world: World = world, job: Job = job, then: list[str] = then) -> None:
            then.append("the guest wrote")
            world.guest.crash()
            if was_started:
                world.guest.boot()
                world.guest.write("key", "written below")
            if cancelled:
                job.cancel()

        with monkeypatch.context() as patch:
            _forget_the_first_cut(world, patch, happens)
            world.machine.mortality.dies_at = at
            try:
                job.run()
                died = False
            except Death:
                world.machine.mortality.dies_at = None
                job.run()
        world.host.reconnect(1)
        if then and was_started:
            assert {world.machine.read_back(path)["counter"] for path in _layers(world)} == {2}, at
            assert world.guest.read("key") == "written below", at
        elif then:
            world.guest.boot()
            assert world.guest.counter == 2, at
        at, tried = at + 1, tried + bool(then)
    assert tried > 10


def test_a_layer_whose_merge_was_not_over_is_not_lost() -> None:
    """An undo died while it merged, and somebody put the old definition back: what is nowhere else is brought down."""
    world, job, put_old_back = _cut_and_not_told()
    (top,) = (volume.path for volume in world.facts().volumes)
    marks.write(world.host.images, marks.Mark("/images/vm1/vda.qcow2", top, str(job.id)))
    world.guest.shut_down()
    put_old_back()
    job.cancel()
    job.run()
    world.guest.boot()
    assert (world.guest.counter, _layers(world)) == (2, set())


def test_a_layer_of_which_a_part_went_down_is_neither_removed_nor_renamed() -> None:
    """An undo died in the middle of its merge, and somebody put the old definition back: the job is stuck, the mark stays."""
    world, job, put_old_back = _cut_and_not_told()
    world.guest.write("journal", "new")
    (top,) = (volume.path for volume in world.facts().volumes)
    world.guest.shut_down()
    marks.write(world.host.images, marks.Mark("/images/vm1/vda.qcow2", top, str(job.id)))
    with world.machine.world() as inside:
        inside.write("/images/vm1/vda.qcow2", {"journal": "new"})
    put_old_back()
    job.cancel()
    ending = job.run()
    assert (ending.end, (ending.error or {})["code"]) == (End.STUCK, "layer.half_merged")
    assert world.machine.read_back(top) == {"counter": 2, "journal": "new"}
    assert marks.read(world.host.images, top) is not None


def test_a_layer_that_was_written_to_after_its_data_was_down_is_not_removed() -> None:
    """An undo died before the VM stood below; it was started on the layer, stopped, and an old definition was put back."""
    world, job, put_old_back = _cut_and_not_told()
    world.guest.shut_down()
    job.cancel()
    die_at(world, job, "before define")
    world.guest.boot()
    world.guest.tick()
    world.guest.shut_down()
    put_old_back()
    job.run()
    world.guest.boot()
    assert (world.guest.counter, _layers(world)) == (3, set())


def test_a_volume_whose_layer_is_merged_already_does_not_go_on_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back while running, the worker dies between two volumes, and somebody puts the old definition back: it boots."""
    monkeypatch.setattr(merging, "POLL_S", 0.0)
    at, died, tried = 0, True, 0
    while died:
        world, job, put_old_back = _cut_and_not_told(TWO)
        job.cancel()
        world.machine.mortality.forget()
        world.machine.mortality.dies_at = at
        try:
            job.run()
            died = False
        except Death:
            world.machine.mortality.dies_at = None
        removed = len(_layers(world)) == 1
        world.guest.write("last", at, "vdb")
        world.guest.shut_down()
        if removed:
            put_old_back()
            job.run()
            tried += 1
        world.guest.boot()
        assert (world.guest.read("last", "vdb"), world.guest.counter) == (at, 2), at
        at += 1
    assert tried > 2


def _cut_and_not_told(volumes: dict[str, str] | None = None) -> tuple[World, Job, Callable[[], None]]:
    """The worker died right after the cut, and the guest wrote to its layers; and how somebody puts the old definition back."""
    world = World(volumes)
    vm = world.host.vm(world.guest.uuid)
    old = vm.definition()
    world.guest.tick()
    job = world.create("s1", "hot")
    die_at(world, job, "before finish of cut")
    world.guest.tick()
    return world, job, lambda: vm.define(old, {})


def _layers(world: World) -> set[str]:
    home = f"/images/vm1/stillframe/{world.guest.uuid}"
    return {path for path in world.host.images.listing(home) if path.endswith((".qcow2", ".left"))}
