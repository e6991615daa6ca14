"""A host that is rebooted in the middle of a job: libvirt-guests puts the RAM of its VMs aside, and brings it back afterwards."""

import pytest

from stillframe.states import VmState
from tests.workers.fake_world import World, ok
from tests.workers.nothing_is_lost.hurt import die_at
from workers import carry
from workers.carry import End


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes in ten minutes is not waited for."""
    monkeypatch.setattr(carry, "PATIENCE_S", 0.0)


def _bring_back(world: World) -> None:
    """`virsh start`: the RAM comes back, on the images that it was saved on."""
    with world.machine.world() as inside:
        row = inside.vms[str(world.guest.uuid)]
        row.live, row.saved, row.managed_save = row.saved, None, False
        row.state, row.reason, row.ram = VmState.RUNNING, "restored", {"counter": 100}


@pytest.mark.parametrize("point", ["after finish of plan_collection", "before start_commit"])
def test_nothing_is_merged_under_ram_that_was_put_aside(point: str) -> None:
    """A delete waits until the VM is on again: brought back on a merged layer, its next boot would be without what it wrote."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    job = world.delete("s1")
    die_at(world, job, point)
    world.guest.managed_save()
    assert job.run().end is End.STUCK

    _bring_back(world)
    world.guest.write("note", "mine")
    ok(job.run())

    world.guest.shut_down()
    world.guest.boot()
    assert world.guest.read("note") == "mine"


def test_a_branch_that_the_vm_does_not_stand_on_is_merged_all_the_same() -> None:
    """The RAM that was put aside does not need it."""
    world = World()
    for name in ("s1", "s2", "s3"):
        world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    ok(world.revert("s1").to_the_end())
    job = world.delete("s2")
    die_at(world, job, "after finish of plan_collection")
    world.guest.managed_save()
    ok(job.run())


def test_no_layer_is_put_under_ram_that_was_put_aside() -> None:
    """A creation is refused then: brought back, the VM would write to the layer that the snapshot froze."""
    world = World()
    world.guest.tick()
    job = world.create("s1", "hot")
    die_at(world, job, "before cut")
    world.guest.managed_save()

    ending = job.run()

    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "vm.managed_save")
    _bring_back(world)
    world.guest.write("note", "mine")
    world.guest.shut_down()
    world.guest.boot()
    assert world.guest.read("note") == "mine"


@pytest.mark.parametrize("kind", ["hot", "memory"])
def test_a_revert_gives_up_ram_that_was_put_aside(kind: str) -> None:
    """Otherwise the VM's next start would bring back the state that was given up."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", kind).to_the_end())
    job = world.revert("s1", "stop" if kind == "hot" else "keep")
    die_at(world, job, "after finish of switch_definition")
    world.guest.managed_save()

    ok(job.run())

    assert not world.facts().managed_save
