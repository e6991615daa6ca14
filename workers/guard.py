"""Before a file is removed or written into: is it really nobody else's? Asked each time, of the host as it is then.

A plan may be old when it is carried out, and another VM, a clone or a person may have taken up an image meanwhile. What
is still needed stays, and the job says so; a file too many can be removed later, a file too few cannot be brought back.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from hypervisor.port import Host, Images, Vm, VmFacts
from stillframe.errors import StillframeError
from stillframe.layers import Tree


class Asking(Protocol):
    """Who asks: a step's Work, or a look at one VM."""

    @property
    def host(self) -> Host: ...

    @property
    def images(self) -> Images: ...

    @property
    def vm(self) -> Vm: ...


def needed_by(work: Asking, paths: Sequence[str], tree: Tree, *, own_too: bool) -> str | None:
    """Who needs one of these images: another VM on this host or another image in their folders; None if nobody.

    `own_too` counts this VM as well. A VM needs what its live and its persistent definition name, and all below that. What
    a snapshot of another tool froze is needed in any case.
    """
    identities = {identity for path in paths if (identity := work.images.identity(path))}
    for vm in work.host.vms():
        if vm.unreadable:
            return f"perhaps VM {vm.name}, which cannot be read: {vm.unreadable}"
        if (own_too or vm.uuid != work.vm.uuid) and identities & set(_under(work, vm, vm.images)):
            return f"VM {vm.name}"
        if identities & set(_under(work, vm, _frozen_by_others(vm))):
            return f"a snapshot of VM {vm.name} that another tool made"
    # libvirt's word is not the last: its daemon may have died before it noted what QEMU writes to.
    if own_too and (path := next(filter(work.images.is_open, paths), None)):
        return f"a QEMU that has {path} open"
    return next(_clones(work, paths, identities, tree), None)


def _frozen_by_others(vm: VmFacts) -> list[str]:
    """The images that are external snapshots of other tools: the VM itself may stand elsewhere by now."""
    return [path for one in vm.foreign_snapshots if one.kind != "internal" for path in one.volumes.values()]


def _under(work: Asking, vm: VmFacts, paths: Iterable[str]) -> Iterator[str]:
    """The identity of each of these images of a VM, and of all that lies below them."""
    formats = {volume.path: volume.format for volume in vm.volumes}
    for named in paths:
        yield work.images.identity(named) or named
        try:
            for image in work.images.chain(named, formats.get(named)):
                yield work.images.identity(image.path) or image.path
        except (StillframeError, OSError):
            continue  # its chain has a hole, so far as it leads it is counted


def _clones(work: Asking, paths: Iterable[str], identities: set[str], tree: Tree) -> Iterator[str]:
    """Images beside these that stand on one of them and belong to no tree of ours: clones somebody made."""
    known = {work.images.identity(path) for path in tree.layers}
    for folder in sorted({path.rsplit("/", 1)[0] for path in paths}):
        for path in work.images.listing(folder):
            if not path.endswith((".qcow2", ".img")) or work.images.identity(path) in known:
                continue
            try:
                image = work.images.facts(path, "qcow2")
            except StillframeError:
                continue  # not a qcow2 image: it stands on nothing
            if image and image.backing and work.images.identity(image.backing) in identities:
                yield path
