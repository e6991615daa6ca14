"""Revert: a new empty layer on every layer the snapshot froze becomes the head, and the VM goes on from there."""

from collections.abc import Callable
from typing import cast

from hypervisor.port import ImageFacts, Source
from stillframe.errors import (
    AfterNotForMemory,
    DeletionUnfinished,
    HypervisorFailed,
    LayerHalfMerged,
    SnapshotDamaged,
)
from stillframe.layers import half_read
from stillframe.names import layer_path
from stillframe.operations import RevertSnapshot
from stillframe.rules import ALIVE
from stillframe.states import VmState
from workers import manifests
from workers.manifests import Manifest
from workers.operations.collecting import check_vm, collection
from workers.operations.freeing import unlink
from workers.operations.turns import wait_for_turn
from workers.steps import Output, Plan, Step, Work


def check_snapshot(work: Work) -> Output:
    """Sees that all the VM will need is there before anything is touched, and decides how it shall be afterwards."""
    facts, tree = check_vm(work)
    manifest = whole_manifest(work)
    after = cast(RevertSnapshot, work.operation).after
    if manifest.memory and after != "keep":
        raise AfterNotForMemory(after=after)
    _check_files(work, manifest)
    heads = {target: layer_path(home, target, work.job) for target, home in manifest.homes.items()}
    wanted = {"keep": facts.state, "start": VmState.RUNNING, "stop": VmState.OFF}[after]
    return {
        "folder": manifest.folder,
        "heads": heads,
        "gone": sorted(tree.heads.values()),
        "found": facts.state,
        "wanted": wanted,
        "definition": f"{manifest.homes[min(manifest.homes)]}/{work.job}.before.xml",
    }


def make_heads(work: Work) -> Output:
    """New empty layers, which nobody uses yet, and the present definition, to go back to."""
    manifest = _manifest(work)
    for target, path in work.outputs["check_snapshot"]["heads"].items():
        work.images.create_layer(path, manifest.volumes[target], manifest.virtual_bytes[target])
    work.images.write_text(work.outputs["check_snapshot"]["definition"], work.vm.definition())
    return {}


def drop_heads(work: Work) -> None:
    """Removes them, but none that a guest has written to: somebody may have started it while the definition named them."""
    if found := work.outputs.get("check_snapshot"):
        for path in found["heads"].values():
            if not _is_written(work, path):
                unlink(work, [path])
        work.images.remove(found["definition"])


def switch_definition(work: Work) -> Output:
    """The definition is the snapshot's. A VM that runs goes on as it is: so far nothing is given up."""
    work.vm.define(_manifest(work).definition, _sources(work))
    return {}


def switch_back(work: Work) -> None:
    """The definition is what it was, unless somebody has started the VM on the snapshot's heads meanwhile.

    Then these are what it writes to, or has written to before it was stopped, and a definition that names others would
    lose that with its next start.
    """
    named = _heads_named(work)
    if named and (work.vm.facts().state in ALIVE or any(_is_written(work, path) for path in named)):
        return
    if before := work.images.read_text(work.outputs["check_snapshot"]["definition"]):
        work.vm.define(before, {})


def stop_vm(work: Work) -> Output:
    """The present state is given up: that is what a revert is. From here on there is only forward.

    A VM that somebody has started on the snapshot's heads is given up already: it goes on.
    """
    if work.vm.facts().state not in ALIVE or not _heads_named(work):
        work.vm.stop()
    manifest = _manifest(work)
    if manifest.nvram:
        work.images.copy(manifest.nvram_path, manifest.nvram)
    return {}


def bring_back(work: Work) -> Output:
    """Restores the RAM, or boots, or leaves the VM off, as asked."""
    manifest = _manifest(work)
    found = work.outputs["check_snapshot"]
    wait_for_turn(work)
    state = work.vm.facts().state
    aside: list[str] = []
    if manifest.memory:
        aside = _bring_back_memory(work, manifest)
    elif state not in ALIVE and VmState(found["wanted"]) in ALIVE:
        work.vm.start(paused=found["wanted"] == VmState.PAUSED)
    work.images.remove(found["definition"])
    return {"state": work.vm.facts().state} | ({"put_aside": aside} if aside else {})


