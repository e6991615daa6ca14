"""Giving back what nothing needs: the common end of every operation that drops a reference to a layer.

The acts are decided once and written into the journal; each is a step of its own, so a job that was cut between two
volumes goes on with the second. Every act ends with the old file's unlink, and that comes only after the live XML or
the image headers show the new chain and every manifest names the layer that stays.
"""

import time
from dataclasses import asdict, replace
from typing import Any

from hypervisor.port import Source
from stillframe.errors import HypervisorFailed, VmGone
from stillframe.layers import Merge, collect
from stillframe.states import VmState
from workers import manifests
from workers.reading import home_for, read_tree, usable
from workers.steps import Each, Output, Step, Work

POLL_S = 0.01
ON = {VmState.RUNNING, VmState.PAUSED}


def plan_collection(work: Work) -> Output:
    """Decides what goes and what is merged, in order. Of a VM that is not here any more, nothing."""
    if not _is_here(work):
        return {"acts": []}
    tree = read_tree(work.images, work.vm.facts(), work.block_layers_folder)
    acts: list[dict[str, Any]] = []
    for number, act in enumerate(collect(tree)):
        words: dict[str, Any] = {"act": "unlink"}
        if isinstance(act, Merge):
            words = {"act": "merge", "format": tree.layers[act.base].format}
        acts.append({"key": f"{act.target}:{number}"} | words | asdict(act))
    return {"acts": acts}


def collect_layer(work: Work, item: Output) -> Output:
    """Does one of them."""
    if item["act"] == "unlink":
        size = work.images.size_bytes(item["path"])
        work.images.remove(item["path"])
        return {"freed_bytes": size}
    return merge(work, item["target"], item["top"], Source(item["base"], item["format"]), item["between"])


def note_current(work: Work) -> Output:
    """The VM's own metadata names the snapshot it now stands on."""
    if not _is_here(work):
        return {}
    current = read_tree(work.images, work.vm.facts(), work.block_layers_folder).current()
    work.vm.note(manifests.note_of(current))
    return {}


COLLECT = (
    Step("plan_collection", plan_collection, final=True),
    Each("collect", of="plan_collection", items="acts", do=collect_layer),
    Step("note_current", note_current, final=True),
)


def _is_here(work: Work) -> bool:
    try:
        work.vm.facts()
    except VmGone:
        return False
    return True


def merge(work: Work, target: str, top: str, base: Source, between: list[str]) -> Output:
    """Brings the layers above `base`, up to and with `top`, down into `base`; frees their files."""
    moved = work.images.size_bytes(top)
    chain = work.vm.live_chain(target) if _has(work, target) else ()
    on = work.vm.facts().state in ON
    if on and top in chain:
        _commit_live(work, target, top, base)
    elif not _already_merged(base.path, chain, on) and work.images.exists(top):
        _commit_offline(work, target, top, base)
    _point_manifests(work, top, base)
    freed = sum(work.images.size_bytes(path) for path in (top, *between))
    _check_unused(work, top, between)
    for path in (top, *between):
        work.images.remove(path)
    return {"moved_bytes": moved, "freed_bytes": freed}


def _already_merged(base: str, chain: tuple[str, ...], on: bool) -> bool:
    """Whether the VM stands on `base` without `top`: a worker that died had come so far.

    An idle layer with one child is in a running VM's chain only together with that child, and is never a head. So if
    it is, the merge is over; committing `top` once more would write old data over what the guest wrote since.
    """
    return base in chain if on else base in chain[:1]


def _has(work: Work, target: str) -> bool:
    return any(volume.target == target for volume in work.vm.facts().volumes)


def _commit_live(work: Work, target: str, top: str, base: Source) -> None:
    """QEMU merges while the guest runs; a job left by a worker that died is found and carried on."""
    if work.vm.block_job(target) is None:
        work.vm.start_commit(target, top, base.path)
    while job := work.vm.block_job(target):
        if job.ready:
            work.vm.pivot(target)
        else:
            work.pulse(job.done, job.total)
            time.sleep(POLL_S)
    if top in work.vm.live_chain(target):
        raise HypervisorFailed(
            detail=f"the merge of {target} ended without having taken {top} out of its chain"
        )
    _repoint(work, top, base, skip=work.vm.live_chain(target))


def _commit_offline(work: Work, target: str, top: str, base: Source) -> None:
    """Interrupted anywhere, the view through `top` stays whole until nothing stands on it any more."""
    work.images.commit(top, base.path, work.pulse)
    _repoint(work, top, base, skip=())
    facts = work.vm.facts()
    if any(volume.target == target and volume.path == top for volume in facts.volumes):
        work.vm.define(work.vm.definition(), {target: base})


def _repoint(work: Work, top: str, base: Source, skip: tuple[str, ...]) -> None:
    tree = read_tree(work.images, work.vm.facts(), work.block_layers_folder)
    for child in tree.children(top):
        if child not in skip:
            work.images.rebase(child, base)


def _point_manifests(work: Work, top: str, base: Source) -> None:
    """The snapshots that froze `top` now find the same data in `base`."""
    for manifest in manifests.in_homes(work.images, homes(work)):
        if any(layer.path == top for layer in manifest.volumes.values()):
            volumes = {
                target: base if layer.path == top else layer for target, layer in manifest.volumes.items()
            }
            manifests.write(work.images, replace(manifest, volumes=volumes))


def _check_unused(work: Work, top: str, between: list[str]) -> None:
    tree = read_tree(work.images, work.vm.facts(), work.block_layers_folder)
    users = set(tree.heads.values()) | {
        layer.backing for layer in tree.layers.values() if layer.path not in {top, *between}
    }
    if found := users & {top, *between}:
        raise HypervisorFailed(detail=f"{', '.join(sorted(map(str, found)))} is still in use after its merge")


def homes(work: Work) -> list[str]:
    """The folders that hold layers and snapshots of this VM."""
    facts = work.vm.facts()
    return sorted(
        {home_for(work.images, facts, volume, work.block_layers_folder) for volume in usable(facts)}
    )
