"""What every hypervisor promises of images and files."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from hypervisor.port import Source
from stillframe.errors import (
    Cancelled,
    HypervisorFailed,
)
from tests.contracts.stages import Play, Stop, quiet

PlayWith = Callable[..., Play]


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
    """Merged offline, the base holds and is as large as what lay above it, and the children read the same on it.

    What went down is as old as it was, and older than what the VM writes to it afterwards.
    """
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
    heard, written_at = Stop(at=1000), play.images.written_at(middle)
    play.images.commit(middle, base.path, heard)
    assert play.images.written_at(middle) == written_at
    play.vm.start()
    play.guest.tick()
    play.vm.stop()
    assert (play.images.written_at(middle) or 0) > (written_at or 0)
    play.images.commit(middle, base.path, heard)
    held = play.counter_in(Source(middle, "qcow2"))
    assert heard.heard[-1][0] == heard.heard[-1][1] > 0
    play.images.rebase(child.path, base)
    play.images.remove(middle)
    assert play.counter_in(child) == held
    facts = play.images.chain(child.path)
    assert [image.path for image in facts] == [child.path, base.path]
    assert facts[1].virtual_bytes == 96 << 20


def test_file_is_the_same_by_all_its_names(play_with: PlayWith) -> None:
    """One file by two names is one, two files are two, and what is not there is none."""
    play = play_with("qcow2", "raw", on=False)
    (vda, vdb), images = play.heads().values(), play.images
    layer = play.layers("vda")["vda"].path
    alias = f"{play.home()}-by-another-name"
    play.stage.alias(alias, play.home())
    other = f"{alias}/{layer.rsplit('/', 1)[1]}"
    assert images.identity(other) == images.identity(layer) is not None
    assert images.facts(other) is not None
    assert len({images.identity(path) for path in (layer, vda.path, vdb.path)}) == 3
    assert images.identity(f"{play.home()}/none") is None
    images.remove(alias)
    assert images.exists(layer)


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


def test_a_storage_is_the_same_for_all_that_share_it(play: Play) -> None:
    """Images and folders that are still to come have one name, which says whether other hosts may have it too."""
    images = play.images
    found = images.storage(play.heads()["vda"].path)
    assert found.id.startswith(("local:", "net:"))
    assert 0 < found.free_bytes <= found.total_bytes
    assert images.storage(f"{play.home()}/not/yet/there").id == found.id


def test_only_a_folder_that_nothing_is_in_is_removed(play_with: PlayWith) -> None:
    """One that holds a file stays with it; empty it goes, and once more is no error; what is written there makes it anew."""
    play = play_with(on=False)
    folder = f"{play.home()}/volumes"
    play.images.write_text(f"{folder}/one.json", "하나")
    play.images.remove_empty(folder)
    assert play.images.read_text(f"{folder}/one.json") == "하나"
    play.images.remove(f"{folder}/one.json")
    for _ in range(2):
        play.images.remove_empty(folder)
        assert not play.images.exists(folder)
    play.images.write_text(f"{folder}/two.json", "둘")
    assert play.images.listing(folder) == (f"{folder}/two.json",)


def test_it_is_known_which_was_written_to_last(play: Play) -> None:
    """A frozen image is older than the layer that the guest writes to; what is not there was never written to."""
    below = play.heads()["vda"].path
    play.guest.tick()
    layer = play.cut_hot()["vda"].path
    play.guest.tick()
    above_at, below_at = play.images.written_at(layer), play.images.written_at(below)
    assert above_at is not None
    assert below_at is not None
    assert above_at > below_at
    assert play.images.written_at(f"{layer}.gone") is None


def test_what_others_have_written_can_be_made_durable(play: Play) -> None:
    """A file that is there is brought onto the storage, and stays as it is; one that is not is an error."""
    path = f"{play.home()}/s1.snapshot/memory.save"
    play.images.write_text(path, "RAM")
    play.images.sync(path)
    assert play.images.read_text(path) == "RAM"
    with pytest.raises(FileNotFoundError):
        play.images.sync(f"{path}.gone")


def test_a_layer_is_empty_until_something_is_written(play: Play) -> None:
    """A layer that was only made holds nothing; one that a guest wrote to does, and so does what stands on nothing."""
    path = f"{play.home()}/vda-{uuid4()}.qcow2"
    play.images.create_layer(path, play.heads()["vda"], 64 << 20)
    assert play.images.is_empty(path)
    assert not play.images.is_empty(play.heads()["vda"].path)
    assert not play.images.is_empty(f"{path}.gone")
    play.images.remove(path)
    play.cut_hot()
    written = play.heads()["vda"].path
    play.guest.tick()
    play.cut_hot()
    assert not play.images.is_empty(written)
