"""What every hypervisor promises a step: the sentences of `hypervisor/port.py`, proved by what guests wrote."""

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from uuid import UUID, uuid4

import pytest

from hypervisor.port import Source
from stillframe.errors import (
    AgentUnresponsive,
    Cancelled,
    HostLost,
    HypervisorFailed,
    MemoryNeedsRunning,
    VmBusy,
    VmGone,
)
from stillframe.states import Consistency, VmState
from tests.contracts.stages import Play, Stage, quiet, wait_until

PlayWith = Callable[..., Play]


class Stop:
    """A pulse that asks for a cancel at its n-th call, and notes when it was called."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.heard: list[tuple[int, int]] = []
        self.times: list[float] = []

    def __call__(self, done: int, total: int) -> None:
        self.heard.append((done, total))
        self.times.append(time.monotonic())
        if len(self.heard) >= self.at:
            raise Cancelled()


# --- the cut ------------------------------------------------------------------------------------------


def test_hot_cut_freezes_what_was_written_and_the_guest_goes_on(play: Play) -> None:
    """After a hot cut the old heads hold what was on them at one instant, and the guest writes to the new layers."""
    frozen = play.heads()
    before, boot = play.guest.tick()
    layers = play.layers()
    cut = play.vm.cut(layers, None, False, quiet)
    after, same_boot = play.guest.tick()
    assert (cut.consistency, cut.pause_ms, cut.freeze_ms) == (Consistency.CRASH, 0, 0)
    assert play.heads() == layers
    held = [play.counter_in(image) for image in frozen.values()]
    assert all(before <= counter <= after for counter in held)
    assert max(held) - min(held) <= 1
    play.guest.tick()
    assert [play.counter_in(image) for image in frozen.values()] == held
    assert same_boot == boot


def test_cut_is_in_the_persistent_definition_too(play: Play) -> None:
    """A VM that is stopped after a hot cut boots from the new layers, and goes on counting there."""
    layers = play.cut_hot()
    before, _ = play.guest.tick()
    play.vm.stop()
    assert play.heads() == layers
    assert "backingStore" not in play.vm.definition()
    play.vm.start()
    assert play.guest.tick()[0] > before
    assert play.vm.live_chain("vda")[0] == layers["vda"].path


def test_quiesced_cut_leaves_filesystems_consistent_and_thawed(play: Play) -> None:
    """A quiesced cut reaches filesystem consistency, says how long the freeze was at most, and ends it."""
    layers = play.layers()
    cut = play.vm.cut(layers, None, True, quiet)
    assert cut.consistency is Consistency.FILESYSTEM
    assert cut.freeze_ms > 0
    assert play.heads() == layers
    assert play.vm.is_frozen() is False
    play.guest.tick()


def test_quiesced_cut_without_an_agent_cuts_nothing(play_with: PlayWith) -> None:
    """Without an agent in the guest a quiesced cut is refused at once and nothing is cut."""
    play = play_with(agent=False)
    heads = play.heads()
    with pytest.raises(AgentUnresponsive):
        play.vm.cut(play.layers(), None, True, quiet)
    assert play.heads() == heads
    assert play.vm.is_frozen() is None


def test_quiesced_cut_of_a_paused_vm_cuts_nothing(play: Play) -> None:
    """A paused VM cannot freeze its filesystems: a quiesced cut is refused, and the VM stays paused."""
    play.vm.stop()
    play.vm.start(paused=True)
    heads = play.heads()
    with pytest.raises(AgentUnresponsive):
        play.vm.cut(play.layers(), None, True, quiet)
    assert play.heads() == heads
    assert play.vm.facts().state is VmState.PAUSED


def test_memory_cut_and_restore_bring_back_the_instant(play: Play) -> None:
    """RAM and disks of one instant come back together: same boot, the counter goes on from the cut."""
    frozen = play.heads()
    before, boot = play.guest.tick()
    memory = f"{play.home()}/memory"
    cut = play.vm.cut(play.layers(), memory, False, quiet)
    after, _ = play.guest.tick()
    assert cut.consistency is Consistency.MEMORY
    assert 0 < cut.pause_ms < 10_000
    assert play.images.size_bytes(memory) > 1 << 20
    assert str(play.guest.uuid) in play.vm.saved_definition(memory)
    while play.guest.tick()[0] < after + 8:
        pass
    play.vm.stop()
    heads = play.layers(on=frozen)
    play.vm.define(play.vm.definition(), heads)
    play.vm.restore(memory, heads, quiet)
    assert play.vm.facts().state is VmState.RUNNING
    back, same_boot = play.guest.tick()
    assert same_boot == boot
    assert before < back < after + 8
    assert play.heads() == heads
    play.vm.set_clock()


def test_memory_file_is_not_used_up(play: Play) -> None:
    """A VM can be brought back from one memory file again and again, on fresh layers each time."""
    frozen = play.heads()
    memory = f"{play.home()}/memory"
    play.vm.cut(play.layers(), memory, False, quiet)
    _, boot = play.guest.tick()
    for _ in range(2):
        play.vm.stop()
        play.vm.restore(memory, play.layers(on=frozen))
        assert play.guest.tick()[1] == boot


def test_damaged_memory_file_is_seen_before_it_is_used(play: Play) -> None:
    """A memory file that lacks its end, or is none at all, is told from a whole one without touching the VM."""
    memory = f"{play.home()}/memory"
    play.vm.cut(play.layers(), memory, False, quiet)
    assert str(play.guest.uuid) in play.vm.saved_definition(memory)
    play.stage.cut_short(memory)
    play.images.write_text(f"{play.home()}/text", "no RAM here")
    for broken in (memory, f"{play.home()}/text", f"{play.home()}/nothing"):
        with pytest.raises(HypervisorFailed):
            play.vm.saved_definition(broken)
    play.guest.tick()


def test_paused_vm_stays_paused_through_cut_and_restore(play: Play) -> None:
    """A memory cut of a paused VM pauses it no longer and no shorter, and a restore of it comes back paused."""
    play.vm.stop()
    play.vm.start(paused=True)
    frozen = play.heads()
    memory = f"{play.home()}/memory"
    cut = play.vm.cut(play.layers(), memory, False, quiet)
    assert (cut.consistency, cut.pause_ms) == (Consistency.MEMORY, 0)
    assert play.vm.facts().state is VmState.PAUSED
    play.vm.stop()
    play.vm.restore(memory, play.layers(on=frozen))
    assert play.vm.facts().state is VmState.PAUSED
    play.vm.resume()
    assert play.vm.facts().state is VmState.RUNNING


def test_cut_of_a_vm_that_is_off_changes_its_definition(play_with: PlayWith) -> None:
    """A cold cut puts the layers into the definition; the VM boots from them and the frozen images stay."""
    play = play_with("qcow2", "raw")
    before, _ = play.guest.tick()
    play.vm.stop()
    frozen = play.heads()
    layers = play.layers()
    assert play.vm.cut(layers, None, True, quiet).consistency is Consistency.STOPPED
    assert play.heads() == layers
    held = [play.counter_in(image) for image in frozen.values()]
    assert all(counter >= before for counter in held)
    play.vm.start()
    play.guest.tick()
    assert [play.counter_in(image) for image in frozen.values()] == held


def test_memory_of_a_vm_that_is_off_is_refused(play_with: PlayWith) -> None:
    """There is no RAM to save while a VM is off."""
    play = play_with(on=False)
    with pytest.raises(MemoryNeedsRunning):
        play.vm.cut(play.layers(), f"{play.home()}/memory", False, quiet)


def test_cut_leaves_other_disks_alone(play: Play) -> None:
    """A volume that was not named keeps its image."""
    raw = play.heads()["vdb"]
    layers = play.layers("vda")
    play.vm.cut(layers, None, False, quiet)
    assert play.heads() == layers | {"vdb": raw}


def test_cancelled_memory_cut_cuts_nothing(play_with: PlayWith) -> None:
    """A cancel while RAM is written ends the cut: the VM runs on its old heads and no memory file is left."""
    play = play_with("qcow2", memory_mib=768, ballast_mib=512)
    heads, memory = play.heads(), f"{play.home()}/memory"
    layers = play.layers()
    stop = Stop(at=2)
    with pytest.raises(Cancelled):
        play.vm.cut(layers, memory, False, stop)
    assert play.heads() == heads
    assert not play.images.exists(memory)
    assert play.vm.facts().state is VmState.RUNNING
    play.guest.tick()


def test_cut_tells_how_far_it_is(play_with: PlayWith) -> None:
    """A long cut tells at least every half second how many bytes of RAM are saved of how many."""
    play = play_with("qcow2", memory_mib=768, ballast_mib=512)
    listen = Stop(at=1_000_000)
    play.vm.cut(play.layers(), f"{play.home()}/memory", False, listen)
    assert len(listen.heard) > 2
    assert 0 < max(done for done, _ in listen.heard) <= max(total for _, total in listen.heard)
    assert max(later - sooner for sooner, later in pairwise(listen.times)) < 0.5


def test_vm_with_a_block_job_is_busy(play_with: PlayWith) -> None:
    """While a volume is being merged a cut is refused as busy and nothing is cut."""
    play = play_with()
    base = play.heads()["vda"]
    head = play.cut_hot()["vda"]
    play.vm.start_commit("vda", head.path, base.path)
    with pytest.raises(VmBusy):
        play.vm.cut(play.layers(), None, False, quiet)
    assert play.heads()["vda"] == head


# --- on and off ------------------------------------------------------------------------------------------


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


# --- live merges ----------------------------------------------------------------------------------------


def test_head_is_merged_while_the_guest_runs(play: Play) -> None:
    """After a live merge of the head and its pivot the base holds all the guest wrote, and the guest goes on there."""
    base = play.heads()
    layers = play.cut_hot()
    for target, head in layers.items():
        play.guest.tick()
        play.vm.start_commit(target, head.path, base[target].path)
        wait_until(lambda target=target: (job := play.vm.block_job(target)) and job.ready)
        job = play.vm.block_job(target)
        assert job is not None
        assert job.kind == "active_commit"
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
    wait_until(lambda: (job := play.vm.block_job("vda")) and job.ready)
    play.vm.abort_block_job("vda")
    play.vm.abort_block_job("vda")
    assert play.vm.block_job("vda") is None
    assert play.vm.live_chain("vda") == (head.path, base.path)
    before, _ = play.guest.tick()
    play.vm.stop()
    assert play.counter_in(head) >= before


def test_pivot_before_it_is_ready_is_an_error(play_with: PlayWith) -> None:
    """There is nothing to pivot without a merge."""
    with pytest.raises(HypervisorFailed):
        play_with().vm.pivot("vda")


# --- images ---------------------------------------------------------------------------------------------


def test_new_layer_is_private_and_owned_like_its_backing(play: Play) -> None:
    """A layer is an empty qcow2 on its backing image, mode 0600, with that image's owner, and nothing lies beside it."""
    below = play.heads()["vdb"]
    path = f"{play.home()}/vdb-{uuid4()}.qcow2"
    play.images.create_layer(path, below, 128 << 20)
    play.images.create_layer(path, below, 64 << 20)
    mode, owner = play.stage.looks(path)
    assert (mode, owner) == (0o600, play.stage.looks(below.path)[1])
    assert play.images.listing(play.home()) == (path,)
    top, bottom = play.images.chain(path)
    assert (top.format, top.virtual_bytes, top.backing, top.backing_format) == (
        "qcow2",
        64 << 20,
        below.path,
        "raw",
    )
    assert (bottom.path, bottom.format) == (below.path, "raw")


