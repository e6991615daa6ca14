"""A job that a person has closed ends as its host is found, wherever it stood, and nothing is touched on the way."""

import pytest

from hypervisor.port import Source
from stillframe.errors import HostLost, HypervisorFailed
from stillframe.names import layer_path
from stillframe.states import VmState
from tests.given import given
from tests.workers.fake_world import Death, Job, World
from workers.carry import TRIES, End
from workers.evidence import evidence
from workers.settle import settle

TWO = {"vda": "qcow2", "vdb": "raw"}


def begin(kind: str) -> tuple[World, Job]:
    """A VM with snapshots, and a job about one that is not its current one, or about both, that has not begun."""
    world = World(TWO)
    world.guest.tick()
    world.create("s1", "hot").to_the_end()
    world.guest.tick()
    world.create("s2", "hot").to_the_end()
    world.guest.tick()
    return world, {
        "create": lambda: world.create("new", "memory"),
        "revert": lambda: world.revert("s1"),
        "delete": lambda: world.delete("s1"),
        "prune": lambda: world.prune("s1", "s2"),
        "extract": lambda: world.extract("s1"),
    }[kind]()


def is_there(kind: str, world: World, job: Job) -> bool:
    """Whether the host has what the job was for, by what lies on it."""
    if kind == "create":
        return any(one.id == job.snapshot and one.state == "ready" for one in world.manifests())
    if kind == "revert":
        heads = world.tree().heads
        return all(path == layer_path(_home(path), target, job.id) for target, path in heads.items())
    if kind == "extract":
        return any(str(job.volume_snapshot) in path and path.endswith("qcow2") for path in world.files())
    held = any(one.id in job.about and one.state == "ready" for one in world.manifests())
    own_images_second_layers_and_heads = 3 * len(TWO)
    merged = len(TWO) * len(job.about)
    return not held and len(world.tree().layers) == own_images_second_layers_and_heads - merged


def _home(path: str) -> str:
    return path.rsplit("/", 1)[0]


@pytest.mark.parametrize("kind", ["create", "revert", "delete", "prune", "extract"])
def test_wherever_it_stood_the_host_decides(kind: str) -> None:
    """A job that died at any point and was then closed has succeeded exactly when what it was for is there."""
    ends, point = set(), 0
    while True:
        world, job = begin(kind)
        mortality = world.machine.mortality
        mortality.points.clear()
        mortality.dies_at = point
        try:
            job.run()
            break
        except Death:
            mortality.dies_at = None
        files, tree = world.files(), world.tree()
        ending = job.settle()
        there = is_there(kind, world, job)
        assert (ending.end is End.SUCCEEDED) is there, (mortality.points[point], ending.error)
        assert world.tree() == tree
        assert world.files() - files <= {path for path in world.files() if path.endswith(".json")}
        ends.add(ending.end)
        point += 1
    assert ends == {End.SUCCEEDED, End.FAILED}


def test_what_was_put_right_by_hand_has_succeeded() -> None:
    """A person merges the disks of a VM that is off and takes the manifest away: the deletion is done."""
    world, job = begin("delete")
    for _ in range(TRIES):
        world.machine.fail_next("images.write_text", HypervisorFailed(detail="read-only file system"))
    assert job.run().end is End.STUCK
    assert job.settle().end is End.FAILED
    world.host.images.remove(world.folder(job.snapshot) or "")
    assert job.settle().end is End.SUCCEEDED


def test_a_revert_by_hand_has_succeeded() -> None:
    """The VM was pointed at new layers on those of the snapshot, with other names than the job would have given."""
    world, job = begin("revert")
    world.machine.fail_next("define", HypervisorFailed(detail="no"))
    assert job.run().end is not End.SUCCEEDED
    wanted = {one.id: one for one in world.manifests()}[job.snapshot].volumes
    assert "does not stand on" in given(job.settle().error)["evidence"]["found"]
    world.guest.shut_down()
    vm = world.host.vm(world.guest.uuid)
    ours = {target: Source(f"/images/vm1/by-hand-{target}.qcow2", "qcow2") for target in wanted}
    for target, layer in ours.items():
        world.host.images.create_layer(layer.path, wanted[target], 1 << 30)
    vm.define(vm.definition(), ours)
    assert job.settle().end is End.SUCCEEDED


def test_a_damaged_snapshot_is_not_one() -> None:
    """The manifest is there and a layer it names is not: the creation has failed, and says what is missing."""
    world, job = begin("create")
    job.run()
    layer = next(one for one in world.manifests() if one.id == job.snapshot).volumes["vda"].path
    with world.machine.world() as inside:
        del inside.files[layer]
    ending = job.settle()
    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "job.closed")
    assert layer in (ending.error or {})["detail"]


@pytest.mark.parametrize("kind", ["create", "revert", "delete", "extract"])
def test_of_a_vm_that_is_gone_it_is_said(kind: str) -> None:
    """What only a look at the VM can tell is left to the host that has it; the others go by what lies on this one."""
    world, job = begin(kind)
    world.machine.remove_vm(world.guest.uuid)
    ending = job.settle()
    error = ending.error or {}
    assert ending.end is (End.LET_GO if kind == "create" else End.FAILED)
    assert error["code"] == ("vm.gone" if kind == "create" else "job.closed")
    if kind != "create":
        assert (error["evidence"]["by"], error["evidence"]["note"]) == ("kim", "by hand")


@pytest.mark.parametrize("kind", ["create", "revert"])
def test_a_connection_from_before_a_restart_of_libvirt_is_made_anew(kind: str) -> None:
    """The daemon was started anew since this worker asked it last: it is asked over a new connection, and the job ends."""
    world, job = begin(kind)
    job.run()
    work = job.work()
    work.vm.facts()
    world.machine.kill_daemon()
    world.machine.start_daemon()
    assert settle(work, {"actor": "kim"}).end is End.SUCCEEDED


def test_a_lost_connection_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While libvirt is away nobody has looked: somebody does later."""
    monkeypatch.setattr("workers.settle.RECONNECT_S", 0.1)
    world, job = begin("revert")
    job.run()
    world.machine.kill_daemon()
    with pytest.raises(HostLost):
        job.settle()


def test_evidence_says_what_it_can() -> None:
    """State and reason, frozen or not, chain and block job of each volume; of what cannot be told, why."""
    world, job = begin("delete")
    world.guest.change(state=VmState.PAUSED, reason="ioerror")
    found = evidence(job.work())
    assert found["vm"] == {"state": "paused", "reason": "ioerror"}
    assert found["frozen"] is False or found["frozen"] is None
    assert [len(volume["chain"]) for volume in found["volumes"].values()] == [3, 3]
    assert found["volumes"]["vda"]["block_job"] is None
    world.machine.remove_vm(world.guest.uuid)
    assert "no longer on host" in evidence(job.work())["vm"]
