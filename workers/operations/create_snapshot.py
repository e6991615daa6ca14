"""Create: freeze the head of every volume, put an empty layer on top, and with it keep RAM, definition and NVRAM."""

from typing import Any, cast

from hypervisor.port import VmFacts
from stillframe.errors import (
    ColdNeedsStopped,
    ForeignInternalSnapshots,
    HotNeedsRunning,
    ManagedSavePresent,
    MemoryNeedsRunning,
    NoUsableVolume,
    VmBusy,
    VmTransient,
)
from stillframe.names import layer_path, snapshot_folder
from stillframe.operations import CreateSnapshot
from stillframe.rules import ALIVE
from stillframe.states import SnapshotType, VmState
from workers import manifests
from workers.manifests import Manifest
from workers.operations.checks import check_idle, check_new_layers, check_room_for_memory
from workers.operations.collecting import check_no_foreign
from workers.operations.cutting import (
    cut,
    drop_layers,
    frozen_of,
    make_layers,
    memory_of,
    put_back,
)
from workers.operations.standstill import thaw
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
        "left_out": {volume.target: why for volume in facts.volumes if (why := why_not(volume))},
    }


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
    # A freeze whose end nobody has seen, its agent having died, stays on record: the watchdog ends it.
    thaw(work)
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


def _manifest(work: Work, nvram: str | None) -> Manifest:
    seen = work.outputs["check_vm"]
    return Manifest(
        id=work.snapshot,
        vm=work.vm.uuid,
        folder=seen["folder"],
        state="ready",
        type=cast(CreateSnapshot, work.operation).type or _type_of(seen["vm_state"]),
        volumes=frozen_of(work),
        virtual_bytes={target: volume["virtual_bytes"] for target, volume in seen["volumes"].items()},
        homes={target: volume["home"] for target, volume in seen["volumes"].items()},
        vm_state=seen["vm_state"],
        definition=work.vm.definition(),
        memory=memory_of(work) is not None,
        nvram=nvram,
        consistency=work.outputs["cut"]["consistency"],
        words=dict(work.words),
    )


def _type_of(vm_state: str) -> SnapshotType:
    return SnapshotType.HOT if VmState(vm_state) in ALIVE else SnapshotType.COLD
