"""Reverts that are refused, walked back or cancelled leave the VM on what it writes to."""

from hypervisor.fake_world import FakeFile
from hypervisor.port import Source
from stillframe.errors import VmBusy
from stillframe.states import VmState
from tests.workers.fake_world import World, ok
from tests.workers.nothing_is_lost.hurt import cancelled_with, die_at
from workers.carry import End


def test_a_uefi_vm_that_never_ran_can_be_reverted() -> None:
    """A snapshot taken before there was any NVRAM does not ask for a copy of it."""
    world = World(nvram=True, state=VmState.OFF)
    with world.machine.world() as inside:
        del inside.files["/images/vm1/nvram.fd"]
    ok(world.create("s1", "cold").to_the_end())
    with world.machine.world() as inside:
        inside.files["/images/vm1/nvram.fd"] = FakeFile("text", text="variables")
    world.guest.boot()
    ending = world.revert("s1").to_the_end()
    assert ending.end is not End.STUCK, (ending.error, world.facts().state)
    assert world.facts().state == VmState.RUNNING


def test_a_revert_whose_other_disk_is_missing_is_refused_before_the_vm_is_stopped() -> None:
    """The ISO that was in the drive when the snapshot was taken has been deleted since."""
    world = World()
    vm = world.host.vm(world.guest.uuid)
    world.guest.shut_down()
    with world.machine.world() as inside:
        inside.files["/iso/x.iso"] = FakeFile("image")
    cd = (
        "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='/iso/x.iso'/>"
        "<target dev='sda' bus='sata'/><readonly/></disk></devices>"
    )
    bare = vm.definition()
    vm.define(bare.replace("</devices>", cd), {})
    world.guest.boot()
    ok(world.create("s1", "hot").to_the_end())
    head = world.tree().heads["vda"]
    world.guest.shut_down()
    vm.define(bare, {"vda": Source(head, "qcow2")})
    with world.machine.world() as inside:
        del inside.files["/iso/x.iso"]
    world.guest.boot()

    ending = world.revert("s1").to_the_end()

    assert (ending.end, world.facts().state) == (End.FAILED, VmState.RUNNING), ending.error


def test_a_restore_that_goes_on_without_its_worker_is_waited_for() -> None:
    """Libvirt goes on with a restore whose worker died: the next attempt waits for its end before it does anything."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "memory").to_the_end())
    job = world.revert("s1")
    die_at(world, job, "after finish of stop_vm")
    world.machine.calls.clear()
    world.machine.fail_next("await_turn", VmBusy(vm="vm1", detail="a restore goes on"))

    ok(job.run())

    assert world.machine.calls.index("await_turn") < world.machine.calls.index("restore")


def test_a_revert_that_is_walked_back_leaves_a_vm_that_was_started_meanwhile_its_head() -> None:
    """Somebody starts the VM while its definition names the new layer, and the job is cancelled: it stays under it."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.shut_down()
    job = world.revert("s1")
    die_at(world, job, "after define")
    world.guest.boot()
    job.cancel()
    assert job.run().end is End.CANCELLED
    assert world.host.images.exists(world.facts().volumes[0].path)


def test_a_vm_started_in_the_middle_of_a_revert_that_is_cancelled_stays_on_what_it_writes_to() -> None:
    """Off, its definition already names the snapshot's heads, somebody boots it and works; then the revert is cancelled."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.shut_down()
    job = world.revert("s1")
    cancelled_with(job, "switch_definition")
    die_at(world, job, "before finish of switch_definition")
    world.guest.boot()
    world.guest.write("note", "mine")
    ending = job.run()
    assert ending.end is End.CANCELLED, (ending.end, ending.error)
    assert world.guest.read("note") == "mine"
    world.guest.shut_down()
    world.guest.boot()
    assert world.guest.read("note") == "mine", "its next start was on other images"
