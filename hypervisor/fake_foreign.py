"""Snapshots that other tools make of a VM of the fake machine, and what libvirt and QEMU do with them."""

import time

from hypervisor import xml
from hypervisor.fake_world import FakeFile, FakeForeign, FakeInternal, FakeVmRow, World
from hypervisor.foreign import with_tables
from hypervisor.port import ForeignSnapshot, ImageFacts, InternalSnapshot, Source
from stillframe.errors import HypervisorFailed
from stillframe.states import VmState

_STATES = {VmState.RUNNING: "running", VmState.PAUSED: "paused"}


def take_internal(world: World, row: FakeVmRow, name: str) -> None:
    """`virsh snapshot-create-as VM NAME`: in the images themselves, with RAM if it is on."""
    at = int(time.time())
    volumes = _heads(row)
    for number, path in enumerate(volumes.values()):
        image = world.image(path)
        if image.format != "qcow2":
            raise HypervisorFailed(detail=f"internal snapshot unsupported for storage type {image.format}")
        memory = xml.memory_bytes_of(row.present) if row.is_on and not number else 0
        image.internal[name] = FakeInternal(at, dict(image.content), memory)
    _note(row, FakeForeign(name, "internal", _state(row), at, row.present, volumes, with_memory=row.is_on))


def take_external(world: World, row: FakeVmRow, name: str) -> None:
    """`virsh snapshot-create-as VM NAME --disk-only`: an overlay beside each head."""
    volumes = _heads(row)
    state = "disk-snapshot" if row.is_on else "shutoff"
    _note(row, FakeForeign(name, "external", state, int(time.time()), row.present, volumes))
    overlays = {}
    for target, path in volumes.items():
        below = world.image(path)
        overlays[target] = Source(f"{path.rsplit('.', 1)[0]}.{name}", "qcow2")
        world.files[overlays[target].path] = FakeFile(
            "image",
            format="qcow2",
            virtual_bytes=below.virtual_bytes,
            backing=path,
            backing_format=below.format,
        )
    row.definition = xml.with_sources(row.definition, overlays)
    row.live = row.live and xml.with_sources(row.live, overlays)


def forget(row: FakeVmRow, name: str) -> None:
    """`virsh snapshot-delete --metadata`: the daemon knows it no more."""
    _drop(row, name)


def seen(world: World, row: FakeVmRow) -> tuple[ForeignSnapshot, ...]:
    """All of them, by name."""
    known = [_known(row, one) for one in row.foreign.values()]
    heads = {
        target: image_facts(path, world.files[path])
        for target, path in _heads(row).items()
        if path in world.files
    }
    return with_tables(known, heads)


def revert(world: World, row: FakeVmRow, name: str) -> None:
    """As libvirt does it: with an image that lacks the snapshot the VM is left off."""
    one = row.foreign.get(name)
    if one is None:
        raise HypervisorFailed(
            detail=f"Domain snapshot not found: no domain snapshot with matching name {name!r}"
        )
    if one.kind != "internal":
        raise HypervisorFailed(detail="revert to external snapshot not supported yet")
    row.end(VmState.OFF, "from_snapshot")
    images = [world.image(path) for path in one.volumes.values()]
    if any(name not in image.internal for image in images):
        raise HypervisorFailed(detail=f"Snapshot {name!r} does not exist in one or more devices")
    for image in images:
        image.content = dict(image.internal[name].content)
    row.definition, row.foreign_current = one.definition, name
    if one.with_memory:
        row.live, row.ram, row.boot_id = one.definition, dict(one.ram), one.boot_id
        row.state = VmState.PAUSED if one.state == "paused" else VmState.RUNNING


def delete(world: World, row: FakeVmRow, name: str) -> None:
    """As libvirt does it, of one it knows and of one it has to be told of."""
    one = row.foreign.get(name)
    if one is not None and one.kind != "internal":
        raise HypervisorFailed(detail=f"snapshot {name!r} is {one.kind}, not internal")
    for path in _heads(row).values():
        world.image(path).internal.pop(name, None)
    _drop(row, name)


def _note(row: FakeVmRow, one: FakeForeign) -> None:
    if one.name in row.foreign:
        raise HypervisorFailed(detail=f"domain snapshot {one.name} already exists")
    one.parent, row.foreign_current = row.foreign_current, one.name
    if one.with_memory:
        one.ram, one.boot_id = dict(row.ram), row.boot_id
    row.foreign[one.name] = one


def _drop(row: FakeVmRow, name: str) -> None:
    gone = row.foreign.pop(name, None)
    if gone is None:
        return
    for other in row.foreign.values():
        if other.parent == name:
            other.parent = gone.parent
    if row.foreign_current == name:
        row.foreign_current = gone.parent


def _known(row: FakeVmRow, one: FakeForeign) -> ForeignSnapshot:
    return ForeignSnapshot(
        name=one.name,
        kind=one.kind,
        with_memory=one.with_memory,
        state=one.state,
        created_at=one.created_at,
        parent=one.parent,
        current=row.foreign_current == one.name,
        volumes=dict(one.volumes),
    )


def _heads(row: FakeVmRow) -> dict[str, str]:
    return {volume.target: volume.path for volume in xml.volumes_of(row.present) if volume.path}


def _state(row: FakeVmRow) -> str:
    return _STATES.get(row.state, "shutoff")


def image_facts(path: str, image: FakeFile) -> ImageFacts:
    """An image's header."""
    return ImageFacts(
        path=path,
        format=image.format,
        virtual_bytes=image.virtual_bytes,
        size_bytes=image.size_bytes,
        backing=image.backing,
        backing_format=image.backing_format,
        internal=tuple(
            InternalSnapshot(
                name.replace("\0", "\N{REPLACEMENT CHARACTER}"), one.created_at, one.memory_bytes, str(number)
            )
            for number, (name, one) in enumerate(image.internal.items(), 1)
        ),
        encrypted=image.encrypted,
    )
