"""What taking a snapshot would do."""

from stillframe import plans
from stillframe.counting import Size
from stillframe.errors import (
    AgentUnresponsive,
    ForeignInternalSnapshots,
    ForeignSnapshots,
    NameTaken,
    NoUsableVolume,
)
from stillframe.operations import CreateSnapshot
from stillframe.planning.common import check_places, check_stands, look_around
from stillframe.planning.forecast import Bytes, Draft, Forecast, Pause, Place
from stillframe.planning.known import Limits, VmKnown
from stillframe.planning.warned import (
    ChainDeep,
    DevicesOutside,
    LittleLeft,
    NotQuiesced,
    TpmNotKept,
    VolumesLeftOut,
)
from stillframe.rules import ALIVE, LAYER_FLOOR_BYTES, check_depth, check_memory, memory_needs, type_for
from stillframe.states import SnapshotType, VmState

#: Milliseconds that a VM stood still for a memory snapshot, and its filesystems for a hot one, where that was measured.
PAUSE_MS = (50, 2000)
FREEZE_MS = (100, 1500)
#: An empty qcow2 layer takes about so much.
_EMPTY_LAYER_BYTES = 200 << 10


def plan_create(operation: CreateSnapshot, vm: VmKnown, limits: Limits, *, name_taken: bool) -> Forecast:
    """`operation` may leave its type open; then it becomes what fits the VM."""
    draft = Draft(vm)
    wished = SnapshotType(operation.type) if operation.type else None
    type_ = wished or type_for(vm.name, vm.state, None)
    draft.check("request", lambda: type_for(vm.name, vm.state, wished))
    if name_taken:
        draft.refusals.append(("request", NameTaken(vm=vm.name, name=operation.name)))
    depths = {volume.target: volume.depth for volume in vm.usable}
    draft.check("request", lambda: check_depth(vm.name, depths, limits.chain_limit))
    draft.check("request", lambda: check_memory(vm.name, vm.traits.host_devices, type_))
    look_around(draft)
    check_stands(draft)
    _check_volumes(draft, limits)
    _check_guest(draft, operation, type_)
    places = _places(vm, type_)
    check_places(draft, places, LAYER_FLOOR_BYTES)
    _warn_of_little(draft)
    _tell(draft, type_)
    return draft.done(
        operation,
        plans.steps(operation.kind, type_=type_),
        Bytes(needed=sum(place.needed for place in places), places=places),
        _pause(vm, type_, operation),
    )


def _check_volumes(draft: Draft, limits: Limits) -> None:
    vm = draft.vm
    left_out = [f"{volume.target} ({volume.why_not})" for volume in vm.volumes if volume.why_not]
    if not vm.usable and not vm.traits.unreadable:
        draft.refusals.append(
            ("job", NoUsableVolume(vm=vm.name, why="; ".join(left_out) or "it has no disks"))
        )
    elif left_out:
        draft.warn(VolumesLeftOut(vm=vm.name, volumes=", ".join(left_out)))
    if names := vm.traits.internal_snapshots:
        draft.refusals.append(("job", ForeignInternalSnapshots(vm=vm.name, names=", ".join(names))))
    elif names := vm.traits.foreign_snapshots:
        draft.refusals.append(("job", ForeignSnapshots(vm=vm.name, names=", ".join(names))))
    for volume in vm.usable:
        if limits.chain_warn <= volume.depth < limits.chain_limit:
            draft.warn(
                ChainDeep(vm=vm.name, target=volume.target, depth=volume.depth, limit=limits.chain_limit)
            )