def test_chain_with_a_hole_names_the_missing_file(play_with: PlayWith) -> None:
    """A chain whose lower image is gone cannot be read, and the error says which file it is."""
    play = play_with(on=False)
    middle = play.layers()["vda"]
    top = play.layers(on={"vda": middle})["vda"]
    play.images.remove(middle.path)
    with pytest.raises(HypervisorFailed, match=middle.path):
        play.images.chain(top.path)
    assert play.images.facts(middle.path) is None


def test_frozen_layer_is_copied_while_the_vm_runs(play: Play) -> None:
    """A copy of a frozen layer holds what it reads as through its chain, and needs no other file."""
    play.cut_hot()
    frozen = play.heads()
    play.guest.tick()
    play.cut_hot()
    for target, layer in frozen.items():
        copy = f"{play.home()}/copies/{target}.qcow2"
        play.images.convert(layer, copy, quiet)
        assert play.counter_in(Source(copy, "qcow2")) == play.counter_in(layer)
        (facts,) = play.images.chain(copy)
        assert facts.virtual_bytes == 64 << 20
        assert play.stage.looks(copy)[0] == 0o600
        assert play.images.sha256(copy, quiet) == play.images.sha256(copy, quiet)
        assert play.images.sha256(copy, quiet) != play.images.sha256(layer.path, quiet)


