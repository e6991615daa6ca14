"""Giving back what nothing needs: the common end of every operation that drops a reference to a layer.

The acts are decided once and written into the journal; each is a step of its own, so a job that was cut between two
volumes goes on with the second. Every act looks again whether it is still right, and ends with the old file's unlink:
only after the live XML or the image headers show the new chain and every manifest names the layer that stays.
"""

import time
from dataclasses import asdict
from typing import Any

from hypervisor.port import Source, VmFacts
from stillframe.errors import (
    ForeignSnapshots,
    HypervisorFailed,
    ManagedSavePresent,
    VmBusy,
    VmGone,
    VmTransient,
)
from stillframe.layers import Merge, Tree, collect
from stillframe.rules import ALIVE
from workers import manifests
from workers.guard import needed_by
from workers.reading import check_heads
from workers.steps import Each, Output, Step, Work

POLL_S = 0.05
COMMITS = {"commit", "active_commit"}


def check_vm(work: Work) -> tuple[VmFacts, Tree]:
    """What revert and delete need of a VM before they touch anything; raises the refusal that says what is in the way."""
    facts = work.vm.facts()
    if not facts.persistent:
        raise VmTransient(vm=facts.name)
    if facts.managed_save:
        raise ManagedSavePresent(vm=facts.name)
    if facts.foreign_snapshots:
        raise ForeignSnapshots(vm=facts.name, names=", ".join(one.name for one in facts.foreign_snapshots))
    for volume in facts.volumes:
        if facts.state in ALIVE and (job := work.vm.block_job(volume.target)):
            raise VmBusy(vm=facts.name, detail=f"a {job.kind} job runs on {volume.target}")
    tree = work.reader.tree(facts)
    check_heads(tree, facts)
    return facts, tree


def plan_collection(work: Work) -> Output:
    """Decides what goes and what is merged, in order. Of a VM that is not here any more, nothing.

    What may go is what the job has given up: its first step has written down which layers those are.
    """
    if not _is_here(work):
        return {"acts": []}
    tree = work.reader.tree(work.vm.facts())
    acts: list[dict[str, Any]] = []
    for number, act in enumerate(collect(tree, work.outputs["check_snapshot"]["gone"])):
        words: dict[str, Any] = {"act": "unlink"}
        if isinstance(act, Merge):
            words = {"act": "merge", "format": tree.layers[act.base].format}
        acts.append({"key": f"{act.target}:{number}"} | words | asdict(act))
    return {"acts": acts}


def collect_layer(work: Work, item: Output) -> Output:
    """Does one of them."""
    if item["act"] == "unlink":
        return unlink(work, [item["path"]])
    return merge(work, item["target"], item["top"], Source(item["base"], item["format"]), item["between"])


def note_current(work: Work) -> Output:
    """The VM's own metadata names the snapshot it now stands on."""
    if not _is_here(work):
        return {}
    work.vm.note(manifests.note_of(work.reader.tree(work.vm.facts()).current()))
    return {}


COLLECT = (
    Step("plan_collection", plan_collection, final=True),
    Each("collect", of="plan_collection", items="acts", do=collect_layer),
    Step("note_current", note_current, final=True),
)


def unlink(work: Work, paths: list[str]) -> Output:
    """Removes layers, top first, if still nobody needs them; says who does otherwise."""
    freed = 0
    for path in paths:
        tree = work.reader.tree(work.vm.facts())
        if user := _user(tree, path) or needed_by(work, [path], tree, own_too=True):
            return {"freed_bytes": freed, "kept": path, "needed_by": user}
        freed += work.images.size_bytes(path)
        work.images.remove(path)
    return {"freed_bytes": freed}


def merge(work: Work, target: str, top: str, base: Source, between: list[str]) -> Output:
    """Brings the layers above `base`, up to and with `top`, down into `base`; frees their files."""
    tree = work.reader.tree(work.vm.facts())
    moved = work.images.size_bytes(top)
    if _user(tree, top):
        if user := needed_by(work, [base.path, top, *between], tree, own_too=False):
            return {"freed_bytes": 0, "kept": base.path, "needed_by": user}
        _commit(work, target, top, base, between)
        _repoint(work, target, top, base)
        for manifest in work.reader.manifests(work.vm.facts()):
            if any(layer.path == top for layer in manifest.volumes.values()):
                manifests.write(work.images, manifest.repointed(top, base))
    return {"moved_bytes": moved} | unlink(work, [top, *between])


def _commit(work: Work, target: str, top: str, base: Source, between: list[str]) -> None:
    on = work.vm.facts().state in ALIVE
    chain = _chain(work, target)
    if on and top in chain:
        _commit_live(work, target, top, base.path)
    elif _already_merged(base.path, chain, on):
        if chain[0] == base.path:
            # Who pivoted may not have lived to put libvirt's own words right, which name layers that are gone by now.
            work.vm.define(work.vm.definition(), {target: base})
    else:
        tree = work.reader.tree(work.vm.facts())
        if not tree.is_idle(base.path) or tree.line(top)[: len(between) + 2] != (
            top,
            *reversed(between),
            base.path,
        ):
            raise HypervisorFailed(
                detail=f"{top} does not stand on {base.path} as it did; nothing was merged"
            )
        work.images.commit(top, base.path, work.pulse)


def _already_merged(base: str, chain: tuple[str, ...], on: bool) -> bool:
    """Whether the VM stands on `base` without `top`: a worker that died had come so far.

    An idle layer with one child is in a running VM's chain only together with that child, and is never a head. So if
    it is, the merge is over; committing `top` once more would write old data over what the guest wrote since.
    """
    return base in chain if on else base in chain[:1]


def _commit_live(work: Work, target: str, top: str, base: str) -> None:
    """QEMU merges while the guest runs; a commit left by a worker that died is found and carried on."""
    if work.vm.block_job(target) is None:
        work.vm.start_commit(target, top, base)
    while job := work.vm.block_job(target):
        if job.kind not in COMMITS or job.into not in {None, base}:
            raise VmBusy(vm=work.vm.uuid, detail=f"a {job.kind} job that is not ours runs on {target}")
        if job.ready:
            work.vm.pivot(target)
        else:
            work.pulse(job.done, job.total)
            time.sleep(POLL_S)
    chain = work.vm.live_chain(target)
    if top in chain or base not in chain:
        raise HypervisorFailed(detail=f"the merge of {target} ended, and its chain is {', '.join(chain)}")


def _repoint(work: Work, target: str, top: str, base: Source) -> None:
    """Whatever stood on `top` stands on `base`; what is live QEMU has repointed itself."""
    live = _chain(work, target) if work.vm.facts().state in ALIVE else ()
    for child in work.reader.tree(work.vm.facts()).children(top):
        if child not in live:
            work.images.rebase(child, base)
    facts = work.vm.facts()
    if facts.state not in ALIVE and any(volume.path == top for volume in facts.volumes):
        work.vm.define(work.vm.definition(), {target: base})


def _user(tree: Tree, path: str) -> str | None:
    """Who in this VM's own tree needs a layer."""
    if tree.is_head(path):
        return "the VM"
    if snapshots := tree.snapshots_at(path):
        return f"snapshot {snapshots[0]}"
    return next(iter(tree.children(path)), None)


def _chain(work: Work, target: str) -> tuple[str, ...]:
    if not any(volume.target == target for volume in work.vm.facts().volumes):
        return ()
    return work.vm.live_chain(target)


def _is_here(work: Work) -> bool:
    try:
        work.vm.facts()
    except VmGone:
        return False
    return True
