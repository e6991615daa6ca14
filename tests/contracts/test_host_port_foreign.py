"""What every hypervisor promises of the snapshots that other tools made."""

from collections.abc import Callable

import pytest

from hypervisor.port import ForeignSnapshot, Source
from stillframe.errors import Cancelled, HypervisorFailed
from stillframe.states import VmState
from tests.contracts.stages import Play, Stop, quiet

PlayWith = Callable[..., Play]


def only(play: Play) -> ForeignSnapshot:
    """The one snapshot of others that its VM has."""
    (one,) = play.vm.facts().foreign_snapshots
    return one


def paths(play: Play) -> dict[str, str]:
    """The images its volumes write to, by target."""
    return {target: image.path for target, image in play.heads().items()}


def test_internal_snapshot_is_told_with_what_is_known(play_with: PlayWith) -> None:
    """A snapshot in the images is told with its kind, its RAM, the VM's state then, its images and which came before."""
    play = play_with("qcow2", "qcow2")
    heads = paths(play)
    play.guest.take_internal("first one, 한글")
    play.vm.pause()
    play.guest.take_internal("second")
    first, second = play.vm.facts().foreign_snapshots
    assert (first.name, first.kind, first.with_memory, first.state) == (
        "first one, 한글",
        "internal",
        True,
        "running",
    )
    assert (first.volumes, first.parent, first.current, first.known_to_libvirt) == (heads, None, False, True)
    assert first.memory_bytes > 1 << 20
    assert first.created_at > 1_600_000_000
    assert (second.state, second.parent, second.current) == ("paused", first.name, True)
    table = play.images.facts(heads["vda"], "qcow2")
    assert table is not None
    assert table.internal_snapshots == (first.name, second.name)


def test_cold_and_external_snapshots_are_told_apart(play_with: PlayWith) -> None:
    """A snapshot of a VM that is off has no RAM; one in layers names the images that it froze."""
    play = play_with("qcow2", on=False)
    frozen = paths(play)
    play.guest.take_internal("cold")
    play.vm.start()
    play.guest.tick()
    play.guest.take_external("layers")
    cold, layers = play.vm.facts().foreign_snapshots
    assert (cold.kind, cold.with_memory, cold.state, cold.memory_bytes) == ("internal", False, "shutoff", 0)
    assert (layers.kind, layers.with_memory, layers.state) == ("external", False, "disk-snapshot")
    assert layers.volumes == frozen
    assert paths(play) != frozen


def test_snapshot_that_only_the_images_know_is_told(play_with: PlayWith) -> None:
    """What libvirt has forgotten is read from the images' own tables; deleted, it is gone from all of them."""
    play = play_with("qcow2", "qcow2")
    play.guest.take_internal("left")
    play.guest.forget_foreign("left")
    left = only(play)
    assert (left.kind, left.with_memory, left.known_to_libvirt) == ("internal", True, False)
    assert left.volumes == paths(play)
    with pytest.raises(HypervisorFailed):
        play.vm.revert_internal("left")
    play.vm.delete_internal("left")
    assert play.vm.facts().foreign_snapshots == ()
    assert play.guest.tick()
    for image in play.heads().values():
        facts = play.images.facts(image.path, image.format)
        assert facts is not None
        assert facts.internal == ()


def test_internal_revert_brings_back_the_instant(play_with: PlayWith) -> None:
    """RAM, disks and definition are those of the snapshot: same boot, the counter goes on from there, and again so."""
    play = play_with("qcow2", "qcow2")
    play.vm.note("before")
    play.guest.tick()
    play.guest.take_internal("s")
    after, boot = play.guest.tick()
    for _ in range(2):
        while play.guest.tick()[0] < after + 8:
            pass
        play.vm.note("after")
        play.vm.revert_internal("s")
        assert play.vm.facts().state is VmState.RUNNING
        back, same_boot = play.guest.tick()
        assert same_boot == boot
        assert back < after + 8
        assert play.vm.facts().note == "before"
        assert only(play).current


