"""QEMU dies about the instant in which a VM changes over from the layer that is merged to its base."""

from dataclasses import replace

import pytest

from hypervisor import fake_vm
from hypervisor.port import BlockJob
from stillframe.errors import HostLost, HypervisorFailed
from stillframe.states import VmState
from tests.workers.fake_world import World, ok
from workers.carry import End

SECOND_NS = 1_000_000_000


@pytest.mark.parametrize("had_pivoted", [True, False])
@pytest.mark.parametrize("cancelled", [False, True])
def test_the_daemon_and_then_qemu_die_in_a_pivot(
    had_pivoted: bool, cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The VM goes on on the image that its guest wrote to last, whatever the definition says; no old data goes over it."""
    world = World()
    for name in ("s1", "s2"):
        world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    world.guest.tick()
    job, real = world.delete("s2"), fake_vm.FakeVm.pivot

    def pivot(self: fake_vm.FakeVm, target: str) -> None:
        if had_pivoted:
            with world.guest.daemon_forgets():
                real(self, target)
        world.guest.tick()
        world.guest.crash()
        if cancelled:
            job.cancel()
        raise HostLost(detail="End of file while reading data")

    monkeypatch.setattr(fake_vm.FakeVm, "pivot", pivot)
    job.to_the_end()
    world.host.reconnect(1)
    world.guest.boot()
    assert world.guest.counter == 4
    assert world.counter_in("s1") == 1


def _burst(world: World, after_ns: int) -> None:
    """The guest writes faster than QEMU mirrors: of what is in the top, half comes to the base, and 3 s later; QEMU dies."""
    with world.machine.world() as inside:
        inside.clock += after_ns
        (job,) = inside.vms[str(world.guest.uuid)].jobs.values()
    world.guest.write("a", 1)
    world.guest.write("b", 1)
    with world.machine.world() as inside:
        inside.write(job.base, {"a": 1}, 3 * SECOND_NS)
    world.guest.crash()


def _about_to_merge() -> World:
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    return world


@pytest.mark.parametrize("after_ns", [0, SECOND_NS])
def test_a_mirror_that_lagged_is_no_pivot(after_ns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU dies while the pivot waits for what it has not mirrored yet; libvirt saw it: what only the top has goes down."""
    world, first, real = _about_to_merge(), [True], fake_vm.FakeVm.pivot

    def pivot(self: fake_vm.FakeVm, target: str) -> None:
        if not first:
            return real(self, target)
        first.clear()
        _burst(world, after_ns)
        raise HypervisorFailed(detail="Requested operation is not valid: domain is not running")

    monkeypatch.setattr(fake_vm.FakeVm, "pivot", pivot)
    ok(world.delete("s1").to_the_end())
    world.guest.boot()
    assert (world.guest.read("a"), world.guest.read("b")) == (1, 1)


def test_where_nobody_can_tell_nothing_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon died too, and both images were written to after the pivot was asked for: the job says so, both stay."""
    world = _about_to_merge()

    def pivot(_self: fake_vm.FakeVm, _target: str) -> None:
        _burst(world, SECOND_NS)
        raise HostLost(detail="End of file while reading data")

    monkeypatch.setattr(fake_vm.FakeVm, "pivot", pivot)
    ending = world.delete("s1").to_the_end()
    assert ending.end is End.STUCK
    assert ending.error is not None
    assert "cannot be told" in ending.error["detail"]
    world.host.reconnect(1)
    world.guest.boot()
    assert (world.guest.read("a"), world.guest.read("b")) == (1, 1)


def test_a_pivot_is_asked_for_when_the_base_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror that is ready lags for a while; a QEMU that died in a pivot asked for then would be taken for one that did."""
    world, lags = _about_to_merge(), [1] * 9
    real_pivot, real_look = fake_vm.FakeVm.pivot, fake_vm.FakeVm.block_job

    def block_job(self: fake_vm.FakeVm, target: str) -> BlockJob | None:
        found = real_look(self, target)
        return replace(found, done=found.total - lags.pop()) if lags and found and found.ready else found

    def pivot(self: fake_vm.FakeVm, target: str) -> None:
        if not lags:
            return real_pivot(self, target)
        _burst(world, 0)
        raise HostLost(detail="End of file while reading data")

    monkeypatch.setattr(fake_vm.FakeVm, "block_job", block_job)
    monkeypatch.setattr(fake_vm.FakeVm, "pivot", pivot)
    ok(world.delete("s1").to_the_end())
    assert (world.facts().state, world.guest.counter) == (VmState.RUNNING, 2)
    assert not [path for path in world.files() if path.endswith(".merging.json")]


def test_a_pivot_that_comes_after_its_answer_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU does as it was asked only when the next attempt looks, the guest goes on below, and QEMU dies: that counts."""
    world = _about_to_merge()
    asked, real_pivot, real_look = list[str](), fake_vm.FakeVm.pivot, fake_vm.FakeVm.block_job

    def pivot(self: fake_vm.FakeVm, target: str) -> None:
        asked.append(target)
        raise HostLost(detail="End of file while reading data")

    def block_job(self: fake_vm.FakeVm, target: str) -> BlockJob | None:
        if asked and self.facts().state is VmState.RUNNING:
            with world.guest.daemon_forgets():
                real_pivot(self, target)
            with world.machine.world() as inside:
                inside.clock += 3 * SECOND_NS
            world.guest.tick()
            world.guest.crash()
        return real_look(self, target)

    monkeypatch.setattr(fake_vm.FakeVm, "pivot", pivot)
    monkeypatch.setattr(fake_vm.FakeVm, "block_job", block_job)
    job = world.delete("s1")
    job.to_the_end()
    assert asked == ["vda"]
    world.host.reconnect(1)
    world.guest.boot()
    assert world.guest.counter == 3
