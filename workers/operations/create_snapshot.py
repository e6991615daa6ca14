"""Create: freeze the head of every volume, put an empty layer on top, and with it keep RAM, definition and NVRAM."""

from typing import Any, cast

from hypervisor.port import CutFacts, Source, VmFacts
from stillframe.errors import (
    AgentUnresponsive,
    ColdNeedsStopped,
    ForeignInternalSnapshots,
    HotNeedsRunning,
    HypervisorFailed,
    ManagedSavePresent,
    MemoryNeedsRunning,
    NotSurelyFrozen,
    NoUsableVolume,
    VmBusy,
    VmTransient,
)
from stillframe.names import layer_path, snapshot_folder
from stillframe.operations import CreateSnapshot
from stillframe.rules import ALIVE
from stillframe.states import Consistency, SnapshotType, VmState
from workers import manifests
from workers.manifests import Manifest
from workers.operations.checks import check_idle, check_new_layers, check_room_for_memory
from workers.operations.collecting import check_no_foreign
from workers.operations.merging import merge_at_once, unlink
from workers.operations.standstill import cut_frozen, cut_with_memory, is_held, thaw, wake
from workers.operations.turns import wait_for_turn
from workers.reading import check_heads, home_for, usable, why_not
from workers.steps import Output, Plan, Step, Work


def check_vm(work: Work) -> Output:
    """Looks at the VM and decides all names; refuses what cannot be."""
    facts = work.vm.facts()
    _check_state(facts, _type(work))
    _check_quiet(work, facts)
    _check_no_foreign(facts)
    volumes: dict[str, dict[str, Any]] = {}
    check_heads(work.reader.tree(facts), facts)
    chains = work.reader.chains(facts)
    for volume in usable(facts):
        image = chains[volume.target][0]
        home = home_for(facts, volume, work.block_layers_folder)
        volumes[volume.target] = {
            "path": volume.path,
            "format": volume.format,
            "virtual_bytes": image.virtual_bytes,
            "layer": layer_path(home, volume.target, work.job),
            "home": home,
        }
    if not volumes:
        reasons = [f"{volume.target}: {why_not(volume)}" for volume in facts.volumes]
        raise NoUsableVolume(vm=facts.name, why="; ".join(reasons) or "it has no disks")
    depths = {target: len(chain) for target, chain in chains.items()}
    check_new_layers(work, facts, _type(work), depths, (volume["home"] for volume in volumes.values()))
    folder = snapshot_folder(next(iter(volumes.values()))["home"], work.snapshot)
    if _type(work) == SnapshotType.MEMORY:
        check_room_for_memory(work, facts, folder)
    return {
        "volumes": volumes,
        "folder": folder,
        "vm_state": facts.state,
        "nvram": facts.nvram,
        "frozen": work.vm.is_frozen() if _wants_freeze(work, facts.state) else None,
        "left_out": {volume.target: why for volume in facts.volumes if (why := why_not(volume))},
    }


def make_layers(work: Work) -> Output:
    """Makes all that the cut needs beforehand, so that the VM waits for nothing while it stands."""
    for target, volume in work.outputs["check_vm"]["volumes"].items():
        below = Source(volume["path"], volume["format"])
        work.images.create_layer(_layers(work)[target].path, below, volume["virtual_bytes"])
    if memory := _memory(work):
        work.images.write_text(memory, "")
    return {}


def drop_layers(work: Work) -> None:
    """Removes them again: the VM does not use them."""
    if "check_vm" not in work.outputs:
        return
    unlink(work, [layer.path for layer in _layers(work).values()])
    for folder in _folders(work):
        work.images.remove(folder)


def cut(work: Work) -> Output:
    """The instant itself. After an error it looks whether the cut happened all the same."""
    if _may_be_going_on(work):
        wait_for_turn(work)
    held = is_held(work)
    was_frozen = held and _is_cut(work)
    thaw(work)
    facts = None
    try:
        if work.vm.take_back(_layers(work), work.pulse):
            make_layers(work)  # in them is what has gone down
        if not _is_cut(work):
            facts = _cut_as_wished(work)
    except HypervisorFailed:
        # Disks pivot before libvirt resumes, thaws and answers: its "no" does not mean that nothing happened.
        if not _is_cut(work):
            raise
        was_frozen = is_held(work) and not held
    finally:
        _wake(work)
    if facts is None:
        thaw(work)
        # Who cut did not live to do it: libvirt's own words name layers that may be merged while the VM is off.
        work.vm.define(work.vm.definition(), _layers(work))
        if _must_be_frozen(work) and not was_frozen:
            raise NotSurelyFrozen(vm=work.wards.name)
    return _cut_output(work, facts, was_frozen)


