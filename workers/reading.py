"""Reading the truth of one VM off its host: its volumes, the tree of its layers, and why a volume is left out."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from hypervisor.port import Host, ImageFacts, Images, StorageFacts, VmFacts, VolumeFacts
from stillframe.errors import LayerHalfMerged, ManifestMissing, StillframeError, VmDrifted, VmGone
from stillframe.findings import as_text
from stillframe.layers import Layer, Tree
from stillframe.names import TARGET, home_of, is_in_home
from stillframe.rules import ALIVE
from stillframe.seen import HostSeen, Traits, VmSeen, VolumeSeen
from workers import manifests, marks
from workers.foreign import see

logger = logging.getLogger(__name__)

SNAPSHOT_FORMATS = {"raw", "qcow2"}
#: By volume target: the images the VM opens for it, top first.
Chains = Mapping[str, tuple[ImageFacts, ...]]
#: As `names.layer_path` makes them; any other file in a home is not ours.
_LAYER_NAME = re.compile(r"[a-z][a-z0-9]*-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.qcow2")


def why_not(volume: VolumeFacts) -> str | None:
    """Why a disk is left out of snapshots, or None if it is a volume like any other."""
    reasons = (
        (volume.device != "disk", f"it is a {volume.device}"),
        (volume.read_only, "it is read-only"),
        (volume.shared, "it is shared with other VMs"),
        (volume.encrypted, "it is encrypted"),
        (
            volume.storage not in {"file", "block"},
            f"its storage is {volume.storage}, not a file or block device",
        ),
        (volume.format not in SNAPSHOT_FORMATS, f"its format is {volume.format}, not raw or qcow2"),
        (not TARGET.fullmatch(volume.target), f"its target {volume.target!r} is not supported"),
    )
    return next((words for holds, words in reasons if holds), None)


def usable(vm: VmFacts) -> tuple[VolumeFacts, ...]:
    """The volumes a snapshot holds."""
    return tuple(volume for volume in vm.volumes if why_not(volume) is None)


def own_image(chain: tuple[ImageFacts, ...], vm: VmFacts) -> ImageFacts:
    """The volume's own first image: the topmost one that Stillframe did not make. What is below it is not ours to touch."""
    return next((image for image in chain if not is_in_home(image.path, vm.uuid)), chain[-1])


def home_for(vm: VmFacts, volume: VolumeFacts, block_layers_folder: str) -> str:
    """The folder for this volume's layers: beside its own image, or the configured one for a block device."""
    return home_in(vm.uuid, volume, block_layers_folder)


def home_in(vm: UUID, volume: VolumeFacts, block_layers_folder: str) -> str:
    """The same for who knows only the VM's id."""
    if is_in_home(volume.path, vm):
        return volume.path.rsplit("/", 1)[0]
    if volume.storage == "block":
        return home_of(f"{block_layers_folder}/device", vm)
    return home_of(volume.path, vm)


def _layers(vm: VmFacts, chains: Chains) -> tuple[set[str], dict[str, Layer]]:
    """Each volume's own image, and all the layers from its head down to that."""
    layers: dict[str, Layer] = {}
    own_images: set[str] = set()
    for target, chain in chains.items():
        own = own_image(chain, vm)
        own_images.add(own.path)
        for image in chain[: chain.index(own) + 1]:
            layers[image.path] = _layer(image, target, own.path)
    return own_images, layers


