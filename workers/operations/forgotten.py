"""A cut that QEMU made and libvirt did not live to note: it names the images below, and what the guest wrote is above.

While that QEMU lives, it brings it down itself. Should it die in the middle, what is below is half merged and still what
libvirt names: so before the first byte goes down each volume has the mark of a merge, and the definition names the layers.

When it has died before only the images can tell. All volumes change over in one instant, so if one layer holds anything the
guest went on in all of them; and if nothing was written below since then, nobody has started the VM there.
"""

from collections.abc import Mapping
from functools import partial

from hypervisor.port import Source
from stillframe.errors import LayerHalfMerged
from stillframe.names import left_path
from stillframe.rules import ALIVE
from workers import marks
from workers.operations.merge_state import was_used_again
from workers.operations.merging import merge_at_once
from workers.steps import Work


def recover(work: Work, layers: Mapping[str, Source], below: Mapping[str, Source]) -> tuple[str, ...]:
    """Has the VM go on where its guest wrote last; the layers that hold something, and that it cannot go on in any more.

    A cut is either kept in all volumes or taken back in all of them. The layers of one that was taken back are gone.
    """
    _prepare(work, work.vm.unnoted(layers), below)
    left = go_on(work, layers, below)
    if any(marks.read(work.images, layer.path) for layer in layers.values()):
        named = {disk.path for disk in work.vm.disks_of(work.vm.definition())}
        if not left or any(layer.path in named for layer in layers.values()):
            _bring_back(work, layers, below)
    return left_behind(work, layers)


def _prepare(work: Work, unnoted: Mapping[str, Source], below: Mapping[str, Source]) -> None:
    """Sees that whatever dies from here on, the VM is started on the layers, and nobody reads what is below alone.

    In this order: a mark without that definition would stand for a merge into what the VM is started on.
    """
    if not unnoted:
        return
    work.vm.define(work.vm.definition(), unnoted)
    if not work.vm.unnoted(unnoted):
        if _runs_without(work, unnoted):  # it was started right before its definition named them
            work.vm.define(work.vm.definition(), {target: below[target] for target in unnoted})
        return
    for target, layer in unnoted.items():
        if marks.read(work.images, layer.path) is None:
            marks.write(work.images, marks.Mark(below[target].path, layer.path, str(work.job)))


def _runs_without(work: Work, layers: Mapping[str, Source]) -> bool:
    facts = work.vm.facts()
    used = {volume.path for volume in facts.volumes}
    return facts.state in ALIVE and not any(layer.path in used for layer in layers.values())


def _bring_back(work: Work, layers: Mapping[str, Source], below: Mapping[str, Source]) -> None:
    """One volume after the other: what QEMU does not bring down any more is merged like any other."""
    for target, layer in layers.items():
        work.vm.take_back(
            target, layer.path, work.pulse, partial(marks.say_down_now, work.images, layer.path)
        )
        merge_at_once(work, target, layer.path, below[target])


def go_on(work: Work, layers: Mapping[str, Source], below: Mapping[str, Source]) -> tuple[str, ...]:
    """Has a VM that is off go on in the layers that its guest wrote to last; those that it cannot go on in any more."""
    left = left_behind(work, layers)
    if left and work.vm.facts().state not in ALIVE and _were_written_last(work, left, below):
        still = {target: layer for target, layer in layers.items() if not _is_below(work, layer.path)}
        work.vm.define(work.vm.definition(), still)
    return left_behind(work, layers)


def put_aside(work: Work, layers: Mapping[str, Source]) -> None:
    """Gives those that the VM cannot go on in another name: they are no layers of it any more, and nobody merges them.

    Raises LayerHalfMerged, and leaves all as it is, if an image below has a part of one: alone it is nothing that ever was.
    """
    left = left_behind(work, layers)
    for path in left:
        if (mark := marks.read(work.images, path)) and not mark.down:
            raise LayerHalfMerged(path=mark.base, top=path)
    for path in left:
        work.images.rename(path, left_path(path))


def left_behind(work: Work, layers: Mapping[str, Source]) -> tuple[str, ...]:
    """The layers that hold what a guest wrote, though the VM does not use them."""
    paths = [layer.path for layer in layers.values()]
    if {volume.path for volume in work.vm.facts().volumes}.intersection(paths):
        return ()
    return tuple(path for path in paths if _holds_something(work, path))


def _holds_something(work: Work, path: str) -> bool:
    return not _is_below(work, path) and not work.images.is_empty(path)


def _is_below(work: Work, path: str) -> bool:
    """Whether all of a layer has gone down: an undo merged it, and died before or after it had removed it."""
    mark = marks.read(work.images, path)
    if not work.images.exists(path):
        return True
    return mark is not None and (mark.whole or (mark.down and not was_used_again(work, path, mark.base)))


def _were_written_last(work: Work, left: tuple[str, ...], below: Mapping[str, Source]) -> bool:
    """Whether nothing below any volume was written to later than the layers were, taken together."""
    above_at = [work.images.written_at(path) or 0 for path in left]
    below_at = [work.images.written_at(source.path) for source in below.values()]
    return all(at is not None and at <= max(above_at) for at in below_at)