def put_back(work: Work) -> None:
    """If the VM did change over to the new layers, merges them back into what they stand on."""
    if _may_be_going_on(work):
        wait_for_turn(work)
        _wake(work)
    thaw(work)
    if "check_vm" in work.outputs:
        work.vm.take_back(_layers(work), work.pulse)
    if _is_cut(work):
        for target, source in _frozen(work).items():
            merge_at_once(work, target, _layers(work)[target].path, source)


def keep_snapshot(work: Work) -> Output:
    """Copies the NVRAM and writes the manifest: from now on the snapshot is a reference to its layers."""
    nvram = work.outputs["check_vm"]["nvram"]
    if nvram and not work.images.exists(nvram):
        nvram = None  # a VM with UEFI that never ran has none yet
    if nvram:
        work.images.copy(nvram, manifests.nvram_in(work.outputs["check_vm"]["folder"]))
    manifest = _manifest(work, nvram)
    manifests.write(work.images, manifest)
    work.vm.note(manifests.note_of(work.snapshot))
    work.wards.over()
    return {
        "type": manifest.type,
        "folder": manifest.folder,
        "memory_bytes": work.images.size_bytes(manifest.memory_path) if manifest.memory else 0,
    } | work.outputs["cut"]


CREATE_SNAPSHOT = Plan(
    "create_snapshot",
    Step("check_vm", check_vm),
    Step("make_layers", make_layers, undo=drop_layers),
    Step("cut", cut, undo=put_back),
    Step("keep_snapshot", keep_snapshot, final=True),
    result="keep_snapshot",
)


def _type(work: Work) -> SnapshotType:
    kind = cast(CreateSnapshot, work.operation).type
    if kind is None:
        return SnapshotType.HOT if work.vm.facts().state in ALIVE else SnapshotType.COLD
    return SnapshotType(kind)


def _check_state(facts: VmFacts, kind: SnapshotType) -> None:
    on = facts.state in ALIVE
    if kind == SnapshotType.COLD and on:
        raise ColdNeedsStopped(vm=facts.name, state=facts.state)
    if kind == SnapshotType.HOT and not on:
        raise HotNeedsRunning(vm=facts.name, state=facts.state)
    if kind == SnapshotType.MEMORY and not on:
        raise MemoryNeedsRunning(vm=facts.name, state=facts.state)


def _check_quiet(work: Work, facts: VmFacts) -> None:
    if not facts.persistent:
        raise VmTransient(vm=facts.name)
    if facts.managed_save:
        raise ManagedSavePresent(vm=facts.name)
    check_idle(work, facts)
    for volume in usable(facts):
        if facts.state in ALIVE and (job := work.vm.block_job(volume.target)):
            raise VmBusy(vm=facts.name, detail=f"a {job.kind} job runs on {volume.target}")


def _check_no_foreign(facts: VmFacts) -> None:
    if internal := [one.name for one in facts.foreign_snapshots if one.kind != "external"]:
        raise ForeignInternalSnapshots(vm=facts.name, names=", ".join(internal))
    # Deleted by the tool that made it, an external one would take away the very images that ours froze.
    check_no_foreign(facts)


def _layers(work: Work) -> dict[str, Source]:
    volumes = work.outputs["check_vm"]["volumes"]
    return {target: Source(volume["layer"], "qcow2") for target, volume in volumes.items()}


def _frozen(work: Work) -> dict[str, Source]:
    volumes = work.outputs["check_vm"]["volumes"]
    return {target: Source(volume["path"], volume["format"]) for target, volume in volumes.items()}


def _memory(work: Work) -> str | None:
    if cast(CreateSnapshot, work.operation).type != "memory":
        return None
    return manifests.memory_in(work.outputs["check_vm"]["folder"])