@dataclass(frozen=True)
class Reader:
    """Reads trees on one host. `known` are the snapshots that must have a manifest: their folders by id."""

    images: Images
    block_layers_folder: str
    known: Mapping[UUID, str]

    def chains(self, vm: VmFacts) -> Chains:
        """The images of each volume a snapshot holds. Raises HypervisorFailed if a chain has a hole."""
        return {volume.target: self.images.chain(volume.path, volume.format) for volume in usable(vm)}

    def tree(self, vm: VmFacts, chains: Chains | None = None) -> Tree:
        """The layers of all volumes, from the images' own headers, and the snapshots, from their manifests.

        Raises HypervisorFailed if a chain has a hole or a manifest cannot be understood, ManifestMissing if a known
        snapshot has none: what that one needs could not be told from what nobody needs.
        """
        own_images, layers = _layers(vm, self.chains(vm) if chains is None else chains)
        names = _Names(self.images, layers)
        self._add_strays(vm, names, layers)
        found = self.manifests(vm)
        for id_, folder in self.known.items():
            if id_ not in {manifest.id for manifest in found}:
                raise ManifestMissing(snapshot=id_, vm=vm.name, folder=folder)
        tree = Tree(
            layers=layers,
            heads={volume.target: volume.path for volume in usable(vm)},
            frozen={
                manifest.id: {target: names.of(source.path) for target, source in manifest.volumes.items()}
                for manifest in found
                if manifest.state != "deleting"
            },
        )
        half_merged = self.half_merged(vm, names.of)
        return replace(tree, pinned=_pinned(tree, own_images, vm), half_merged=half_merged)

    def half_merged(self, vm: VmFacts, name: Callable[[str], str]) -> dict[str, frozenset[str]]:
        """The bases of merges that are not over, with the tops without which they must not be read; called by `name`."""
        found: dict[str, frozenset[str]] = {}
        for mark in marks.unfinished(self.images, self.homes(vm)):
            base = name(mark.base)
            found[base] = found.get(base, frozenset()) | {name(mark.top)}
        return found

    def manifests(self, vm: VmFacts) -> tuple[manifests.Manifest, ...]:
        """Every snapshot of this VM that lies on the host."""
        return manifests.find(self.images, self.homes(vm), self.known.values())

    def homes(self, vm: VmFacts) -> list[str]:
        """The folders that hold layers and snapshots of this VM now."""
        return sorted({home_for(vm, volume, self.block_layers_folder) for volume in usable(vm)})

    def _add_strays(self, vm: VmFacts, names: "_Names", layers: dict[str, Layer]) -> None:
        """Layers in the VM's homes that no volume stands on now: frozen ones of other branches, and what is left over."""
        for home in self.homes(vm):
            for path in self.images.listing(home):
                if not path.endswith(".qcow2") or names.of(path) in layers:
                    continue
                if image := self.images.facts(path, "qcow2"):
                    target = path.rsplit("/", 1)[1].split("-", 1)[0]
                    layer = _layer(image, target, None)
                    layers[path] = replace(layer, backing=layer.backing and names.of(layer.backing))
                    names.add(path)


class _Names:
    """One name for each file, however many links and mounts lead to it: the first that was met."""

    def __init__(self, images: Images, paths: Mapping[str, Layer]) -> None:
        self._images = images
        self._by_identity: dict[str, str] = {}
        for path in paths:
            self.add(path)

    def add(self, path: str) -> None:
        if identity := self._images.identity(path):
            self._by_identity.setdefault(identity, path)

    def of(self, path: str) -> str:
        return self._by_identity.get(self._images.identity(path) or "", path)


def _pinned(tree: Tree, own_images: set[str], vm: VmFacts) -> frozenset[str]:
    """What must stay as it is: volumes that were detached (somebody may attach them again, here or elsewhere), and
    whatever a file stands on that lies in a home but has not a name of ours.
    """
    pinned = {path for path in tree.layers if tree.line(path)[-1] not in own_images}
    for path in tree.layers:
        if is_in_home(path, vm.uuid) and not _LAYER_NAME.fullmatch(path.rsplit("/", 1)[1]):
            pinned |= set(tree.line(path))
    return frozenset(pinned)


def check_heads(tree: Tree, vm: VmFacts) -> None:
    """A head is frozen by no snapshot and nothing stands on it; raises VmDrifted if somebody changed that.

    Raises LayerHalfMerged if one is, or stands on, a layer that a merge was stopped in, without what must be above it.
    """
    for target, path in tree.heads.items():
        if half := tree.half_read(path):
            raise LayerHalfMerged(path=half[0], top=half[1])
        if snapshots := tree.snapshots_at(path):
            raise VmDrifted(vm=vm.name, target=target, path=path, why=f"snapshot {snapshots[0]} froze")
        if children := tree.children(path):
            raise VmDrifted(vm=vm.name, target=target, path=path, why=f"{children[0]} stands on")


def _layer(image: ImageFacts, target: str, own: str | None) -> Layer:
    return Layer(
        path=image.path,
        target=target,
        format=image.format,
        backing=None if image.path == own else image.backing,
        virtual_bytes=image.virtual_bytes,
        size_bytes=image.size_bytes,
    )