def test_live_head_is_never_copied(play_with: PlayWith) -> None:
    """An image that a running VM writes to cannot be copied: it would be half of one moment and half of the next."""
    play = play_with()
    copy = f"{play.home()}/copy.qcow2"
    with pytest.raises(HypervisorFailed, match="lock"):
        play.images.convert(play.heads()["vda"], copy, quiet)
    assert not play.images.exists(copy)


@pytest.mark.parametrize("at", [1, 2])
def test_cancelled_copy_leaves_nothing(play_with: PlayWith, at: int) -> None:
    """A copy that is cancelled leaves no file."""
    play = play_with(on=False)
    folder = f"{play.home()}/copies"
    with pytest.raises(Cancelled):
        play.images.convert(play.heads()["vda"], f"{folder}/copy.qcow2", Stop(at))
    assert play.images.listing(folder) == ()


def test_offline_merge_grows_the_base_and_moves_the_data(play_with: PlayWith) -> None:
    """Merged offline, the base holds and is as large as what lay above it, and the children read the same on it."""
    play = play_with()
    base = play.heads()["vda"]
    play.vm.stop()
    middle = play.home() + "/middle.qcow2"
    play.images.create_layer(middle, base, 96 << 20)
    play.vm.define(play.vm.definition(), {"vda": Source(middle, "qcow2")})
    play.vm.start()
    play.guest.tick()
    play.vm.stop()
    child = play.layers()["vda"]
    held = play.counter_in(child)
    heard = Stop(at=1000)
    play.images.commit(middle, base.path, heard)
    assert heard.heard[-1][0] == heard.heard[-1][1] > 0
    play.images.rebase(child.path, base)
    play.images.remove(middle)
    assert play.counter_in(child) == held
    facts = play.images.chain(child.path)
    assert [image.path for image in facts] == [child.path, base.path]
    assert facts[1].virtual_bytes == 96 << 20