def _bring_back_memory(work: Work, manifest: Manifest) -> list[str]:
    """RAM fits only layers that nothing was written to. What somebody has written to them before is put aside, by its new name.

    The definition to go back to is removed when RAM is back. If the guest wrote after that, whoever has stopped it since
    has stopped what this job was for. A restore that was cut short leaves a VM that anybody, or its host, may boot.
    """
    found = work.outputs["check_snapshot"]
    was_back = not work.images.exists(found["definition"])
    if (facts := work.vm.facts()).state in ALIVE:
        if facts.reason == "booted":
            raise HypervisorFailed(detail="somebody started the VM before its RAM was brought back; stop it")
        work.vm.set_clock()  # whoever restored it may not have lived to do it
        return []
    written = [path for path in found["heads"].values() if _is_written(work, path)]
    if was_back and written:
        return []
    aside = {path: f"{path.removesuffix('.qcow2')}.{work.attempt}.qcow2" for path in written}
    for path, name in aside.items():
        work.images.rename(path, name)
    for target, path in found["heads"].items():
        work.images.create_layer(path, manifest.volumes[target], manifest.virtual_bytes[target])
    work.vm.restore(manifest.memory_path, _sources(work), work.pulse)
    work.images.remove(found["definition"])
    work.vm.set_clock()
    return list(aside.values())


REVERT_SNAPSHOT = Plan(
    "revert_snapshot",
    Step("check_snapshot", check_snapshot),
    Step("make_heads", make_heads, undo=drop_heads),
    Step("switch_definition", switch_definition, undo=switch_back),
    Step("stop_vm", stop_vm, final=True),
    Step("bring_back", bring_back, final=True),
    *collection(hears=False),
)


def whole_manifest(work: Work) -> Manifest:
    """The snapshot's manifest, with every layer it names there and readable; raises SnapshotDamaged.

    Raises LayerHalfMerged if one of them reads as something that never was, and DeletionUnfinished if it protects them
    no more: the next collection would merge them away, whatever the row says of the snapshot.
    """
    facts = work.vm.facts()
    found = {manifest.id: manifest for manifest in work.reader.manifests(facts)}
    manifest = found.get(work.snapshot) or (manifests.read(work.images, work.folder) if work.folder else None)
    if manifest is None:
        raise SnapshotDamaged(snapshot=work.snapshot, missing="its manifest is gone")
    if manifest.state != "ready":
        raise DeletionUnfinished(snapshot=_name(manifest))
    for target, source in manifest.volumes.items():
        try:
            chain = work.images.chain(source.path, source.format)
        except HypervisorFailed as error:
            raise SnapshotDamaged(snapshot=_name(manifest), missing=f"volume {target}: {error}") from error
        half_merged = work.reader.half_merged(facts, _as_in(work, chain))
        if half := half_read([image.path for image in chain], half_merged):
            raise LayerHalfMerged(path=half[0], top=half[1])
    return manifest


def _as_in(work: Work, chain: tuple[ImageFacts, ...]) -> Callable[[str], str]:
    """What a file is called in this chain, whatever name it is met by."""
    names = {work.images.identity(image.path): image.path for image in chain}
    return lambda path: names.get(work.images.identity(path), path)


def _check_files(work: Work, manifest: Manifest) -> None:
    """Whatever would keep the VM from coming back is found while it still runs."""
    if manifest.memory:
        try:
            work.vm.saved_definition(manifest.memory_path)
        except HypervisorFailed as error:
            raise SnapshotDamaged(snapshot=_name(manifest), missing=f"its memory file: {error}") from error
    if manifest.nvram and not work.images.exists(manifest.nvram_path):
        raise SnapshotDamaged(snapshot=_name(manifest), missing="its copy of the NVRAM is gone")
    for disk in work.vm.disks_of(manifest.definition):
        local = disk.storage in {"file", "block"} and disk.path
        if disk.target not in manifest.volumes and local and not work.images.exists(disk.path):
            missing = f"the VM had {disk.path} in {disk.target} ({disk.device}), and that file is gone"
            raise SnapshotDamaged(snapshot=_name(manifest), missing=missing)


def _manifest(work: Work) -> Manifest:
    manifest = manifests.read(work.images, work.outputs["check_snapshot"]["folder"])
    if manifest is None:
        raise SnapshotDamaged(snapshot=work.snapshot, missing="its manifest is gone")
    return manifest


def _sources(work: Work) -> dict[str, Source]:
    heads = work.outputs["check_snapshot"]["heads"]
    return {target: Source(path, "qcow2") for target, path in heads.items()}


def _heads_named(work: Work) -> list[str]:
    """The new heads that the VM writes to or, if it is off, will boot from."""
    heads = set(work.outputs["check_snapshot"]["heads"].values())
    return [volume.path for volume in work.vm.facts().volumes if volume.path in heads]


def _is_written(work: Work, path: str) -> bool:
    """Whether a guest has run on a head."""
    return work.images.exists(path) and not work.images.is_empty(path)


def _name(manifest: Manifest) -> str:
    return str(manifest.words.get("name", manifest.id))
