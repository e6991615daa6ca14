"""What every hypervisor promises of the cut and the way back, proved by what guests wrote."""

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from stillframe.errors import (
    AgentUnresponsive,
    Cancelled,
    HypervisorFailed,
    MemoryNeedsRunning,
    VmBusy,
)
from stillframe.states import Consistency, VmState
from tests.contracts.stages import Play, Stop, quiet

PlayWith = Callable[..., Play]


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
    play = play_with("qcow2", memory_mib=512, ballast_mib=300)
    heads, memory = play.heads(), f"{play.home()}/memory"
    layers = play.layers()
    stop = Stop(at=2)
    with play.guest.slowed(), pytest.raises(Cancelled):
        play.vm.cut(layers, memory, False, stop)
    assert play.heads() == heads
    assert not play.images.exists(memory)
    assert play.vm.facts().state is VmState.RUNNING
    play.guest.tick()


def test_a_memory_cut_that_somebody_else_aborts_cuts_nothing(play_with: PlayWith) -> None:
    """Another connection has it given up: the cut fails, the VM runs on its old heads and no memory file is left."""
    play = play_with("qcow2", memory_mib=512, ballast_mib=300)
    heads, memory, other = play.heads(), f"{play.home()}/memory", play.stage.another_host()
    layers = play.layers()
    with play.guest.slowed(), pytest.raises(HypervisorFailed):
        play.vm.cut(layers, memory, False, lambda *_: other.vm(play.guest.uuid).abort_activity())
    assert play.heads() == heads
    assert not play.images.exists(memory)
    assert play.vm.facts().state is VmState.RUNNING
    play.vm.abort_activity()
    play.guest.tick()


def test_cut_tells_how_far_it_is(play_with: PlayWith) -> None:
    """A long cut tells at least every half second how many bytes of RAM are saved of how many."""
    play = play_with("qcow2", memory_mib=512, ballast_mib=300)
    listen = Stop(at=1_000_000)
    layers = play.layers()
    with play.guest.slowed():
        began = time.monotonic()
        play.vm.cut(layers, f"{play.home()}/memory", False, listen)
        ended = time.monotonic()
    assert all(0 <= done <= total and total > 0 for done, total in listen.heard)
    assert max(later - sooner for sooner, later in pairwise([began, *listen.times, ended])) < 0.5
    assert max(done for done, _ in listen.heard) > 0


def test_restore_tells_how_far_it_is_and_goes_on_to_its_end(play_with: PlayWith) -> None:
    """It tells how many bytes of the memory file are read of how many, never less than before; a cancel comes too late."""
    play = play_with("qcow2", memory_mib=768, ballast_mib=512)
    frozen, memory = play.heads(), f"{play.home()}/memory"
    play.vm.cut(play.layers(), memory, False, quiet)
    _, boot = play.guest.tick()
    size = play.images.size_bytes(memory)
    play.vm.stop()
    listen = Stop(at=1_000_000)
    play.vm.restore(memory, play.layers(on=frozen), listen)
    told = [(done, total) for done, total in listen.heard if total]
    assert told
    assert all(total >= size // 2 for _, total in told)  # allocated or apparent
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert any(0 < done < total for done, total in told)
    play.vm.stop()
    stop = Stop(at=1)
    with pytest.raises(Cancelled):
        play.vm.restore(memory, play.layers(on=frozen), stop)
    assert play.guest.tick()[1] == boot


def test_layer_on_something_else_is_refused(play: Play) -> None:
    """A layer that does not stand on the present head is refused before anything is cut, on and off."""
    heads = play.heads()
    astray = play.layers(on=play.layers())
    for targets in (("vda",), ("vda", "vdb")):
        with pytest.raises(HypervisorFailed, match=r"is (not )?a layer on"):
            play.vm.cut({target: astray[target] for target in targets}, None, False, quiet)
    with pytest.raises(HypervisorFailed):
        play.vm.cut({"vdz": astray["vda"]}, None, False, quiet)
    play.vm.stop()
    with pytest.raises(HypervisorFailed, match=r"is (not )?a layer on"):
        play.vm.cut(astray, None, False, quiet)
    assert play.heads() == heads


def test_layer_of_another_size_is_refused(play: Play) -> None:
    """A volume that was resized since its layer was made would lose its end under it."""
    layers = play.layers()
    heads = play.heads()
    play.images.create_layer(layers["vda"].path, heads["vda"], 32 << 20)
    with pytest.raises(HypervisorFailed, match="vda has"):
        play.vm.cut(layers, None, False, quiet)
    assert play.heads() == heads


def test_vm_with_a_block_job_is_busy(play_with: PlayWith) -> None:
    """While a volume is being merged a cut is refused as busy and nothing is cut."""
    play = play_with()
    base = play.heads()["vda"]
    head = play.cut_hot()["vda"]
    play.vm.start_commit("vda", head.path, base.path)
    with pytest.raises(VmBusy):
        play.vm.cut(play.layers(), None, False, quiet)
    assert play.heads()["vda"] == head


def test_what_qemu_has_open_for_nothing_is_let_go_of(play_with: PlayWith) -> None:
    """Nobody has it open afterwards; what the VM stands on stays open, and so does what it does not have."""
    play = play_with()
    base, head = play.heads()["vda"].path, play.cut_hot()["vda"].path
    left = play.layers()["vda"].path
    play.guest.leave_open(left)
    assert play.images.is_open(left)

    assert play.vm.let_go(left)
    assert not play.images.is_open(left)
    assert [play.vm.let_go(path) for path in (left, head, base)] == [False, False, False]
    assert play.images.is_open(head)
    assert play.images.is_open(base)
    play.guest.tick()


@pytest.mark.parametrize("formats", [("qcow2",), ("raw", "qcow2")], ids=str)
def test_a_cut_that_the_daemon_forgot_is_taken_back(play_with: PlayWith, formats: tuple[str, ...]) -> None:
    """The daemon dies between QEMU's cut and its note: all that was written since is below again, and a cut works."""
    play = play_with(*formats)
    frozen, layers = play.heads(), play.layers()
    assert not play.vm.unnoted(layers)
    with play.stage.daemon_forgets(play.guest):
        play.vm.cut(layers, None, False, quiet)
    play.host.reconnect(30)
    assert play.heads() == frozen
    written, boot = play.guest.tick()

    assert play.vm.unnoted(layers) == layers
    left = list[str]()
    for target, layer in layers.items():
        play.vm.take_back(target, layer.path, quiet, partial(left.append, target))

    assert (play.heads(), play.vm.unnoted(layers), left) == (frozen, {}, list(layers))
    play.vm.take_back("vda", layers["vda"].path, quiet, partial(left.append, "vda"))
    assert left == list(layers)
    again = play.layers(on=frozen)
    play.vm.cut(again, None, False, quiet)
    assert play.heads() == again
    after, same_boot = play.guest.tick()
    assert same_boot == boot
    play.vm.stop()
    for source in frozen.values():
        assert written <= play.stage.counter_in(source) <= after
