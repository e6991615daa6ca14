"""Before a file is removed or written into: is it really nobody else's? Asked each time, of the host as it is then.

A plan may be old when it is carried out, and another VM, a clone or a person may have taken up an image meanwhile. What
is still needed stays, and the job says so; a file too many can be removed later, a file too few cannot be brought back.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from hypervisor.port import Host, Images, Vm, VmFacts, VolumeFacts
from stillframe.errors import StillframeError
from stillframe.layers import Tree
from stillframe.rules import ALIVE

#: Seconds for which what may pass is waited for.
SOON_S = 5.0
_LOOK_S = 0.1


class _User(NamedTuple):
    """Who needs an image, and whether that may be over in a moment."""

    name: str
    may_pass: bool = False


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
    a snapshot of another tool froze is needed in any case. A VM whose images are out of reach may need anything.

    What may pass is waited for: a libvirtd that was just started has yet to find its VMs again, and to let QEMU close the
    layers of a merge that ended meanwhile.
    """
    until = time.monotonic() + SOON_S
    while (user := _user(work, paths, tree, own_too=own_too)) and user.may_pass and time.monotonic() < until:
        time.sleep(_LOOK_S)
    return user and user.name


def _user(work: Asking, paths: Sequence[str], tree: Tree, *, own_too: bool) -> _User | None:
    identities = {identity for path in paths if (identity := work.images.identity(path))}
    for vm in work.host.vms():
        if vm.unreadable:
            return _User(f"perhaps VM {vm.name}, which cannot be read: {vm.unreadable}", may_pass=True)
        own = vm.uuid == work.vm.uuid
        stands_on, away = _reach(work, vm, vm.images)
        if identities & stands_on and (own_too or not own):
            return _User(f"VM {vm.name}", may_pass=own)
        frozen, frozen_away = _reach(work, vm, _frozen_by_others(vm))
        if identities & frozen:
            return _User(f"a snapshot of VM {vm.name} that another tool made")
        # Of its own VM the manifests tell what stands on what.
        if not own and (away := [*away, *frozen_away, *_of_stopped_pools(vm)]):
            return _User(f"perhaps VM {vm.name}, of which {away[0]} cannot be read")
    # libvirt's word is not the last: its daemon may have died before it noted what QEMU writes to.
    if own_too and (path := next(filter(work.images.is_open, paths), None)):
        return _User(f"a QEMU that has {path} open", may_pass=True)
    return next(map(_User, _clones(work, paths, identities, tree)), None)


def _frozen_by_others(vm: VmFacts) -> list[str]:
    """The images that are external snapshots of other tools: the VM itself may stand elsewhere by now."""
    return [path for one in vm.foreign_snapshots if one.kind != "internal" for path in one.volumes.values()]


def _reach(work: Asking, vm: VmFacts, paths: Iterable[str]) -> tuple[set[str], list[str]]:
    """The identity of each of these images of a VM and of all below them; and those below which nobody can look."""
    volumes = {volume.path: volume for volume in vm.volumes}
    found: set[str] = set()
    away: list[str] = []
    for path in paths:
        volume = volumes.get(path)
        found.add(work.images.identity(path) or path)
        try:
            chain = work.images.chain(path, volume.format if volume else None)
            found.update(work.images.identity(image.path) or image.path for image in chain)
        except (StillframeError, OSError):
            # Of a VM that is on libvirt tells the whole chain.
            if vm.state not in ALIVE and _may_stand_on_something(work, path, volume):
                away.append(path)
    return found, away


def _may_stand_on_something(work: Asking, path: str, volume: VolumeFacts | None) -> bool:
    """Whether an image that cannot be read may come back: that of a linked clone, on a storage that is not mounted.

    One that was removed from among others does not; an empty folder is what a storage leaves that went away.
    """
    if volume and (volume.device != "disk" or volume.format == "raw" or volume.storage == "network"):
        return False
    if work.images.exists(path) or (volume and volume.storage != "file"):
        return True
    try:
        return not work.images.listing(path.rsplit("/", 1)[0])
    except OSError:
        return True


def _of_stopped_pools(vm: VmFacts) -> list[str]:
    """The disks of a VM that is off whose path libvirt does not tell, for their storage pool is not started."""
    if vm.state in ALIVE:
        return []
    untold = [volume for volume in vm.volumes if volume.storage == "volume" and volume.device == "disk"]
    return [f"{volume.target} (its storage pool is not started)" for volume in untold if not volume.path]


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