def read_vm(images: Images, vm: VmFacts, block_layers_folder: str, activity: str | None = None) -> VmSeen:
    """A VM as it is at this moment. Without a tree if the images of its volumes cannot be read."""
    chains: Chains = {}
    try:
        reader = Reader(images, block_layers_folder, {})
        chains = reader.chains(vm)
        tree = reader.tree(vm, chains) if chains else None
    except (StillframeError, OSError) as error:
        # The VM itself is still worth reporting; a job that needs the tree will meet the same and say so.
        logger.warning("the layers of VM %s cannot be read: %s", vm.name, error)
        tree = None
    homes = {volume.target: home_for(vm, volume, block_layers_folder) for volume in usable(vm)}
    storages = {home: _storage(images, home) for home in set(homes.values())}
    return VmSeen(
        uuid=vm.uuid,
        name=vm.name,
        state=vm.state,
        reason=vm.reason,
        memory_bytes=vm.memory_bytes,
        volumes=None
        if vm.unreadable
        else tuple(_volume(volume, tree, chains, homes, storages) for volume in vm.volumes),
        tree=tree and _tellable(tree),
        traits=_traits(vm, activity),
        foreign=None if vm.unreadable else tuple(see(images, one, vm, tree) for one in vm.foreign_snapshots),
    )


def _tellable(tree: Tree) -> Tree:
    """Without what lies among the layers under a name that is no text: it is no layer of ours, and no row can name it."""
    odd = {path for path in tree.layers if as_text(path) != path}
    return (
        replace(tree, layers={path: one for path, one in tree.layers.items() if path not in odd})
        if odd
        else tree
    )


def _storage(images: Images, home: str) -> StorageFacts | None:
    try:
        return images.storage(home)
    except (StillframeError, OSError):
        return None  # its storage is away


def _traits(vm: VmFacts, activity: str | None) -> Traits:
    external = [one.name for one in vm.foreign_snapshots if one.kind == "external"]
    internal = [one.name for one in vm.foreign_snapshots if one.kind != "external"]
    return Traits(
        persistent=vm.persistent,
        managed_save=vm.managed_save,
        nvram=vm.nvram,
        tpm=vm.devices.tpm,
        agent=vm.devices.agent,
        host_devices=vm.devices.of_host,
        outside_devices=vm.devices.outside,
        foreign_snapshots=tuple(external),
        internal_snapshots=tuple(internal),
        activity=activity,
        block_jobs=dict(vm.devices.mirrors),
        unreadable=vm.unreadable,
    )


def _volume(
    volume: VolumeFacts,
    tree: Tree | None,
    chains: Chains,
    homes: Mapping[str, str],
    storages: Mapping[str, StorageFacts | None],
) -> VolumeSeen:
    head = tree.layers.get(volume.path) if tree else None
    home = homes.get(volume.target)
    storage = storages[home] if home is not None else None
    return VolumeSeen(
        target=volume.target,
        path=volume.path,
        format=volume.format,
        storage=volume.storage,
        virtual_bytes=head.virtual_bytes if head else volume.virtual_bytes,
        size_bytes=head.size_bytes if head else 0,
        why_not=why_not(volume),
        depth=len(chains.get(volume.target, ())),
        home=home,
        free_bytes=storage.free_bytes if storage else None,
        storage_id=storage.id if storage else None,
        total_bytes=storage.total_bytes if storage else None,
    )


def read_host(host: Host, block_layers_folder: str) -> HostSeen:
    """A hypervisor with all its VMs, but for those of which a migration has left the definition only."""
    facts = host.facts()
    return HostSeen(
        name=facts.name,
        libvirt_version=facts.libvirt_version,
        qemu_version=facts.qemu_version,
        cpus=facts.cpus,
        memory_bytes=facts.memory_bytes,
        vms=tuple(
            read_vm(host.images, vm, block_layers_folder, _activity(host, vm))
            for vm in host.vms()
            if not vm.migrated
        ),
    )


def _activity(host: Host, vm: VmFacts) -> str | None:
    """What libvirt is at with it; one that went away meanwhile is at nothing."""
    if vm.state not in ALIVE or vm.unreadable:
        return None
    try:
        return host.vm(vm.uuid).activity()
    except VmGone:
        return None
