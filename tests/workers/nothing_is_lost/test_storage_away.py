"""The storage of a snapshot goes away in the middle of its deletion, and comes back: nothing counts as removed meanwhile."""

from typing import Any

import pytest

from hypervisor.fake_world import FakeFile
from hypervisor.port import Source
from tests.workers.fake_world import Job, World, ok
from workers.carry import End

HOME = "/images/vm1"


@pytest.fixture
def world() -> World:
    """The VM stands elsewhere by now, and is off; what is left in its old place is a snapshot."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.shut_down()
    vm = world.host.vm(world.guest.uuid)
    with world.machine.world() as inside:
        content = inside.reads_as(vm.facts().volumes[0].path)
        inside.files["/new/vda.qcow2"] = FakeFile("image", format="qcow2", virtual_bytes=1, content=content)
    vm.define(vm.definition(), {"vda": Source("/new/vda.qcow2", "qcow2")})
    return world


def away_after(world: World, job: Job, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its storage is not there any more once the job has come through a step."""
    real = job.journal.finish

    def finish(name: str, *words: Any, **more: Any) -> bool:
        heard = real(name, *words, **more)
        if name == step:
            world.host.images.rename(HOME, "/elsewhere")
        return heard

    monkeypatch.setattr(job.journal, "finish", finish)


@pytest.mark.parametrize("step", ["check_snapshot", "drop_reference", "plan_collection"])
def test_a_deletion_does_not_end_without_its_storage(
    world: World, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what is not there, writes nothing in its place, cannot be closed as done, and ends once it is back."""
    job = world.delete("s1")
    away_after(world, job, step, monkeypatch)
    ending = job.to_the_end()
    assert ending.end in {End.STUCK, End.FAILED}
    assert (ending.error or {})["code"] == "vm.storage_away"
    assert not world.host.images.listing(HOME)
    assert job.settle().end is not End.SUCCEEDED
    world.host.images.rename("/elsewhere", HOME)
    ok(world.delete("s1").to_the_end())
    assert not [path for path in world.files() if ".snapshot" in path]


def test_a_storage_that_is_away_for_a_moment_does_not_keep_its_layers_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the reference was to be dropped there was none to be found: that is not a reference that was dropped."""
    world = World()
    for name in ("s1", "s2"):
        world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    job = world.delete("s1")
    away_after(world, job, "check_snapshot", monkeypatch)
    away = job.journal.finish

    def finish(name: str, *words: Any, **more: Any) -> bool:
        heard = away(name, *words, **more)
        if name == "drop_reference" and world.host.images.exists("/elsewhere"):
            world.host.images.rename("/elsewhere", HOME)
        return heard

    monkeypatch.setattr(job.journal, "finish", finish)
    if job.to_the_end().end is not End.SUCCEEDED:
        world.host.images.rename("/elsewhere", HOME)
        ok(job.to_the_end())
    assert len([path for path in world.files() if path.endswith(".qcow2")]) == 2