def test_image_in_use_is_not_merged_offline(play_with: PlayWith) -> None:
    """An offline merge into what a running VM uses is refused."""
    play = play_with()
    base = play.heads()["vda"]
    head = play.cut_hot()["vda"]
    with pytest.raises(HypervisorFailed, match="lock"):
        play.images.commit(head.path, base.path, quiet)


def test_small_files_come_whole_and_go(play_with: PlayWith) -> None:
    """Small files are written, read, renamed, copied, listed and removed; removing what is gone is no error."""
    play = play_with(on=False)
    folder = f"{play.home()}/one.snapshot"
    play.images.write_text(f"{folder}/manifest.json", "하나\n")
    play.images.write_text(f"{folder}/manifest.json", "둘\n")
    assert play.stage.looks(f"{folder}/manifest.json")[0] == 0o600
    play.images.rename(f"{folder}/manifest.json", f"{folder}/renamed.json")
    play.images.copy(f"{folder}/renamed.json", f"{folder}/copied.json")
    assert play.images.read_text(f"{folder}/copied.json") == "둘\n"
    assert play.images.read_text(f"{folder}/manifest.json") is None
    assert play.images.listing(folder) == (f"{folder}/copied.json", f"{folder}/renamed.json")
    assert play.images.listing(f"{folder}/none") == ()
    assert play.images.size_bytes(f"{folder}/renamed.json") > 0
    assert play.images.size_bytes(f"{folder}/none") == 0
    assert play.images.free_bytes(f"{folder}/not/yet/there") > 1 << 20
    play.images.remove(folder)
    play.images.remove(folder)
    assert not play.images.exists(folder)
    assert play.images.listing(play.home()) == ()


# --- what is seen ---------------------------------------------------------------------------------------


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


def test_snapshots_of_others_are_reported(play_with: PlayWith) -> None:
    """A snapshot that somebody else took with libvirt is told by its name."""
    play = play_with("qcow2", on=False)
    play.guest.take_foreign_snapshot("theirs")
    assert play.vm.facts().foreign_snapshots == ("theirs",)


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


# --- when the daemon dies ---------------------------------------------------------------------------------


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
