"""Giving back what nothing needs: the common end of every operation that drops a reference to a layer.

The acts are decided once and written into the journal; each is some steps of its own, so a job that was cut between two
volumes goes on with the second. A file is removed only after the live XML or the image headers show the new chain and
every manifest names the layer that stays.
"""

from collections.abc import Collection
from dataclasses import asdict
from uuid import UUID

from hypervisor.port import VmFacts
from stillframe.errors import ForeignSnapshots, ManagedSavePresent, VmBusy, VmGone, VmTransient
from stillframe.layers import Merge, Tree, Unlink, collect
from stillframe.rules import ALIVE
from workers import manifests
from workers.operations.checks import check_idle
from workers.operations.freeing import unlink
from workers.operations.merge_state import Merging
from workers.operations.merging import MERGE
from workers.reading import check_heads
from workers.steps import Each, Output, Part, Step, Work


def check_vm(work: Work, given_up: Collection[UUID] = ()) -> tuple[VmFacts, Tree]:
    """What revert and delete need of a VM before they touch anything; raises the refusal that says what is in the way.

    That the VM writes to what one of `given_up` froze is in nobody's way: such a one came back after it was lost.
    """
    facts = work.vm.facts()
    check_quiet(work, facts)
    check_no_foreign(facts)
    tree = work.reader.tree(facts)
    check_heads(tree.without(*given_up), facts)
    return facts, tree


def check_quiet(work: Work, facts: VmFacts) -> None:
    """Nobody has put its RAM aside or is at work on its images, and it outlives a stop."""
    if not facts.persistent:
        raise VmTransient(vm=facts.name)
    if facts.managed_save:
        raise ManagedSavePresent(vm=facts.name)
    check_idle(work, facts)
    check_jobs(work, facts)


def check_jobs(work: Work, facts: VmFacts) -> None:
    """No block job runs on it."""
    for volume in facts.volumes:
        if facts.state in ALIVE and (job := work.vm.block_job(volume.target)):
            raise VmBusy(vm=facts.name, detail=f"a {job.kind} job runs on {volume.target}")


def check_no_foreign(facts: VmFacts) -> None:
    """No other tool has snapshots of it: each would break the other's."""
    if names := ", ".join(one.name for one in facts.foreign_snapshots):
        raise ForeignSnapshots(vm=facts.name, names=names)


def plan_collection(work: Work) -> Output:
    """Decides what goes and what is merged, in order. Of a VM that is not here any more, nothing.

    What may go is what the job has given up: its first step has written down which layers those are.
    """
    if not _is_here(work):
        return {"acts": []}
    tree = work.reader.tree(work.vm.facts())
    found = collect(tree, work.outputs["check_snapshot"]["gone"])
    sizes = [_moves_bytes(tree, act) for act in found]
    return {"acts": [_item(tree, act, number, sizes) for number, act in enumerate(found)]}


def unlink_layer(work: Work, item: Output) -> Output:
    """Frees one layer that nobody needs."""
    return unlink(work, [item["path"]])


def note_current(work: Work) -> Output:
    """The VM's own metadata names the snapshot it now stands on."""
    if not _is_here(work):
        return {}
    work.vm.note(manifests.note_of(work.reader.tree(work.vm.facts()).current()))
    return {}


def collection(*, hears: bool) -> tuple[Step | Each, ...]:
    """The steps of a collection; with `hears` it can be stopped between two acts and before the pivot of each merge."""
    return (
        Step("plan_collection", plan_collection, final=True, halt=_nothing if hears else None),
        Each("plan_collection", "acts", parts=_parts, hears=hears),
        Step("note_current", note_current, final=True),
    )


def _parts(item: Output) -> tuple[Part, ...]:
    return MERGE if item["act"] == "merge" else (Part("unlink", unlink_layer),)


def _nothing(_: Work) -> None:
    """What was only planned needs no end."""


def _moves_bytes(tree: Tree, act: Unlink | Merge) -> int:
    return (
        sum(tree.layers[path].size_bytes for path in (act.top, *act.between)) if isinstance(act, Merge) else 0
    )


def _item(tree: Tree, act: Unlink | Merge, number: int, sizes: list[int]) -> Output:
    key = f"{act.target}:{number}"
    if isinstance(act, Unlink):
        return {"key": key, "act": "unlink"} | asdict(act)
    return Merging(
        key=key,
        target=act.target,
        base=act.base,
        format=tree.layers[act.base].format,
        top=act.top,
        between=act.between,
        size_bytes=sizes[number],
        before_bytes=sum(sizes[:number]),
        all_bytes=sum(sizes),
    ).to_json()


def _is_here(work: Work) -> bool:
    try:
        work.vm.facts()
    except VmGone:
        return False
    return True