def _folders(work: Work) -> set[str]:
    seen = work.outputs["check_vm"]
    return {snapshot_folder(volume["home"], work.snapshot) for volume in seen["volumes"].values()}


def _manifest(work: Work, nvram: str | None) -> Manifest:
    seen = work.outputs["check_vm"]
    return Manifest(
        id=work.snapshot,
        vm=work.vm.uuid,
        folder=seen["folder"],
        state="ready",
        type=cast(CreateSnapshot, work.operation).type or _type_of(seen["vm_state"]),
        volumes=_frozen(work),
        virtual_bytes={target: volume["virtual_bytes"] for target, volume in seen["volumes"].items()},
        homes={target: volume["home"] for target, volume in seen["volumes"].items()},
        vm_state=seen["vm_state"],
        definition=work.vm.definition(),
        memory=_memory(work) is not None,
        nvram=nvram,
        consistency=work.outputs["cut"]["consistency"],
        words=dict(work.words),
    )


def _vm_state(work: Work) -> VmState:
    return VmState(work.outputs["check_vm"]["vm_state"])


def _type_of(vm_state: str) -> SnapshotType:
    return SnapshotType.HOT if VmState(vm_state) in ALIVE else SnapshotType.COLD


def _may_be_going_on(work: Work) -> bool:
    """Whether somebody called for this cut before: another attempt, or this one over a connection that was lost."""
    if "make_layers" not in work.outputs:
        return False
    memory = _memory(work)
    return work.attempt > 1 or (memory is not None and work.images.size_bytes(memory) > 0)


def _is_cut(work: Work) -> bool:
    if "check_vm" not in work.outputs:
        return False
    wanted = {layer.path for layer in _layers(work).values()}
    return bool(wanted & {volume.path for volume in work.vm.facts().volumes})


def _cut_as_wished(work: Work) -> CutFacts:
    layers, memory = _layers(work), _memory(work)
    quiesce = cast(CreateSnapshot, work.operation).quiesce
    if memory and _vm_state(work) == VmState.RUNNING:
        return cut_with_memory(work, layers, memory)
    if not _wants_freeze(work, _vm_state(work)):
        return work.vm.cut(layers, memory, False, work.pulse)
    frozen = work.outputs["check_vm"]["frozen"]
    if frozen:
        # Whoever froze the filesystems has made them consistent already, and will thaw them.
        done = work.vm.cut(layers, None, False, work.pulse)
        return CutFacts(Consistency.FILESYSTEM, done.pause_ms, 0)
    try:
        if frozen is None:
            raise AgentUnresponsive(vm=work.vm.facts().name, detail="no answer to guest-fsfreeze-status")
        return cut_frozen(work, layers, required=quiesce == "require")
    except AgentUnresponsive:
        thaw(work)
        if quiesce == "require":
            raise
        return work.vm.cut(layers, None, False, work.pulse)


def _wants_freeze(work: Work, state: VmState) -> bool:
    operation = cast(CreateSnapshot, work.operation)
    return operation.type != "memory" and operation.quiesce != "never" and state == VmState.RUNNING


def _must_be_frozen(work: Work) -> bool:
    required = cast(CreateSnapshot, work.operation).quiesce == "require"
    return required and _wants_freeze(work, _vm_state(work)) and not work.outputs["check_vm"]["frozen"]


def _wake(work: Work) -> None:
    if _vm_state(work) == VmState.RUNNING:
        wake(work)


def _cut_output(work: Work, facts: CutFacts | None, was_frozen: bool) -> dict[str, Any]:
    if facts is not None:
        died = facts.consistency == Consistency.STOPPED and _vm_state(work) in ALIVE
        return {
            # Of a VM that lost its power after the first look: nobody shut it down.
            "consistency": Consistency.CRASH if died else facts.consistency,
            "pause_ms": facts.pause_ms,
            "freeze_ms": facts.freeze_ms,
        }
    kind = Consistency.FILESYSTEM if was_frozen else Consistency.CRASH
    if _memory(work):
        kind = Consistency.MEMORY
    elif _vm_state(work) not in ALIVE:
        kind = Consistency.STOPPED
    # Cut by an attempt that did not live to tell how: the least that is certain is recorded, and no figures.
    return {"consistency": kind, "pause_ms": None, "freeze_ms": None}
