"""What every hypervisor promises of VMs that start, stop, merge and are seen, and of a daemon that dies."""

import threading
from collections.abc import Callable
from functools import partial
from uuid import UUID, uuid4

import pytest

from hypervisor.port import Source
from stillframe.errors import (
    HostLost,
    HypervisorFailed,
    ManagedSavePresent,
    VmGone,
)
from stillframe.states import VmState
from tests.contracts.stages import Play, Stage, quiet, wait_until

PlayWith = Callable[..., Play]


def test_start_and_stop_may_be_done_twice(play: Play) -> None:
    """Stopping a VM that is off and starting one that is on does nothing; a fresh boot has a new boot id."""
    _, boot = play.guest.tick()
    play.vm.stop()
    play.vm.stop()
    assert play.vm.facts().state is VmState.OFF
    play.vm.start()
    _, next_boot = play.guest.tick()
    play.vm.start()
    assert play.guest.tick()[1] == next_boot != boot


def test_resume_ends_a_pause(play_with: PlayWith) -> None:
    """A VM started paused does not run until it is resumed; resuming twice is fine."""
    play = play_with(on=False)
    play.vm.start(paused=True)
    assert play.vm.facts().state is VmState.PAUSED
    play.vm.resume()
    play.vm.resume()
    assert play.vm.facts().state is VmState.RUNNING
    play.guest.tick()


def test_dead_qemu_is_a_crash(play_with: PlayWith) -> None:
    """A VM whose QEMU died is crashed, not just off; it can be started again."""
    play = play_with()
    play.guest.crash()
    wait_until(lambda: play.vm.facts().state is VmState.CRASHED)
    assert play.vm.facts().reason == "crashed"
    play.vm.start()
    play.guest.tick()


def test_define_keeps_the_name_and_takes_the_images(play_with: PlayWith) -> None:
    """A definition is taken as it is but for the VM's name, which stays the present one, and the given images."""
    play = play_with(on=False)
    other_name = play.vm.definition().replace(f"<name>{play.guest.name}<", "<name>it-was-called-so-once<")
    layers = play.layers()
    play.vm.define(other_name, layers)
    assert play.vm.facts().name == play.guest.name
    assert play.heads() == layers


def test_head_is_merged_while_the_guest_runs(play: Play) -> None:
    """After a live merge of the head and its pivot the base holds all the guest wrote, and the guest goes on there."""
    base = play.heads()
    layers = play.cut_hot()
    for target, head in layers.items():
        play.guest.tick()
        play.vm.start_commit(target, head.path, base[target].path)
        wait_until(partial(play.is_merged_but_for_the_pivot, target))
        job = play.vm.block_job(target)
        assert job is not None
        assert (job.kind, job.into) == ("active_commit", base[target].path)
        assert job.done == job.total
        play.vm.pivot(target)
        assert play.vm.block_job(target) is None
    assert play.heads() == base
    assert play.vm.live_chain("vda") == (base["vda"].path,)
    assert "backingStore" not in play.vm.definition()
    for head in layers.values():
        play.images.remove(head.path)
    before, _ = play.guest.tick()
    play.vm.stop()
    assert all(play.counter_in(image) >= before for image in base.values())
    play.vm.start()
    play.guest.tick()


def test_middle_is_merged_while_the_guest_runs(play_with: PlayWith) -> None:
    """A frozen layer between others goes down into the one below it; the layer above reads the same as before."""
    play = play_with()
    base = play.heads()["vda"]
    middle = play.cut_hot()["vda"]
    play.guest.tick()
    head = play.cut_hot()["vda"]
    held = play.counter_in(middle)
    play.vm.start_commit("vda", middle.path, base.path)
    job = play.vm.block_job("vda")
    assert job is None or (job.kind, job.into, job.ready) == ("commit", None, False)
    wait_until(lambda: play.vm.block_job("vda") is None)
    assert play.vm.live_chain("vda") == (head.path, base.path)
    assert play.counter_in(base) == held
    play.images.remove(middle.path)
    before, _ = play.guest.tick()
    play.vm.stop()
    assert play.vm.live_chain("vda") == (head.path, base.path)
    assert play.counter_in(head) >= before
    play.vm.start()
    assert play.guest.tick()[0] > before


