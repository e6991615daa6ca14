"""The cut of the fake machine: what it refuses, what it changes, and how a VM looks."""

import time
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from hypervisor import fake_foreign, xml
from hypervisor.devices import Devices, devices_of
from hypervisor.fake_machine import FakeMachine
from hypervisor.fake_world import FakeFile, FakeVmRow, World
from hypervisor.port import CutFacts, Pulse, Source, VmFacts, VolumeFacts
from stillframe.errors import (
    AgentUnresponsive,
    HypervisorFailed,
    ManagedSavePresent,
    MemoryNeedsRunning,
    VmBusy,
)
from stillframe.states import Consistency, VmState


def check(
    world: World, row: FakeVmRow, layers: Mapping[str, Source], memory: str | None, quiesce: bool
) -> None:
    """Raises what libvirt would say before anything is cut."""
    name = xml.name_of(row.present)
    if memory and not row.is_on:
        raise MemoryNeedsRunning(vm=name, state=row.state)
    if row.managed_save and not row.is_on:
        raise ManagedSavePresent(vm=name)
    if memory and quiesce:
        raise HypervisorFailed(detail="invalid argument: quiesce requires disk-only")
    _check_layers(world, row, layers)
    if quiesce and row.is_on:
        if row.agent != "answers" or row.state != VmState.RUNNING:
            raise AgentUnresponsive(vm=name, detail="QEMU guest agent is not connected")
        if row.frozen:
            raise HypervisorFailed(
                detail="guest-fsfreeze-freeze has been disabled: the agent is in frozen state"
            )


def _check_layers(world: World, row: FakeVmRow, layers: Mapping[str, Source]) -> None:
    heads = {volume.target: volume.path for volume in xml.volumes_of(row.present)}
    for target, layer in layers.items():
        if target not in heads:
            raise HypervisorFailed(detail=f"no disk named {target!r}")
        if target in row.jobs:
            raise VmBusy(vm=xml.name_of(row.present), detail=f"disk {target!r} already in active block job")
        image = world.files.get(layer.path)
        if image is None or world.real(image.backing or "") != world.real(heads[target]):
            raise HypervisorFailed(detail=f"{layer.path} is not a layer on {heads[target]}")
        if image.virtual_bytes != (now := world.image(heads[target]).virtual_bytes):
            raise HypervisorFailed(detail=f"{target} has {now} bytes, and {layer.path} another size")


def read_slowly(file: FakeFile, pulse: Pulse, machine: FakeMachine) -> Exception | None:
    """Reads a memory file in quarters; what the pulse raises ends nothing, and is returned."""
    for quarter in range(1, 5):
        if machine.pace_s:
            time.sleep(machine.pace_s)
        try:
            pulse(file.size_bytes * quarter // 4, file.size_bytes)
        except Exception as error:
            return error
    return None


def save_slowly(row: FakeVmRow, memory: str, pulse: Pulse, machine: FakeMachine) -> None:
    """The time in which RAM is written while the guest runs on; a cancel here leaves nothing."""
    total = xml.memory_bytes_of(row.present)
    _be_at(machine, row, "snapshot")
    try:
        for quarter in range(4):
            pulse(total * quarter // 4, total)
            time.sleep(machine.pace_s)
            _check_not_aborted(machine, row)
    except BaseException:
        with machine.world() as world:
            world.files.pop(memory, None)
        raise
    finally:
        _be_at(machine, row, None)


def _check_not_aborted(machine: FakeMachine, row: FakeVmRow) -> None:
    with machine.world() as world:
        if world.vms[row.uuid].activity is None:
            raise HypervisorFailed(detail="somebody else aborted it: operation aborted: canceled by client")


def _be_at(machine: FakeMachine, row: FakeVmRow, activity: str | None) -> None:
    with machine.world() as world:
        world.vms[row.uuid].activity = activity


def cut(
    world: World, row: FakeVmRow, layers: Mapping[str, Source], memory: str | None, quiesce: bool
) -> CutFacts:
    """The instant."""
    if memory:
        world.files[memory] = FakeFile(
            "memory",
            text=row.present,
            content=dict(row.ram),
            boot_id=row.boot_id,
            was_paused=row.state == VmState.PAUSED,
            ram_bytes=xml.memory_bytes_of(row.present),
        )
    row.definition = xml.with_sources(row.definition, layers)
    if not row.is_on:
        return CutFacts(Consistency.STOPPED, 0, 0)
    row.live = xml.with_sources(row.present, layers)
    if memory:
        return CutFacts(Consistency.MEMORY, 40 if row.state == VmState.RUNNING else 0, 0)
    if quiesce:
        return CutFacts(Consistency.FILESYSTEM, 0, 120)
    return CutFacts(Consistency.CRASH, 0, 0)


def facts_of(world: World, row: FakeVmRow) -> VmFacts:
    """A VM as it is."""
    if row.unreadable:
        raise HypervisorFailed(detail=row.unreadable)
    return VmFacts(
        uuid=UUID(row.uuid),
        name=xml.name_of(row.definition),
        state=row.state,
        reason=row.reason,
        persistent=row.persistent,
        memory_bytes=xml.memory_bytes_of(row.present),
        volumes=tuple(_seen(world, volume) for volume in xml.volumes_of(row.present)),
        nvram=xml.nvram_of(row.definition),
        managed_save=row.managed_save,
        foreign_snapshots=fake_foreign.seen(world, row),
        note=xml.note_of(row.present),
        images=_images(world, row),
        devices=_devices(row),
    )


def little_of(row: FakeVmRow, why: str) -> VmFacts:
    """A VM that cannot be looked at."""
    return VmFacts(
        uuid=UUID(row.uuid),
        name=xml.name_of(row.definition),
        state=row.state,
        reason="unreadable",
        persistent=row.persistent,
        memory_bytes=0,
        volumes=(),
        unreadable=why,
    )


def _seen(world: World, volume: VolumeFacts) -> VolumeFacts:
    image = world.files.get(volume.path)
    if image is None:
        return volume
    return replace(volume, virtual_bytes=image.virtual_bytes, encrypted=volume.encrypted or image.encrypted)


def _devices(row: FakeVmRow) -> Devices:
    """As the definition has them; what changes from moment to moment is told by the guest itself."""
    found = devices_of(row.present)
    if not row.is_on:
        return found
    mirrors = {target: job.kind for target, job in row.jobs.items() if job.is_head}
    return replace(found, agent=None if row.agent == "absent" else "connected", mirrors=mirrors)


def _images(world: World, row: FakeVmRow) -> tuple[str, ...]:
    """Of a VM that is on the whole chains: libvirt's live definition has them."""
    live = [path for head in xml.images_of(row.live or "<domain/>") for path in world.chain_so_far(head)]
    mirrors = [job.base for job in row.jobs.values()]
    saved = xml.images_of(row.saved or "<domain/>")
    return tuple(dict.fromkeys([*live, *mirrors, *xml.images_of(row.definition), *saved]))