def _check_guest(draft: Draft, operation: CreateSnapshot, type_: SnapshotType) -> None:
    vm, traits = draft.vm, draft.vm.traits
    in_memory = type_ is SnapshotType.MEMORY and traits.tpm == "emulator"
    if traits.tpm and not in_memory:
        draft.warn(TpmNotKept(vm=vm.name, tpm=traits.tpm, type=type_))
    if traits.outside_devices and type_ is SnapshotType.MEMORY:
        draft.warn(DevicesOutside(vm=vm.name, devices=", ".join(traits.outside_devices)))
    freezes = type_ is SnapshotType.HOT and vm.state is VmState.RUNNING and operation.quiesce != "never"
    if not freezes or traits.agent == "connected":
        return
    agent = traits.agent or "not there"
    if operation.quiesce == "require":
        draft.refusals.append(("job", AgentUnresponsive(vm=vm.name, detail=f"its agent is {agent}")))
    else:
        draft.warn(NotQuiesced(vm=vm.name, agent=agent))


def _places(vm: VmKnown, type_: SnapshotType) -> tuple[Place, ...]:
    """Where new layers go, and RAM, which goes beside those of the first volume."""
    found: dict[str, Place] = {}
    for volume in vm.usable:
        if volume.home is None:
            continue
        before = found.get(volume.home)
        needed = _EMPTY_LAYER_BYTES + (before.needed if before else 0)
        found[volume.home] = Place(volume.home, volume.free_bytes, needed, "the new layers")
    if type_ is SnapshotType.MEMORY and found:
        first = next(iter(found.values()))
        ram = memory_needs(vm.memory_bytes)
        found[first.where] = Place(first.where, first.free, first.needed + ram, "the VM's memory")
    return tuple(found.values())


def _warn_of_little(draft: Draft) -> None:
    """A layer grows with what the guest writes, up to its volume's size; a tenth of that is called little."""
    could: dict[str, int] = {}
    free: dict[str, int] = {}
    for volume in draft.vm.usable:
        if volume.home is not None and volume.free_bytes is not None:
            could[volume.home] = could.get(volume.home, 0) + volume.virtual_bytes
            free[volume.home] = volume.free_bytes
    for home, bytes_ in could.items():
        if LAYER_FLOOR_BYTES <= free[home] < bytes_ // 10:
            draft.warn(LittleLeft(where=home, free_bytes=Size(free[home]), could_bytes=Size(bytes_)))


def _tell(draft: Draft, type_: SnapshotType) -> None:
    vm = draft.vm
    targets = ", ".join(volume.target for volume in vm.usable)
    kept = "the disks and the RAM" if type_ is SnapshotType.MEMORY else "the disks"
    draft.tell("kept", f"It keeps {kept} of one instant: {targets or 'no volume'}.")
    if vm.traits.nvram:
        draft.tell("nvram_kept", "The UEFI variables are kept beside it, and come back at a revert.")
    if vm.traits.tpm == "emulator" and type_ is SnapshotType.MEMORY:
        draft.tell("tpm_kept", "The state of the emulated TPM is kept with the RAM.")
    draft.tell(
        "grows", "From then on each volume writes to a layer of its own, which takes what the guest writes."
    )


def _pause(vm: VmKnown, type_: SnapshotType, operation: CreateSnapshot) -> Pause:
    if type_ is SnapshotType.COLD or vm.state not in ALIVE:
        return Pause("none", "The VM is off.")
    if vm.state is VmState.PAUSED:
        return Pause("none", "The VM is paused, and stays so.")
    if type_ is SnapshotType.MEMORY:
        seen = (
            "as it did for its last memory snapshots" if vm.pauses_ms else "none of this VM was measured yet"
        )
        return Pause(
            "pause",
            f"It stands still while the rest of its RAM is written and the volumes are cut ({seen}).",
            _range(vm.pauses_ms, PAUSE_MS),
        )
    if operation.quiesce == "never" or vm.traits.agent != "connected":
        return Pause("none", "The VM runs on.")
    low, high = _range(vm.freezes_ms, FREEZE_MS)
    return Pause(
        "none", f"The VM runs on; what writes to its filesystems waits for about {low} to {high} ms."
    )


def _range(measured: tuple[float, ...], otherwise: tuple[int, int]) -> tuple[int, int]:
    """From half the least to twice the most of what was measured."""
    return (round(min(measured) / 2), round(max(measured) * 2)) if measured else otherwise
