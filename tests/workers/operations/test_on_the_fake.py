"""What each operation does to disks, RAM and files, on the fake machine."""

import pytest

from stillframe.errors import HypervisorFailed
from stillframe.states import VmState
from tests.workers.fake_world import World, ok
from workers.carry import End

VOLUMES = [{"vda": "qcow2"}, {"vda": "raw", "vdb": "qcow2", "vdc": "qcow2"}]


@pytest.fixture(params=VOLUMES, ids=["1 volume", "3 volumes"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


@pytest.mark.parametrize("kind", ["hot", "memory", "cold"])
def test_a_snapshot_keeps_every_volume_as_it_was(world: World, kind: str) -> None:
    """What the guest writes after a snapshot is not in it, on any volume."""
    at = world.guest.tick()
    if kind == "cold":
        world.guest.shut_down()
    ok(world.create("s1", kind).to_the_end())
    if kind == "cold":
        world.guest.boot()
    world.guest.tick()

    assert {world.counter_in("s1", target) for target in world.tree().heads} == {at}


def test_a_memory_revert_goes_on_in_the_same_boot(world: World) -> None:
    """After a memory revert the guest has the boot id and the counter it had, and runs."""
    boot, at = world.guest.boot_id, world.guest.tick()
    ok(world.create("s1", "memory").to_the_end())
    world.guest.tick()
    world.guest.boot()

    ok(world.revert("s1").to_the_end())

    assert (world.guest.boot_id, world.guest.tick()) == (boot, at + 1)


@pytest.mark.parametrize("state", [VmState.RUNNING, VmState.PAUSED, VmState.OFF, VmState.CRASHED])
def test_a_disk_revert_keeps_the_state_it_found(world: World, state: VmState) -> None:
    """A hot snapshot brought back leaves a running VM running, a paused one paused, and one that is off off."""
    at = world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    if state == VmState.CRASHED:
        world.guest.crash()
    elif state == VmState.OFF:
        world.guest.shut_down()
    else:
        world.guest.change(state=state, reason="user")

    ok(world.revert("s1").to_the_end())

    found = world.facts().state
    assert found == state
    assert world.guest.read("counter") == at


def test_a_branch_sequence_keeps_every_remaining_snapshot_right(world: World) -> None:
    """s1 s2 s3, back to s2, s4, delete s2, delete s1, back to s3: each that is left reads as when it was taken."""
    taken = {}
    for name in ("s1", "s2", "s3"):
        taken[name] = world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    ok(world.revert("s2").to_the_end())
    world.guest.tick()
    taken["s4"] = world.guest.tick()
    ok(world.create("s4", "hot").to_the_end())

    ok(world.delete("s2").to_the_end())
    for name in ("s1", "s3", "s4"):
        assert world.counter_in(name) == taken[name]
    ok(world.delete("s1").to_the_end())
    for name in ("s3", "s4"):
        assert world.counter_in(name) == taken[name]
    ok(world.revert("s3").to_the_end())
    assert world.guest.read("counter") == taken["s3"]
    assert world.counter_in("s4") == taken["s4"]


def test_deleting_all_gives_every_file_back(world: World) -> None:
    """Once every snapshot is deleted the VM writes to its own first images again, and nothing else is left."""
    before = world.files()
    for name in ("s1", "s2", "s3"):
        world.guest.tick()
        ok(world.create(name, "memory").to_the_end())
    at = world.guest.tick()

    for name in ("s2", "s3", "s1"):
        ok(world.delete(name).to_the_end())

    assert world.files() == before
    assert {world.guest.read("counter", target) for target in world.tree().heads} == {at}


def test_an_extract_outlives_its_snapshot(world: World) -> None:
    """The image reads as the snapshot did, and stays when the snapshot is deleted."""
    at = world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    extract = world.extract("s1")
    ok(extract.to_the_end())
    ok(world.delete("s1").to_the_end())

    path = extract.outputs["sum_up"]["path"]
    assert world.machine.read_back(path)["counter"] == at


def test_a_refusal_leaves_nothing(world: World) -> None:
    """A memory snapshot of a stopped VM fails by its code and leaves no file."""
    world.guest.shut_down()
    before = world.files()

    ending = world.create("s1", "memory").to_the_end()

    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "snapshot.memory_needs_running")
    assert world.files() == before


def test_an_error_after_the_cut_is_not_believed(world: World) -> None:
    """When libvirt fails although the disks have changed over, the snapshot is kept, not reported as nothing."""
    at = world.guest.tick()
    world.machine.fail_next("cut", HypervisorFailed(detail="could not resume"), after=True)

    ok(world.create("s1", "hot").to_the_end())

    world.guest.tick()
    assert world.counter_in("s1") == at


def test_a_failed_cut_is_walked_back(world: World) -> None:
    """When nothing was cut the layers go and the guest writes where it wrote before."""
    before, heads = world.files(), world.tree().heads
    world.machine.fail_next("cut", HypervisorFailed(detail="no"))

    ending = world.create("s1", "hot").to_the_end()

    assert ending.end is End.FAILED
    assert (world.files(), world.tree().heads) == (before, heads)


@pytest.mark.parametrize(
    ("agent", "quiesce", "code"),
    [
        ("answers", "require", None),
        ("absent", "prefer", None),
        ("absent", "require", "vm.agent_unresponsive"),
    ],
)
def test_quiesce_says_what_it_reached(world: World, agent: str, quiesce: str, code: str | None) -> None:
    """Prefer falls back to a crash-consistent cut, require refuses, and the consistency reached is recorded."""
    world.guest.agent = agent  # type: ignore[assignment]

    job = world.create("s1", "hot", quiesce=quiesce)
    ending = job.to_the_end()

    assert (ending.error or {}).get("code") == code
    if code is None:
        wanted = "filesystem" if agent == "answers" else "crash"
        assert job.outputs["cut"]["consistency"] == wanted
    world.guest.tick()


def test_a_detached_volume_keeps_its_layers(world: World) -> None:
    """Layers of a disk that is no longer attached are nobody's to collect."""
    if "vdb" not in world.tree().heads:
        pytest.skip("needs a second volume")
    ok(world.create("s1", "hot").to_the_end())
    head = world.tree().heads["vdb"]
    world.guest.shut_down()
    definition = world.host.vm(world.guest.uuid).definition()
    start = definition.index("<disk", definition.index("<disk") + 1)
    end = definition.index("</disk>", start) + len("</disk>")
    world.host.vm(world.guest.uuid).define(definition[:start] + definition[end:], {})

    ok(world.delete("s1").to_the_end())

    assert world.host.images.exists(head)


def test_a_failed_snapshot_of_a_gone_vm_can_be_deleted(world: World) -> None:
    """What never came to be has nothing on the host: its deletion needs no VM."""
    world.guest.shut_down()
    assert world.create("s1", "memory").to_the_end().end is End.FAILED
    world.machine.remove_vm(world.guest.uuid)

    ok(world.delete("s1").to_the_end())