def test_aborted_merge_leaves_the_chain(play_with: PlayWith) -> None:
    """A merge that is aborted before its pivot leaves the VM on the same images, and aborting twice is fine."""
    play = play_with()
    base = play.heads()["vda"]
    head = play.cut_hot()["vda"]
    play.vm.start_commit("vda", head.path, base.path)
    wait_until(partial(play.is_merged_but_for_the_pivot, "vda"))
    play.vm.abort_block_job("vda")
    play.vm.abort_block_job("vda")
    assert play.vm.block_job("vda") is None
    assert play.vm.live_chain("vda") == (head.path, base.path)
    before, _ = play.guest.tick()
    play.vm.stop()
    assert play.counter_in(head) >= before


def test_copy_of_somebody_else_is_told_from_our_merge(play_with: PlayWith) -> None:
    """A copy that somebody else began is told as a copy, with the image it goes to, also among the VM's images."""
    play = play_with()
    path = f"{play.home()}/theirs.qcow2"
    play.images.write_text(f"{play.home()}/folder", "is made")
    play.guest.start_copy(path)
    wait_until(partial(play.is_merged_but_for_the_pivot, "vda"))
    job = play.vm.block_job("vda")
    assert job is not None
    assert (job.kind, job.into) == ("copy", path)
    assert path in play.vm.facts().images
    play.vm.abort_block_job("vda")
    assert play.vm.block_job("vda") is None
    assert path not in play.vm.facts().images


def test_images_are_those_of_both_definitions_and_the_managed_save(play: Play) -> None:
    """Whatever the VM runs on, will boot from or was saved on is among its images, with what lies below while it runs."""
    base = play.heads()
    layers = play.cut_hot()
    own = {image.path for image in (*base.values(), *layers.values())}
    assert set(play.vm.facts().images) == own
    others = play.layers()
    play.vm.define(play.vm.definition(), others)
    assert set(play.vm.facts().images) == own | {image.path for image in others.values()}
    assert play.heads() == layers
    play.guest.managed_save()
    assert play.vm.facts().managed_save
    assert {image.path for image in (*layers.values(), *others.values())} <= set(play.vm.facts().images)


def test_start_is_a_boot_whatever_was_saved(play: Play) -> None:
    """A VM with a managed save boots afresh when it is started, and the save is gone."""
    _, boot = play.guest.tick()
    play.guest.managed_save()
    assert (play.vm.facts().state, play.vm.facts().managed_save) == (VmState.OFF, True)
    play.vm.start()
    assert not play.vm.facts().managed_save
    assert play.guest.tick()[1] != boot


def test_ram_that_was_put_aside_keeps_layers_off_and_goes_with_a_stop(play: Play) -> None:
    """A VM with a managed save gets no layer: it would come back on what is below. A stop throws the save away."""
    play.guest.managed_save()
    heads, layers = play.heads(), play.layers()
    with pytest.raises(ManagedSavePresent):
        play.vm.cut(layers, None, False, quiet)
    assert play.heads() == heads
    play.vm.stop()
    assert not play.vm.facts().managed_save


def test_disks_of_a_definition_are_told_without_the_machine(play: Play) -> None:
    """The disks of any definition are read, whatever the VM has by now."""
    before = play.vm.definition()
    heads = play.heads()
    play.cut_hot()
    disks = {disk.target: Source(disk.path, disk.format) for disk in play.vm.disks_of(before)}
    assert disks == heads


def test_pivot_before_it_is_ready_is_an_error(play_with: PlayWith) -> None:
    """There is nothing to pivot without a merge."""
    with pytest.raises(HypervisorFailed):
        play_with().vm.pivot("vda")


def test_facts_say_what_the_vm_is(play: Play) -> None:
    """A VM is found by name, by uuid and in the list, with its volumes as they are."""
    facts = play.vm.facts()
    assert (facts.uuid, facts.name, facts.state) == (play.guest.uuid, play.guest.name, VmState.RUNNING)
    assert facts.persistent
    assert facts.memory_bytes == 128 << 20
    assert [
        (one.target, one.format, one.storage, one.device, one.virtual_bytes) for one in facts.volumes
    ] == [
        ("vda", "qcow2", "file", "disk", 64 << 20),
        ("vdb", "raw", "file", "disk", 64 << 20),
    ]
    assert (facts.foreign_snapshots, facts.managed_save, facts.note) == ((), False, None)
    assert play.host.find(play.guest.name) == play.host.find(str(play.guest.uuid)) == facts
    assert play.host.find("nobody") is None
    assert facts.uuid in {vm.uuid for vm in play.host.vms()}
    assert play.host.facts().cpus > 0
    assert play.host.facts().memory_bytes > facts.memory_bytes
    assert play.vm.block_job("vda") is None
    assert str(facts.uuid) in play.vm.running_definition()


