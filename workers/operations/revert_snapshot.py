"""Revert: a new empty layer on every layer the snapshot froze becomes the head, and the VM goes on from there."""

from typing import cast

from hypervisor.port import Source
from stillframe.errors import AfterNotForMemory, HypervisorFailed, SnapshotDamaged, VmTransient
from stillframe.names import layer_path
from stillframe.operations import RevertSnapshot
from stillframe.states import VmState
from workers import manifests
from workers.manifests import Manifest
from workers.operations.collecting import COLLECT, ON
from workers.operations.turns import wait_for_turn
from workers.steps import Output, Plan, Step, Work


def check_snapshot(work: Work) -> Output:
    """Sees that the snapshot is whole before anything is touched, and decides how the VM shall be afterwards."""
    manifest = whole_manifest(work)
    facts = work.vm.facts()
    if not facts.persistent:
        raise VmTransient(vm=facts.name)
    after = cast(RevertSnapshot, work.operation).after
    if manifest.memory and after != "keep":
        raise AfterNotForMemory(after=after)
    if manifest.memory:
        _check_memory(work, manifest)
    heads = {target: layer_path(home, target, work.job) for target, home in manifest.homes.items()}
    wanted = {"keep": facts.state, "start": VmState.RUNNING, "stop": VmState.OFF}[after]
    return {"folder": manifest.folder, "heads": heads, "found": facts.state, "wanted": wanted}


def make_heads(work: Work) -> Output:
    """New empty layers, which nobody uses yet."""
    manifest = _manifest(work)
    for target, path in work.outputs["check_snapshot"]["heads"].items():
        work.images.create_layer(path, manifest.volumes[target], manifest.virtual_bytes[target])
    return {}


def drop_heads(work: Work) -> None:
    """Removes them."""
    for path in work.outputs.get("check_snapshot", {}).get("heads", {}).values():
        work.images.remove(path)


def stop_vm(work: Work) -> Output:
    """Its present state is given up: that is what a revert is."""
    work.vm.stop()
    return {}


def start_again(work: Work) -> None:
    """Its disks are untouched so far: it boots from where it was stopped."""
    if VmState(work.outputs["check_snapshot"]["found"]) in ON:
        work.vm.start()


def switch_definition(work: Work) -> Output:
    """From here on there is only forward: the definition and the NVRAM are those of the snapshot."""
    manifest = _manifest(work)
    nvram = work.vm.facts().nvram
    if manifest.nvram and nvram:
        work.images.copy(manifest.nvram_path, nvram)
    work.vm.define(manifest.definition, _sources(work))
    return {}


def bring_back(work: Work) -> Output:
    """Restores the RAM, or boots, or leaves the VM off, as asked."""
    manifest = _manifest(work)
    wait_for_turn(work)
    state = work.vm.facts().state
    if state in ON:
        if manifest.memory:
            work.vm.set_clock()  # of who restored it is not known whether he lived to do it
        return {"state": state}
    if manifest.memory:
        # A restore that was cut short may have let QEMU write: RAM fits only layers nothing was written to.
        make_heads(work)
        work.vm.restore(manifest.memory_path, _sources(work))
        work.vm.set_clock()
    elif VmState(work.outputs["check_snapshot"]["wanted"]) in ON:
        work.vm.start(paused=work.outputs["check_snapshot"]["wanted"] == VmState.PAUSED)
    return {"state": work.vm.facts().state}


REVERT_SNAPSHOT = Plan(
    "revert_snapshot",
    Step("check_snapshot", check_snapshot),
    Step("make_heads", make_heads, undo=drop_heads),
    Step("stop_vm", stop_vm, undo=start_again),
    Step("switch_definition", switch_definition, final=True),
    Step("bring_back", bring_back, final=True),
    *COLLECT,
)


def whole_manifest(work: Work) -> Manifest:
    """The snapshot's manifest, with every layer it names there and readable; raises SnapshotDamaged."""
    manifest = manifests.read(work.images, work.folder) if work.folder else None
    if manifest is None:
        raise SnapshotDamaged(snapshot=work.snapshot, missing="its manifest is gone")
    for target, source in manifest.volumes.items():
        try:
            work.images.chain(source.path, source.format)
        except HypervisorFailed as error:
            raise SnapshotDamaged(snapshot=_name(manifest), missing=f"volume {target}: {error}") from error
    return manifest


def _check_memory(work: Work, manifest: Manifest) -> None:
    try:
        work.vm.saved_definition(manifest.memory_path)
    except HypervisorFailed as error:
        raise SnapshotDamaged(snapshot=_name(manifest), missing=f"its memory file: {error}") from error


def _manifest(work: Work) -> Manifest:
    manifest = manifests.read(work.images, work.outputs["check_snapshot"]["folder"])
    if manifest is None:
        raise SnapshotDamaged(snapshot=work.snapshot, missing="its manifest is gone")
    return manifest


def _sources(work: Work) -> dict[str, Source]:
    heads = work.outputs["check_snapshot"]["heads"]
    return {target: Source(path, "qcow2") for target, path in heads.items()}


def _name(manifest: Manifest) -> str:
    return str(manifest.words.get("name", manifest.id))
