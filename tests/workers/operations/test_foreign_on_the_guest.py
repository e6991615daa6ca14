"""Snapshots that libvirt made itself, on a real guest: used while it writes, judged by its boot id, counter and files."""

import threading
import time
from collections.abc import Iterator
from itertools import count

import libvirt
import pytest

from hypervisor.libvirt_host import LibvirtHost
from hypervisor.port import ForeignSnapshot
from lab import Lab, Tick, readback
from stillframe.operations import CreateSnapshot, DeleteSnapshot, ExtractVolume, Operation, RevertSnapshot
from stillframe.states import VmState
from tests.workers.real_world import BLOCK_FOLDER, RealWorld
from workers.carry import End, Ending
from workers.reading import read_vm

pytestmark = pytest.mark.qemu

REVERT, DELETE = RevertSnapshot(snapshot_id="x"), DeleteSnapshot(snapshot_id="x")
EXTERNAL = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
_numbers = count()


@pytest.fixture
def world(machine: Lab, host: LibvirtHost) -> Iterator[RealWorld]:
    """A ticking guest with two qcow2 volumes."""
    guest = machine.create_guest(f"foreign-{next(_numbers)}", ("qcow2", "qcow2"))
    try:
        guest.wait_tick()
        yield RealWorld(machine, guest, host)
    finally:
        guest.remove()


def virsh(world: RealWorld, name: str, flags: int = 0) -> tuple[Tick, Tick]:
    """A snapshot as virsh makes it; the last tick before it and the first one after."""
    before = world.guest.wait_tick()
    world.guest.domain.snapshotCreateXML(f"<domainsnapshot><name>{name}</name></domainsnapshot>", flags)
    return before, world.guest.wait_tick(after=world.guest.wait_tick().counter)


def of(world: RealWorld, name: str) -> ForeignSnapshot:
    """What the host says of it."""
    found: ForeignSnapshot = next(one for one in world.facts().foreign_snapshots if one.name == name)
    return found


def do(world: RealWorld, operation: Operation, name: str) -> Ending:
    """A job about it."""
    one = of(world, name)
    return world.run(operation, world.uuid, {"name": one.name, "created_at": one.created_at})


def go_on(world: RealWorld, ticks: int = 6) -> Tick:
    """The guest counts on for a while."""
    tick = world.guest.wait_tick()
    return world.guest.wait_tick(after=tick.counter + ticks)


def test_an_internal_snapshot_is_used_from_beginning_to_end(world: RealWorld) -> None:
    """Extracted while the guest writes, reverted to twice, deleted: the data is that of then, the boot the same."""
    before, after = virsh(world, "by virsh, 한글")
    seen = read_vm(world.host.images, world.facts(), BLOCK_FOLDER).foreign
    assert seen is not None
    assert [(one.name, one.kind, dict(one.cannot)) for one in seen] == [("by virsh, 한글", "internal", {})]
    later = go_on(world)

    for target in ("vda", "vdb"):
        assert do(world, ExtractVolume(snapshot_id="x", target=target), "by virsh, 한글").end is End.SUCCEEDED
        facts = world.outputs["sum_up"]
        counter, boot = readback.counter(facts["path"], "qcow2")
        assert before.counter <= counter <= after.counter
        assert boot == before.boot_id
        assert facts["sha256"]
    assert world.guest.wait_tick().boot_id == before.boot_id

    for _ in range(2):
        ending = do(world, REVERT, "by virsh, 한글")
        assert ending.end is End.SUCCEEDED, ending.error
        tick = world.guest.wait_tick()
        assert tick.boot_id == before.boot_id
        assert before.counter <= tick.counter < later.counter
        assert world.outputs["bring_back"] == {"state": VmState.RUNNING}
        later = go_on(world, 12)

    boot, at = later.boot_id, later.counter
    assert do(world, DELETE, "by virsh, 한글").end is End.SUCCEEDED
    assert world.facts().foreign_snapshots == ()
    tick = world.guest.wait_tick(after=at)
    assert tick.boot_id == boot
    for path in world.guest.disks.values():
        assert world.host.images.facts(str(path), "qcow2").internal == ()  # type: ignore[union-attr]


def test_an_external_snapshot_survives_what_we_are_asked_for(world: RealWorld) -> None:
    """It is told; every job about it and every one of ours beside it is refused with a reason, and nothing changes."""
    world.create("ours", "hot", quiesce="never")
    virsh(world, "layers", EXTERNAL)
    heads, files = world.guest.disks, world.files()
    for theirs in (REVERT, DELETE, ExtractVolume(snapshot_id="x", target="vda")):
        ending = do(world, theirs, "layers")
        assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "snapshot.foreign")
    ours = world.ids["ours"]
    for operation in (
        CreateSnapshot(vm="x", type="hot"),
        DeleteSnapshot(snapshot_id=str(ours)),
        RevertSnapshot(snapshot_id=str(ours)),
    ):
        ending = world.run(operation, ours)
        assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "vm.foreign_snapshots")
    assert (world.guest.disks, world.files()) == (heads, files)
    assert of(world, "layers").kind == "external"
    world.check("ours")
    go_on(world)


def test_libvirtd_dies_in_a_revert(world: RealWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while RAM is read back, libvirt leaves the VM as it happens to be; the job asks again, and it is there."""
    before, _ = virsh(world, "s")
    later = go_on(world, 10)
    asked = threading.Event()
    revert = type(world.host.vm(world.uuid)).revert_internal

    def told(vm: object, name: str) -> None:
        asked.set()
        revert(vm, name)  # type: ignore[arg-type]

    monkeypatch.setattr(type(world.host.vm(world.uuid)), "revert_internal", told)

    def kill() -> None:
        asked.wait(30)
        time.sleep(0.15)  # at an instant within the call, whichever it is
        world.lab.kill_libvirtd()
        world.lab.start_libvirtd()

    killer = threading.Thread(target=kill)
    killer.start()
    ending = do(world, REVERT, "s")
    killer.join()

    assert ending.end is End.SUCCEEDED, ending.error
    assert world.facts().state is VmState.RUNNING
    tick = world.guest.wait_tick()
    assert tick.boot_id == before.boot_id
    assert tick.counter < later.counter
    assert do(world, REVERT, "s").end is End.SUCCEEDED


@pytest.mark.parametrize("pause", [False, True], ids=["running", "paused"])
def test_libvirtd_dies_in_a_deletion(world: RealWorld, monkeypatch: pytest.MonkeyPatch, pause: bool) -> None:
    """Killed as it deletes, with a pause or without: the snapshot is gone in the end, and the guest runs on in its boot."""
    before, _ = virsh(world, "s")
    world.pause = pause
    vm = type(world.host.vm(world.uuid))
    delete = vm.delete_internal
    calls = []

    def killed(one: object, name: str) -> None:
        calls.append(name)
        if len(calls) == 1:
            world.lab.kill_libvirtd()
            world.lab.start_libvirtd()
        delete(one, name)  # type: ignore[arg-type]

    monkeypatch.setattr(vm, "delete_internal", killed)
    ending = do(world, DELETE, "s")

    assert ending.end is End.SUCCEEDED, ending.error
    assert len(calls) > 1
    assert world.facts().foreign_snapshots == ()
    assert (world.facts().state, go_on(world).boot_id) == (VmState.RUNNING, before.boot_id)
    assert world.watch.wards() == []