def test_vm_that_is_not_there_is_gone(stage: Stage) -> None:
    """A handle on a VM the host does not have says so when it is asked."""
    vm = stage.host.vm(uuid4())
    with pytest.raises(VmGone):
        vm.facts()
    with pytest.raises(VmGone):
        vm.stop()


def test_note_is_kept_on_and_off(play: Play) -> None:
    """A note is read back as it was written, replaces the one before, and survives a stop."""
    play.vm.note("first")
    text = '{"current": "<&\\"\'>", "words": "한글"}'
    play.vm.note(text)
    assert play.vm.facts().note == text
    play.vm.stop()
    assert play.vm.facts().note == text
    play.vm.note("off")
    assert play.vm.facts().note == "off"


def test_note_survives_cuts_and_definitions(play: Play) -> None:
    """A note stays through a cut and a new definition, and there is never more than one."""
    play.vm.note("one")
    play.cut_hot()
    play.vm.note("two")
    play.vm.define(play.vm.definition(), {})
    assert play.vm.facts().note == "two"
    play.vm.stop()
    assert play.vm.facts().note == "two"
    play.vm.note("three")
    assert play.vm.definition().count("three") == 1
    assert "two" not in play.vm.definition()


def test_our_cuts_leave_no_snapshots_in_libvirt(play: Play) -> None:
    """Stillframe owns the chain: libvirt is told of no snapshot, with RAM or without."""
    play.cut_hot()
    play.vm.cut(play.layers(), f"{play.home()}/memory", False, quiet)
    assert play.vm.facts().foreign_snapshots == ()


def test_frozen_guest_is_seen_and_thawed(play: Play) -> None:
    """Filesystems that somebody left frozen are seen as such, and a thaw lets the guest write again."""
    assert play.vm.is_frozen() is False
    play.guest.freeze()
    assert play.vm.is_frozen() is True
    play.vm.thaw()
    assert play.vm.is_frozen() is False
    play.guest.tick()


def test_watch_hears_of_changes(stage: Stage) -> None:
    """Starting, stopping and undefining a VM is told to who watches, from another thread."""
    watcher = stage.another_host()
    heard: list[tuple[UUID, str]] = []
    threads: set[int] = set()

    def changed(vm: UUID, what: str) -> None:
        threads.add(threading.get_ident())
        heard.append((vm, what))

    watcher.watch(changed)
    play = Play(stage, stage.guest(on=False))
    wait_until(lambda: (play.guest.uuid, "changed") in heard)
    heard.clear()
    play.vm.start(paused=True)
    wait_until(lambda: (play.guest.uuid, "changed") in heard)
    heard.clear()
    play.vm.stop()
    wait_until(lambda: (play.guest.uuid, "changed") in heard)
    play.guest.undefine()
    wait_until(lambda: (play.guest.uuid, "gone") in heard)
    assert threading.get_ident() not in threads
    watcher.close()


def test_vm_is_found_again_after_the_daemon_died(play: Play) -> None:
    """Calls over a dead connection say so; after a reconnect the same handle works and the guest has never stopped."""
    _, boot = play.guest.tick()
    heard: list[tuple[UUID, str]] = []
    play.host.watch(lambda vm, what: heard.append((vm, what)))
    play.vm.facts()
    play.stage.kill_daemon()
    with pytest.raises(HostLost):
        play.vm.facts()
    with pytest.raises(HostLost):
        play.host.reconnect(0.2)
    play.stage.start_daemon()
    play.host.reconnect(30)
    assert play.vm.facts().state is VmState.RUNNING
    assert play.guest.tick()[1] == boot
    play.cut_hot()
    heard.clear()
    play.vm.stop()
    wait_until(lambda: (play.guest.uuid, "changed") in heard)
