"""Reading the truth of one VM off its host: its volumes, the tree of its layers, and why a volume is left out."""

import logging
from collections.abc import Iterable
from dataclasses import replace

from hypervisor.port import Host, ImageFacts, Images, VmFacts, VolumeFacts
from stillframe.errors import StillframeError
from stillframe.layers import Layer, Tree
from stillframe.names import TARGET, home_of, is_in_home
from stillframe.seen import HostSeen, VmSeen, VolumeSeen
from workers import manifests

logger = logging.getLogger(__name__)

SNAPSHOT_FORMATS = {"raw", "qcow2"}


def why_not(volume: VolumeFacts) -> str | None:
    """Why a disk is left out of snapshots, or None if it is a volume like any other."""
    if volume.device != "disk":
        return f"it is a {volume.device}"
    if volume.read_only:
        return "it is read-only"
    if volume.shared:
        return "it is shared with other VMs"
    if volume.storage not in {"file", "block"}:
        return f"its storage is {volume.storage}, not a file or block device"
    if volume.format not in SNAPSHOT_FORMATS:
        return f"its format is {volume.format}, not raw or qcow2"
    return None if TARGET.fullmatch(volume.target) else f"its target {volume.target!r} is not supported"


def usable(vm: VmFacts) -> tuple[VolumeFacts, ...]:
    """The volumes a snapshot holds."""
    return tuple(volume for volume in vm.volumes if why_not(volume) is None)


def own_image(chain: tuple[ImageFacts, ...], vm: VmFacts) -> ImageFacts:
    """The volume's own first image: the topmost one that Stillframe did not make. What is below it is not ours to touch."""
    return next((image for image in chain if not is_in_home(image.path, vm.uuid)), chain[-1])


def home_for(images: Images, vm: VmFacts, volume: VolumeFacts, block_layers_folder: str) -> str:
    """The folder for this volume's layers: beside its own image, or the configured one for a block device."""
    if is_in_home(volume.path, vm.uuid):
        return volume.path.rsplit("/", 1)[0]
    if volume.storage == "block":
        return home_of(f"{block_layers_folder}/device", vm.uuid)
    return home_of(volume.path, vm.uuid)


def read_tree(images: Images, vm: VmFacts, block_layers_folder: str) -> Tree:
    """The layers of all volumes, from the images' own headers, and the snapshots, from their manifests.

    Raises HypervisorFailed if a chain has a hole.
    """
    layers: dict[str, Layer] = {}
    pinned: set[str] = set()
    own_images: set[str] = set()
    homes = {home_for(images, vm, volume, block_layers_folder) for volume in usable(vm)}
    for volume in usable(vm):
        chain = images.chain(volume.path, volume.format)
        own = own_image(chain, vm)
        own_images.add(own.path)
        for image in chain[: chain.index(own) + 1]:
            layers[image.path] = _layer(image, volume.target, own.path)
            if image is not own and not is_in_home(image.path, vm.uuid):
                pinned |= {image.path, image.backing or image.path}
    for path in _files(images, homes, ".qcow2"):
        if path not in layers and (stray := images.facts(path, "qcow2")):
            layers[path] = _layer(stray, path.rsplit("/", 1)[1].split("-", 1)[0], None)
    tree = Tree(
        layers=layers,
        heads={volume.target: volume.path for volume in usable(vm)},
        frozen={
            manifest.id: {target: source.path for target, source in manifest.volumes.items()}
            for manifest in manifests.in_homes(images, sorted(homes))
            if manifest.state != "deleting"
        },
    )
    # A volume that was detached keeps its layers: somebody may attach it again, here or elsewhere.
    detached = {path for path in layers if tree.line(path)[-1] not in own_images}
    return replace(tree, pinned=frozenset(pinned | detached))


def _files(images: Images, homes: Iterable[str], ending: str) -> list[str]:
    return [path for home in sorted(homes) for path in images.listing(home) if path.endswith(ending)]


def _layer(image: ImageFacts, target: str, own: str | None) -> Layer:
    return Layer(
        path=image.path,
        target=target,
        format=image.format,
        backing=None if image.path == own else image.backing,
        virtual_bytes=image.virtual_bytes,
        size_bytes=image.size_bytes,
    )


def read_vm(images: Images, vm: VmFacts, block_layers_folder: str) -> VmSeen:
    """A VM as it is at this moment. Without a tree if the images of its volumes cannot be read."""
    try:
        tree = read_tree(images, vm, block_layers_folder) if usable(vm) else None
    except (StillframeError, OSError) as error:
        # The VM itself is still worth reporting; a job that needs the tree will meet the same and say so.
        logger.warning("the layers of VM %s cannot be read: %s", vm.name, error)
        tree = None
    return VmSeen(
        uuid=vm.uuid,
        name=vm.name,
        state=vm.state,
        reason=vm.reason,
        memory_bytes=vm.memory_bytes,
        volumes=tuple(_volume(images, volume, tree) for volume in vm.volumes),
        tree=tree,
    )


def _volume(images: Images, volume: VolumeFacts, tree: Tree | None) -> VolumeSeen:
    head = tree.layers.get(volume.path) if tree else None
    return VolumeSeen(
        target=volume.target,
        path=volume.path,
        format=volume.format,
        storage=volume.storage,
        virtual_bytes=head.virtual_bytes if head else volume.virtual_bytes,
        size_bytes=head.size_bytes if head else 0,
        why_not=why_not(volume),
    )


def read_host(host: Host, block_layers_folder: str) -> HostSeen:
    """A hypervisor with all its VMs."""
    facts = host.facts()
    return HostSeen(
        name=facts.name,
        libvirt_version=facts.libvirt_version,
        qemu_version=facts.qemu_version,
        cpus=facts.cpus,
        memory_bytes=facts.memory_bytes,
        vms=tuple(read_vm(host.images, vm, block_layers_folder) for vm in host.vms()),
    )
