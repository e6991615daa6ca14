"""A base that a merge was stopped in: nobody uses it alone, and the deletion asked for again makes it whole."""

from collections.abc import Callable

import pytest

from hypervisor.port import Source
from stillframe.errors import Cancelled
from tests.workers.fake_world import Job, World, ok
from workers import marks
from workers.carry import End
from workers.operations import merging


@pytest.fixture
def world() -> World:
    """s1, then s2, whose deletion was stopped while its layer took up what the guest wrote since."""
    world = World()
    for name in ("s1", "s2"):
        world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    world.guest.tick()
    return world


def _stopped(world: World) -> tuple[str, str]:
    base, top = world.tree().frozen[world.ids["s2"]]["vda"], world.tree().heads["vda"]
    world.machine.fail_next("start_commit", Cancelled(), after=True)
    assert world.delete("s2").to_the_end().end is End.CANCELLED
    return base, top


def test_a_stopped_merge_leaves_its_mark_and_no_block_job(world: World) -> None:
    """The guest and the other snapshot read as before; the tree knows which layer is half merged."""
    counter = world.guest.counter
    base, top = _stopped(world)
    assert world.tree().half_merged == {base: frozenset({top})}
    assert world.host.vm(world.guest.uuid).block_job("vda") is None
    assert (world.guest.read("counter"), world.counter_in("s1")) == (counter, 1)


@pytest.mark.parametrize(
    "ask", [World.create, World.revert, World.delete], ids=["create", "revert", "delete"]
)
def test_a_vm_that_stands_on_it_alone_is_not_touched(world: World, ask: Callable[[World, str], Job]) -> None:
    """Somebody pointed the definition at the base: nothing is cut, reverted or merged, and the top stays."""
    base, top = _stopped(world)
    world.guest.shut_down()
    vm = world.host.vm(world.guest.uuid)
    vm.define(vm.definition(), {"vda": Source(base, "qcow2")})
    name = {"create": "s3", "revert": "s1", "delete": "s2"}[ask.__name__]
    ending = ask(world, name).to_the_end()
    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "layer.half_merged")
    assert world.host.images.exists(top)


@pytest.mark.parametrize("ask", [World.revert, World.extract], ids=["revert", "extract"])
def test_a_snapshot_that_names_it_alone_is_neither_reverted_to_nor_copied(
    world: World, ask: Callable[[World, str], Job]
) -> None:
    """A manifest from elsewhere names the base: what it would read never was."""
    _, top = _stopped(world)
    marks.write(world.host.images, marks.Mark(world.tree().frozen[world.ids["s1"]]["vda"], top, "x"))
    ending = ask(world, "s1").to_the_end()
    assert (ending.error or {})["code"] == "layer.half_merged"


def test_deleting_again_ends_it(world: World) -> None:
    """No mark, no layer too many, and everybody reads what was written."""
    base, top = _stopped(world)
    counter = world.guest.tick()
    ok(world.delete("s2").to_the_end())
    assert not [path for path in world.files() if path.endswith(".merging.json")]
    assert world.tree().heads == {"vda": base}
    assert not world.host.images.exists(top)
    assert (world.guest.read("counter"), world.counter_in("s1")) == (counter, 1)


def test_a_merge_that_qemu_ended_before_it_died_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the head it ends by itself: cancelled and QEMU killed at whatever points, the deletion can be asked for again."""
    monkeypatch.setattr(merging, "POLL_S", 0.0)
    for cancelled in range(12, 22):
        for killed in range(cancelled, 24):
            world = World()
            for name in ("s1", "s2"):
                world.guest.tick()
                ok(world.create(name, "hot").to_the_end())
            job = world.delete("s1")
            world.machine.mortality.forget()
            world.machine.mortality.happens = {killed: world.guest.crash} | {cancelled: job.cancel}
            job.run()
            if world.folder(world.ids["s1"]):
                ok(world.delete("s1").to_the_end())
            assert (world.counter_in("s2"), world.guest.read("counter")) == (2, 2)
            assert not [path for path in world.files() if path.endswith(".merging.json")]
