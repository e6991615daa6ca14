"""Merges that are cut, cancelled, or met by somebody else write no old data over new."""

from typing import Any

import pytest

from hypervisor import fake_vm, xml
from hypervisor.fake_images import FakeImages
from hypervisor.fake_world import FakeFile
from hypervisor.port import BlockJob, Pulse, Source
from tests.workers.fake_world import Death, World, ok
from tests.workers.nothing_is_lost.hurt import TWO, cancelled_behind, cancelled_with, die_at
from workers.carry import End
from workers.steps import Output


def test_an_old_definition_put_back_loses_nothing() -> None:
    """`virsh define old.xml` (ansible, terraform): the VM boots on its first image again. Nothing may be unlinked."""
    world = World()
    vm = world.host.vm(world.guest.uuid)
    old = vm.definition()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    ok(world.create("s2", "hot").to_the_end())
    world.guest.write("a day of work", True)
    newest = world.tree().heads["vda"]
    world.guest.shut_down()
    vm.define(old, {})

    world.create("s3", "cold").to_the_end()
    world.delete("s3").to_the_end()

    assert world.host.images.exists(newest), "the newest data of the guest was unlinked"


def test_a_mirror_of_somebody_else_is_not_pivoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """`virsh blockcopy vda /backup/copy` without --pivot stands ready. A delete must not end it, nor unlink anything."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    ok(world.create("s2", "hot").to_the_end())
    world.guest.tick()
    with world.machine.world() as inside:
        inside.files["/backup/copy.qcow2"] = FakeFile(
            "image",
            format="qcow2",
            virtual_bytes=64 << 20,
            content=inside.reads_as(world.tree().heads["vda"]),
        )
    mirror = {"there": True}

    def block_job(_: object, target: str) -> BlockJob | None:
        return BlockJob("copy", 1, 1, ready=True) if mirror["there"] else None

    def pivot(_: object, target: str) -> None:
        mirror["there"] = False
        with world.machine.world() as inside:
            row = inside.vms[str(world.guest.uuid)]
            swap = {target: Source("/backup/copy.qcow2", "qcow2")}
            row.definition, row.live = (
                xml.with_sources(row.definition, swap),
                xml.with_sources(row.present, swap),
            )

    monkeypatch.setattr(fake_vm.FakeVm, "block_job", block_job)
    monkeypatch.setattr(fake_vm.FakeVm, "pivot", pivot)
    ending = world.delete("s1").to_the_end()
    assert mirror["there"], f"somebody else's mirror was pivoted, job {ending.end}"


@pytest.mark.parametrize("until", ["its end", "behind it"])
def test_a_vm_that_is_started_as_soon_as_its_top_is_down_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, until: str
) -> None:
    """Somebody boots it on the layer whose data went down a moment ago, works, and shuts it down: in the same part of the
    merge, or between this and the next.
    """
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    world.guest.shut_down()
    job = world.delete("s1")
    finish, commit = job.journal.finish, FakeImages.commit
    commits: list[str] = []

    def work() -> None:
        world.guest.write("work", "mine")
        world.guest.shut_down()

    def inside(images: FakeImages, top: str, base: str, pulse: Pulse) -> None:
        commit(images, top, base, pulse)
        commits.append(top)
        if len(commits) == 1:
            world.guest.boot()
            if until == "its end":
                work()

    def behind(step: str, output: Output, then: str | None, no_return: bool = False) -> bool:
        heard = finish(step, output, then, no_return)
        if step.startswith("commit:") and until == "behind it":
            work()
        return heard

    monkeypatch.setattr(FakeImages, "commit", inside)
    monkeypatch.setattr(job.journal, "finish", behind)
    ok(job.to_the_end())
    assert len(commits) == 2
    world.guest.boot()
    assert world.guest.read("work") == "mine"


def test_an_undo_done_half_does_not_write_old_data_over_new() -> None:
    """Cold snapshot of two volumes, cancelled after the cut; the worker dies between two volumes of the undo; the user
    boots, works, shuts down; the job is taken up.
    """
    world = World(TWO)
    world.guest.tick()
    world.guest.shut_down()
    job = world.create("s1", "cold")
    cancelled_with(job, "cut")
    die_at(world, job, "after finish of cut")
    # the guest ran a moment on the new layers
    world.guest.boot()
    world.guest.write("note", "old")
    world.guest.shut_down()
    die_at(world, job, "before images.commit", 1)
    world.guest.boot()
    world.guest.write("note", "new")
    world.guest.shut_down()

    ending = job.run()

    assert world.guest.read("note") == "new", f"old data came back over new; job {ending.end}"


def test_a_fork_at_the_top_of_a_live_merge_is_carried_on() -> None:
    """O(s1) <- L1(s2) <- {L2(s3), head}. Delete s1; the worker dies when QEMU has merged and before it re-points L2."""
    world = World()
    for name in ("s1", "s2", "s3"):
        world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    ok(world.revert("s2").to_the_end())
    world.guest.tick()
    job = world.delete("s1")
    die_at(world, job, "before images.rebase")
    ending = job.run()
    assert ending.end is End.SUCCEEDED, ending.error


def test_an_undo_done_half_can_be_ended() -> None:
    """One volume is merged back live, the worker dies, the guest shuts down: the rest is merged back as well."""
    world = World(TWO)
    world.guest.tick()
    job = world.create("s1", "hot")
    cancelled_behind(job, "cut")
    die_at(world, job, "after images.remove", 0)
    world.guest.tick()
    world.guest.shut_down()
    ending = job.run()
    assert ending.end is End.CANCELLED, (ending.end, ending.error)


def test_an_undo_done_half_while_off_does_not_bring_old_data_back() -> None:
    """Two deaths between the volumes of an undo, and a guest that works in between: its newest data stays."""
    world = World(TWO)
    world.guest.tick()
    job = world.create("s1", "hot")
    cancelled_behind(job, "cut")
    die_at(world, job, "after turning back")
    world.guest.write("note", "old")
    world.guest.shut_down()
    die_at(world, job, "before images.commit", 1)
    world.guest.boot()
    world.guest.write("note", "new")
    world.guest.shut_down()
    ending = job.run()
    assert world.guest.read("note") == "new", ending.end


@pytest.mark.parametrize("on", [True, False])
def test_an_old_definition_put_back_in_the_middle_of_a_merge_loses_nothing(on: bool) -> None:
    """The worker dies in a merge, and `virsh define old.xml` says that the VM boots from the half merged image.

    Who takes the job up must not take that for the merge's end, and free the layer that has all the rest.
    """
    world = World()
    vm = world.host.vm(world.guest.uuid)
    old = vm.definition()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.write("payroll", 1)
    if not on:
        world.guest.shut_down()
    head = world.tree().heads["vda"]
    job = world.delete("s1")
    die_at(world, job, "after start_commit" if on else "before images.commit")
    if on:
        world.guest.crash()
    vm.define(old, {})
    assert job.run().end is End.STUCK
    assert world.host.images.exists(head)
    assert world.machine.read_back(head)["payroll"] == 1
    vm.define(vm.definition(), {"vda": Source(head, "qcow2")})
    ok(job.run())
    assert world.machine.read_back(world.tree().heads["vda"])["payroll"] == 1


def test_a_vm_that_runs_for_a_moment_between_commit_and_pivot_keeps_what_it_wrote() -> None:
    """The database takes its time to note that the data is down; meanwhile the VM is started, works and is shut down."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    world.guest.shut_down()
    job = world.delete("s1")
    real = job.journal.finish

    def finish(step: str, output: Output, then: str | None, no_return: bool = False) -> bool:
        if step.startswith("commit:"):
            world.guest.boot()
            world.guest.write("note", "mine")
            world.guest.shut_down()
        return real(step, output, then, no_return)

    job.journal.finish = finish  # type: ignore[method-assign]
    ok(job.run())
    assert world.guest.read("note") == "mine"


