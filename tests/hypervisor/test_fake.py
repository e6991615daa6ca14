"""What the fake machine adds to the port: failures on request, a state that others share, many hands at once."""

import threading
from pathlib import Path
from uuid import uuid4

import pytest

from hypervisor.fake import FakeHost, FakeMachine
from hypervisor.fake_guest import GuestStandsStill
from hypervisor.port import Source
from stillframe.errors import HypervisorFailed
from stillframe.states import VmState


def quiet(_done: int, _total: int) -> None:
    """Wants nothing."""


def layer(host: FakeHost, below: str, name: str = "layer") -> dict[str, Source]:
    path = f"/images/layers/{name}.qcow2"
    host.images.create_layer(path, Source(below, "qcow2"), 64 << 20)
    return {"vda": Source(path, "qcow2")}


@pytest.mark.parametrize("after", [False, True])
def test_call_fails_as_asked(after: bool) -> None:
    """A call can be made to fail without having done anything, or having done it all the same; only once."""
    machine = FakeMachine()
    guest = machine.create_vm("web")
    host = FakeHost(machine)
    vm = host.vm(guest.uuid)
    layers = layer(host, "/images/web/vda.qcow2")
    machine.fail_next("cut", HypervisorFailed(detail="no"), after=after)
    with pytest.raises(HypervisorFailed):
        vm.cut(layers, None, False, quiet)
    assert (vm.facts().volumes[0].path == layers["vda"].path) is after
    if not after:
        vm.cut(layers, None, False, quiet)
    assert vm.facts().volumes[0].path == layers["vda"].path


def test_merge_changes_every_branch_that_stands_on_the_base() -> None:
    """What is committed into a base is read by all its children, as on a real machine: nobody warns."""
    machine = FakeMachine()
    guest = machine.create_vm("web")
    host = FakeHost(machine)
    guest.write("color", "red")
    guest.shut_down()
    one = layer(host, "/images/web/vda.qcow2", "one")["vda"].path
    other = layer(host, "/images/web/vda.qcow2", "other")["vda"].path
    with machine.world() as world:
        world.image(one).content["color"] = "blue"
    assert machine.read_back(other)["color"] == "red"
    host.images.commit(one, "/images/web/vda.qcow2", quiet)
    assert machine.read_back(other)["color"] == "blue"


def test_guest_that_stands_still_writes_nothing() -> None:
    """A paused, frozen or stopped guest does not tick."""
    guest = FakeMachine().create_vm("web")
    for standstill in ({"state": VmState.PAUSED}, {"state": VmState.RUNNING, "frozen": True}):
        guest.change(**standstill)
        with pytest.raises(GuestStandsStill):
            guest.tick()
    guest.shut_down()
    with pytest.raises(GuestStandsStill):
        guest.tick()


def test_state_in_a_folder_is_shared(tmp_path: Path) -> None:
    """Two machines on one folder, as in two processes, are the same machine."""
    ours, theirs = FakeMachine(tmp_path), FakeMachine(tmp_path)
    guest = ours.create_vm("web", {"vda": "qcow2", "vdb": "raw"}, nvram=True, uuid=uuid4())
    host = FakeHost(theirs)
    vm = host.vm(guest.uuid)
    guest.tick()
    frozen = vm.facts().volumes[0].path
    vm.cut(layer(host, frozen), "/images/layers/memory", False, quiet)
    guest.tick()
    vm.start_commit("vda", vm.live_chain("vda")[0], frozen)
    assert FakeMachine(tmp_path).read_back(frozen)["counter"] == 2
    assert theirs.guest(guest.uuid).boot_id == guest.boot_id
    assert FakeHost(ours).vm(guest.uuid).block_job("vda") is not None


def test_vm_that_cannot_be_read_hides_no_other() -> None:
    """A VM whose definition cannot be read is told as such among the others."""
    machine = FakeMachine()
    broken, whole = machine.create_vm("broken"), machine.create_vm("whole")
    broken.change(unreadable="cannot understand the definition")
    found = {vm.uuid: vm for vm in FakeHost(machine).vms()}
    assert found[broken.uuid].unreadable is not None
    assert (found[broken.uuid].name, found[broken.uuid].volumes) == ("broken", ())
    assert found[whole.uuid].unreadable is None
    with pytest.raises(HypervisorFailed):
        FakeHost(machine).vm(broken.uuid).facts()


def test_aliases_reach_over_processes(tmp_path: Path) -> None:
    """Another name of a folder leads to the same files, for reading, writing and removing, wherever it is asked."""
    FakeMachine(tmp_path).alias("/link", "/images")
    images, others = FakeHost(FakeMachine(tmp_path)).images, FakeHost(FakeMachine(tmp_path)).images
    images.write_text("/link/a/text", "text")
    assert others.read_text("/images/a/text") == "text"
    assert others.listing("/link") == ("/link/a",)
    assert others.identity("/link/a/text") == others.identity("/images/a/text") == "/images/a/text"
    others.rename("/link/a", "/link/b")
    others.remove("/link/b")
    assert not images.exists("/images/b")


def test_many_hands_at_once(tmp_path: Path) -> None:
    """Threads with connections of their own lose nothing of each other's work."""
    machine = FakeMachine(tmp_path)
    guest = machine.create_vm("web")

    def write(number: int) -> None:
        for turn in range(20):
            FakeHost(machine).images.write_text(f"/images/{number}/{turn}", "text")
            guest.write(f"{number}-{turn}", turn)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(machine.read_back("/images/web/vda.qcow2")) == 80
    assert all(len(FakeHost(machine).images.listing(f"/images/{number}")) == 20 for number in range(4))
