"""Where the VM's volumes stand, and the layers that nothing stands on any more."""

from collections.abc import Iterator

from stillframe.errors import HypervisorFailed
from stillframe.findings import Kind, Repair
from stillframe.layers import Layer
from stillframe.names import is_in_home
from stillframe.rules import ALIVE
from workers import marks
from workers.guard import needed_by
from workers.reading import usable
from workers.reconcile.look import Act, Found, Look, id_in


def heads(look: Look) -> Iterator[Found]:
    """What the VM writes to, live and by its definition."""
    if error := look.drift:
        yield look.found(Kind.HEAD_DRIFTED, error.context.get("target", look.facts.name), error.detail)
    if look.facts.state not in ALIVE or look.unfinished:
        return
    by_definition = {disk.target: disk.path for disk in look.vm.disks_of(look.vm.definition())}
    for volume in usable(look.facts):
        then = by_definition.get(volume.target, volume.path)
        if look.images.identity(then) != look.images.identity(volume.path):
            detail = f"It writes to {volume.path}, and its definition says that it will boot from {then}."
            yield look.found(Kind.HEAD_DRIFTED, volume.target, detail)


def half_merged(look: Look) -> Iterator[Found]:
    """Layers that a merge was writing into when it was stopped."""
    for mark in marks.unfinished(look.images, look.homes):
        if id_in(mark.job) not in look.busy:
            detail = (
                f"A merge was stopped in it: without {mark.top} on top it reads as something that never was."
            )
            yield look.found(Kind.LAYER_HALF_MERGED, mark.base, detail)


def layers(look: Look) -> Iterator[Found]:
    """What neither the VM nor a snapshot refers to."""
    for path, layer in sorted(look.tree.layers.items()):
        if not look.tree.is_idle(path):
            continue
        above = look.tree.children(path)
        if above:
            yield _needed(look, layer, above)
        elif is_in_home(path, look.facts.uuid) and id_in(path) not in look.busy:
            yield _orphan(look, layer)


def _needed(look: Look, layer: Layer, above: tuple[str, ...]) -> Found:
    if len(above) > 1:
        why = f"{len(above)} branches stand on it"
    elif layer.path in look.tree.pinned:
        why = f"something that is not Stillframe's needs it, or {above[0]}"
    else:
        why = f"{above[0]} stands on it; the next deletion or revert merges the two"
    return look.found(
        Kind.LAYER_HIDDEN, layer.path, f"It is of no snapshot, and {why}.", size=layer.size_bytes
    )


def _orphan(look: Look, layer: Layer) -> Found:
    # While a head has drifted or a manifest is lost, nobody can tell what is still wanted.
    if layer.path in look.came_to_nothing and not look.drift and not look.lost:
        detail = "It is of a job that came to nothing, and nothing was ever written to it."
        return look.found(
            Kind.LAYER_ORPHAN,
            layer.path,
            detail,
            size=layer.size_bytes,
            repair=Repair.ITSELF,
            act=_unlink(look, layer.path),
            remedy="Rescan with --repair.",
        )
    detail = "Neither the VM nor a snapshot nor another layer needs it."
    return look.found(Kind.LAYER_ORPHAN, layer.path, detail, size=layer.size_bytes)


def _unlink(look: Look, path: str) -> Act:
    def act() -> str:
        if user := needed_by(look, [path], look.tree, own_too=True):
            raise HypervisorFailed(detail=f"{user} needs it")
        look.images.remove(path)
        return "removed"

    return act