def test_a_manifest_that_cannot_be_read_is_met_before_the_reference_is_dropped() -> None:
    """What would stop the collection stops the delete before it has begun; the snapshot stays."""
    world = World()
    for name in ("s1", "s2"):
        world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    folder = world.folder(world.ids["s2"])
    job = world.delete("s1")
    with world.machine.world() as inside:
        inside.files[f"{folder}/manifest.json"].text = "{}"
    ending = job.to_the_end()
    assert ending.end is End.FAILED, (ending.end, ending.error)


@pytest.mark.parametrize("kind", ["revert", "extract"])
def test_a_snapshot_that_is_half_deleted_is_not_used(kind: str) -> None:
    """Its deletion was stopped once the reference was dropped, and its row says ready: the job is refused, nothing goes."""
    world = World()
    at = world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    layer = world.tree().frozen[world.ids["s1"]]["vda"]
    world.guest.tick()
    job = world.delete("s1")
    die_at(world, job, "after finish of drop_reference")
    job.cancel()
    assert job.run().end is End.CANCELLED
    ending = getattr(world, kind)("s1").to_the_end()
    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "snapshot.deletion_unfinished")
    assert world.machine.read_back(layer)["counter"] == at


def test_a_merged_layer_goes_after_the_header_that_does_without_it_is_durable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """QEMU writes the head's new header and flushes only the base: a power cut would bring back one that names the layer."""
    world = World()
    for name in ("s1", "s2"):
        world.guest.tick()
        ok(world.create(name, "hot").to_the_end())
    top, head = world.tree().frozen[world.ids["s2"]]["vda"], world.tree().heads["vda"]
    synced, real_sync, real_remove = set[str](), FakeImages.sync, FakeImages.remove

    def sync(self: FakeImages, path: str) -> None:
        synced.add(path)
        real_sync(self, path)

    def remove(self: FakeImages, path: str) -> None:
        assert path != top or head in synced
        real_remove(self, path)

    monkeypatch.setattr(FakeImages, "sync", sync)
    monkeypatch.setattr(FakeImages, "remove", remove)
    ok(world.delete("s1").to_the_end())
    assert top not in world.files()


@pytest.mark.parametrize("then", ["is cancelled", "dies, with QEMU"])
def test_a_vm_that_is_started_while_its_definition_changes_is_started_there_again(
    then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data is down, and right before the definition names the base somebody starts it on the top, and it writes there."""
    world = World()
    world.guest.tick()
    ok(world.create("s1", "hot").to_the_end())
    world.guest.tick()
    world.guest.crash()
    job, real, first = world.delete("s1"), fake_vm.FakeVm.define, [True]
    wrote: list[int] = []

    def define(self: fake_vm.FakeVm, *words: Any) -> None:
        meets, first[:] = bool(first), []
        if meets:
            world.guest.boot()
            wrote.append(world.guest.tick())
        if meets and then == "is cancelled":
            job.cancel()
        real(self, *words)
        if meets and then == "dies, with QEMU":
            world.guest.crash()
            raise Death("after define")

    monkeypatch.setattr(fake_vm.FakeVm, "define", define)
    if then == "dies, with QEMU":
        with pytest.raises(Death):
            job.run()
    job.to_the_end()
    if then != "dies, with QEMU":
        world.guest.crash()
    world.guest.boot()
    assert world.guest.counter == wrote[0]