def test_internal_revert_of_a_vm_that_is_off(play_with: PlayWith) -> None:
    """A VM that crashed comes back running in the instant of a snapshot with RAM, and off by one that was taken off."""
    play = play_with("qcow2", on=False)
    play.guest.take_internal("cold")
    play.vm.start()
    _, boot = play.guest.tick()
    play.guest.take_internal("warm")
    play.guest.crash()
    while play.vm.facts().state is VmState.RUNNING:
        pass
    play.vm.revert_internal("warm")
    assert play.guest.tick()[1] == boot
    play.vm.revert_internal("cold")
    assert play.vm.facts().state is VmState.OFF


def test_internal_revert_that_lacks_an_image_leaves_the_vm_off(play_with: PlayWith) -> None:
    """The VM is stopped before the images are looked into: so they are looked at before it is asked."""
    play = play_with("qcow2", "qcow2", on=False)
    play.guest.take_internal("half")
    play.guest.lose_internal("half", paths(play)["vdb"])
    facts = play.images.facts(paths(play)["vdb"], "qcow2")
    assert facts is not None
    assert facts.internal == ()
    assert only(play).volumes == paths(play)
    with pytest.raises(HypervisorFailed):
        play.vm.revert_internal("half")
    assert play.vm.facts().state is VmState.OFF
    play.vm.delete_internal("half")
    assert play.vm.facts().foreign_snapshots == ()


def test_internal_delete_leaves_the_guest_alone(play_with: PlayWith) -> None:
    """The guest goes on in its boot; the others stay, re-parented; twice is as once."""
    play = play_with("qcow2")
    for name in ("one", "two", "three"):
        play.guest.take_internal(name)
    before, boot = play.guest.tick()
    play.vm.delete_internal("two")
    play.vm.delete_internal("two")
    after, same_boot = play.guest.tick()
    assert same_boot == boot
    assert after > before
    assert [(one.name, one.parent) for one in play.vm.facts().foreign_snapshots] == [
        ("one", None),
        ("three", "one"),
    ]


def test_external_snapshot_is_not_touched(play_with: PlayWith) -> None:
    """Neither call takes a snapshot in layers for one in the images."""
    play = play_with("qcow2", agent=False)
    play.guest.take_external("layers")
    heads = paths(play)
    with pytest.raises(HypervisorFailed):
        play.vm.delete_internal("layers")
    with pytest.raises(HypervisorFailed):
        play.vm.revert_internal("layers")
    assert only(play).name == "layers"
    assert paths(play) == heads
    play.guest.tick()


def test_internal_snapshot_is_read_while_the_guest_writes(play_with: PlayWith) -> None:
    """What an internal snapshot holds is copied out of the image that the guest writes to; nothing is left beside it."""
    play = play_with("qcow2", "qcow2")
    before, _ = play.guest.tick()
    play.guest.take_internal("a, b")
    after, _ = play.guest.tick()
    play.guest.tick()
    for target, head in play.heads().items():
        copy = f"{play.home()}/copies/{target}.qcow2"
        play.images.convert_internal(head, "a, b", copy, quiet)
        assert before <= play.counter_in(Source(copy, "qcow2")) <= after
        (facts,) = play.images.chain(copy)
        assert (facts.virtual_bytes, facts.internal) == (64 << 20, ())
        assert play.stage.looks(copy)[0] == 0o600
    assert len(play.images.listing(f"{play.home()}/copies")) == 2
    play.guest.tick()


def test_internal_copy_that_fails_or_is_cancelled_leaves_nothing(play_with: PlayWith) -> None:
    """A name that is not there is an error, a cancel ends the copy, and no file stays."""
    play = play_with("qcow2", agent=False)
    play.guest.take_internal("s")
    head, copy = play.heads()["vda"], f"{play.home()}/copy.qcow2"
    with pytest.raises(HypervisorFailed):
        play.images.convert_internal(head, "nobody", copy, quiet)
    with pytest.raises(Cancelled):
        play.images.convert_internal(head, "s", copy, Stop(2))
    assert play.images.listing(play.home()) == ()


def test_pause_is_ended_by_resume(play: Play) -> None:
    """A paused VM stands still, a second pause changes nothing, and it goes on where it was."""
    before, boot = play.guest.tick()
    play.vm.pause()
    play.vm.pause()
    assert play.vm.facts().state is VmState.PAUSED
    play.vm.resume()
    after, same_boot = play.guest.tick()
    assert (same_boot, after > before) == (boot, True)
    play.vm.stop()
    play.vm.pause()
    assert play.vm.facts().state is VmState.OFF
