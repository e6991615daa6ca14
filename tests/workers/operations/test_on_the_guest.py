"""Every operation on a real guest, judged by what the guest wrote: boot id, counters, files."""

import os
import signal
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from hypervisor.libvirt_host import LibvirtHost
from lab import Lab, readback
from stillframe.states import VmState
from tests.workers.real_world import RealWorld

pytestmark = pytest.mark.qemu

DISKS = [
    # The journeys walk these roads with one disk, and the fake is cut on them at every point.
    pytest.param(("qcow2",), id="1 disk", marks=pytest.mark.chaos),
    pytest.param(("raw", "qcow2", "qcow2"), id="3 disks"),
]
_numbers = count()


@pytest.fixture(params=DISKS)
def world(request: pytest.FixtureRequest, machine: Lab, host: LibvirtHost) -> Iterator[RealWorld]:
    """A ticking guest of the test's own."""
    guest = machine.create_guest(f"ops-{next(_numbers)}", request.param)
    try:
        guest.wait_tick()
        yield RealWorld(machine, guest, host)
    finally:
        guest.remove()


def bring_to(world: RealWorld, state: str) -> None:
    """Puts the VM into a state as a user or a fault would."""
    match state:
        case "paused":
            world.guest.domain.suspend()
        case "off":
            world.power_off()
        case "crashed":
            pid = _qemu_of(world)
            os.kill(pid, signal.SIGKILL)
            world.guest.wait_off()


def _qemu_of(world: RealWorld) -> int:
    for pid in world.lab.machine.members():
        with open(f"/proc/{pid}/cmdline", "rb") as said:
            if world.guest.uuid.encode() in said.read():
                return pid
    raise AssertionError("no QEMU of this guest")


@pytest.mark.parametrize(
    ("kind", "words", "consistency"),
    [
        ("hot", {"quiesce": "require"}, "filesystem"),
        ("hot", {"quiesce": "never"}, "crash"),
        ("memory", {}, "memory"),
        ("cold", {}, "stopped"),
    ],
    ids=["hot quiesced", "hot", "memory", "cold"],
)
def test_create_keeps_what_the_guest_wrote(
    world: RealWorld, kind: str, words: dict[str, Any], consistency: str
) -> None:
    """The frozen layers hold the guest's data of that instant on every disk; the guest goes on in the same boot."""
    if kind == "cold":
        world.write_marker("s1")
        world.power_off()
    boot = world.guest.ticks()[-1].boot_id

    outputs = world.create("s1", kind, **words)

    assert outputs["cut"]["consistency"] == consistency
    if kind != "cold":
        assert world.guest.wait_tick().boot_id == boot
    world.check("s1")
    if kind == "memory":
        assert 0 < outputs["cut"]["pause_ms"] < 20_000
    elif kind == "hot":
        assert outputs["cut"]["pause_ms"] == 0


@pytest.mark.parametrize("state", ["running", "paused", "off", "crashed"])
def test_a_memory_revert_continues_the_same_boot(world: RealWorld, state: str) -> None:
    """From any state, back to RAM: the boot id is the same and the counter goes on from the snapshot's value."""
    world.create("s1", "memory")
    mark = world.marks["s1"]
    assert mark.after is not None
    later = world.guest.wait_tick(after=mark.after.counter + 5)
    world.write_marker("damage")
    bring_to(world, state)

    world.revert("s1")

    tick = world.check_guest("s1")
    assert world.facts().state == VmState.RUNNING
    assert tick.boot_id == mark.before.boot_id
    assert mark.before.counter < tick.counter < later.counter + 20
    world.check("s1")


@pytest.mark.parametrize("state", ["running", "paused", "off", "crashed"])
@pytest.mark.parametrize("kind", ["hot", "cold"])
def test_a_disk_revert_brings_the_files_back(world: RealWorld, kind: str, state: str) -> None:
    """From any state, back to disks: the files are those of the snapshot, and the VM is as it was found, on or off."""
    if kind == "cold":
        world.write_marker("s1")
        world.power_off()
    world.create("s1", kind)
    if kind == "cold":
        world.guest.start()
        world.guest.wait_tick()
    world.write_marker("damage")
    bring_to(world, state)

    world.revert("s1")

    found = world.facts().state
    if state == "paused":
        assert found == VmState.PAUSED
        world.guest.domain.resume()
    elif state in {"off", "crashed"}:
        assert found in {VmState.OFF, VmState.CRASHED}
        world.guest.start()
    assert world.check_guest("s1").boot_id != world.marks["s1"].before.boot_id
    world.check("s1")


@pytest.mark.parametrize("kind", ["memory", "hot"])
def test_five_reverts_to_the_same_snapshot(world: RealWorld, kind: str) -> None:
    """The same instant can be brought back again and again, and leaves no layer behind."""
    world.create("s1", kind)
    files = None
    for _ in range(5):
        world.write_marker("damage")
        world.revert("s1")
        tick = world.check_guest("s1")
        assert (tick.boot_id == world.marks["s1"].before.boot_id) == (kind == "memory")
        files = files or len(world.files())
        assert len(world.files()) == files
    world.check("s1")


@pytest.mark.parametrize("state", ["running", "off"])
@pytest.mark.parametrize("victim", ["s1", "s2", "s3"])
def test_delete_keeps_the_others_and_the_guest(world: RealWorld, victim: str, state: str) -> None:
    """Oldest, middle or newest goes; the others still hold their data, the running guest is not restarted."""
    for name in ("s1", "s2", "s3"):
        world.create(name, "hot", quiesce="never")
    boot = world.guest.wait_tick().boot_id
    bring_to(world, state)
    before = len(world.files())

    world.delete(victim)

    world.check(*sorted({"s1", "s2", "s3"} - {victim}))
    assert len(world.files()) < before
    if state == "off":
        world.guest.start()
    tick = world.check_guest("s3")
    assert (tick.boot_id == boot) == (state == "running")


def test_a_branching_tree_stays_right(world: RealWorld) -> None:
    """s1 s2 s3, back to s2, s4, delete s2, delete s1, back to s3: whatever remains reads as when it was taken."""
    for name in ("s1", "s2", "s3"):
        world.create(name, "hot", quiesce="never")
    world.revert("s2")
    world.check_guest("s2")
    world.create("s4", "hot", quiesce="never")
    world.check("s1", "s2", "s3", "s4")

    world.delete("s2")
    world.check("s1", "s3", "s4")
    world.delete("s1")
    world.check("s3", "s4")
    world.revert("s3")
    world.check_guest("s3")
    world.check("s3", "s4")

    world.delete("s4")
    world.delete("s3")
    world.check()
    assert {layer.backing for layer in world.tree().layers.values()} == {None}
    world.check_guest("s3")


def test_an_extract_of_a_running_vm_stands_alone(world: RealWorld) -> None:
    """The image holds the snapshot's data, its checksum is that of the file, and it outlives the snapshot."""
    world.create("s1", "hot")
    world.write_marker("damage")
    target = sorted(world.guest.disks)[-1]

    image = world.extract("s1", target)
    world.delete("s1")

    mark = world.marks["s1"]
    assert mark.after is not None
    assert mark.before.counter <= readback.counter(image["path"])[0] <= mark.after.counter
    assert world.host.images.sha256(image["path"], lambda *_: None) == image["sha256"]
    facts = world.host.images.facts(image["path"])
    assert facts is not None
    assert facts.backing is None
