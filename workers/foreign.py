"""What can be done with a snapshot that another tool made, as its VM and its images are at this moment.

Nothing here is about how: the plans are in `workers/operations/foreign.py`, and they ask here again before they act.
"""

import unicodedata

from hypervisor.port import ForeignSnapshot, Images, InternalSnapshot, VmFacts
from stillframe.errors import StillframeError
from stillframe.layers import Tree
from stillframe.names import is_in_home
from stillframe.seen import ForeignSeen

ACTIONS = ("revert", "delete", "extract")


def see(images: Images, one: ForeignSnapshot, vm: VmFacts, tree: Tree | None) -> ForeignSeen:
    """One of them in plain values. `tree` is that of the VM, None if it cannot be read."""
    reasons = {action: why_not(action, images, one, vm, tree) for action in ACTIONS}
    return ForeignSeen(
        name=one.name.replace("\0", "\N{REPLACEMENT CHARACTER}"),  # Postgres keeps no NUL
        kind=one.kind,
        with_memory=one.with_memory,
        state=one.state,
        created_at=one.created_at,
        parent=one.parent,
        current=one.current,
        volumes=dict(one.volumes),
        description=one.description,
        memory_bytes=one.memory_bytes,
        known_to_libvirt=one.known_to_libvirt,
        cannot={action: why for action, why in reasons.items() if why},
    )


def why_not(action: str, images: Images, one: ForeignSnapshot, vm: VmFacts, tree: Tree | None) -> str | None:
    """Why it cannot be reverted to, deleted or extracted from; None if it can."""
    if one.kind != "internal":
        return f"it is {one.kind}, and its chain of images is the business of the tool that made it"
    if why := _cannot_be_told(action, one):
        return why
    holding = targets_holding(images, one)
    if not holding and action != "delete":
        return "none of the images it was made in has it any more"
    why = _is_ambiguous(action, images, one)
    if action == "extract" or why:
        return why
    if why := _is_below(one, vm) or _takes_more(images, one, vm):
        return why
    return _why_no_revert(one, vm, tree, holding) if action == "revert" else None


def _cannot_be_told(action: str, one: ForeignSnapshot) -> str | None:
    """A name goes through XML, and libvirt keeps its record in a file of that name."""
    odd = {"Cc", "Cs", "Cn"} & {unicodedata.category(letter) for letter in one.name}
    if odd or not one.name or "\N{REPLACEMENT CHARACTER}" in one.name:
        return "its name has characters that cannot be told to QEMU"
    if action == "delete" and not one.known_to_libvirt and ("/" in one.name or one.name.startswith(".")):
        return "libvirt has no record of it, and none can be made under its name"
    return None


def targets_holding(images: Images, one: ForeignSnapshot) -> tuple[str, ...]:
    """The volumes whose image of then has the snapshot in its table."""
    return tuple(target for target, path in sorted(one.volumes.items()) if _has(images, path, one.name))


def _has(images: Images, path: str, name: str) -> bool:
    return name in [entry.name for entry in _table(images, path)]


def _table(images: Images, path: str) -> tuple[InternalSnapshot, ...]:
    try:
        image = images.facts(path, "qcow2") if path else None
    except StillframeError:
        return ()
    return image.internal if image else ()


def _is_ambiguous(action: str, images: Images, one: ForeignSnapshot) -> str | None:
    """QEMU is told a name. It takes the first snapshot that has it, and to go back even one whose number it is."""
    for target, path in sorted(one.volumes.items()):
        table = _table(images, path)
        if [entry.name for entry in table].count(one.name) > 1:
            return f"the image of {target} has several of this name, and which one is meant cannot be told to QEMU"
        others = [entry.name for entry in table if entry.id == one.name != entry.name]
        if action == "revert" and others:
            return f"its name is the number of snapshot {others[0]!r} in the image of {target}, and QEMU would go back to that"
    return None


def _takes_more(images: Images, one: ForeignSnapshot, vm: VmFacts) -> str | None:
    """QEMU deletes by name on every disk, and goes back on every disk, whatever libvirt's record says of them."""
    for volume in vm.volumes:
        if volume.target not in one.volumes and _has(images, volume.path, one.name):
            return f"the image of {volume.target} has another of this name, which is none of it"
    return None


def _is_below(one: ForeignSnapshot, vm: VmFacts) -> str | None:
    """QEMU changes the tables of the images it writes to and of no others; what is frozen stays as it is."""
    heads = {volume.target: volume.path for volume in vm.volumes}
    for target, path in sorted(one.volumes.items()):
        if heads.get(target) != path:
            return f"{target} does not write to the image it is in any more ({path})"
    return None


def _why_no_revert(
    one: ForeignSnapshot, vm: VmFacts, tree: Tree | None, holding: tuple[str, ...]
) -> str | None:
    """A revert writes the images anew: whatever stands on them would be lost."""
    if not one.known_to_libvirt:
        return "libvirt has no record of it, only the images have it"
    if lacking := sorted(set(one.volumes) - set(holding)):
        return f"the image of {', '.join(lacking)} has it no more, and the VM would be left off"
    if external := [other.name for other in vm.foreign_snapshots if other.kind != "internal"]:
        return (
            f"the VM has external snapshots too ({', '.join(external)}), whose images would be written into"
        )
    if tree is None:
        return "the layers of the VM cannot be read"
    if tree.frozen or any(is_in_home(path, vm.uuid) for path in tree.layers):
        return "the VM has layers of Stillframe, and a revert would write anew what they stand on"
    return None
