"""One merge: the layers above `base`, up to and with `top`, go down into it, and it takes the place of `top`.

It is done in parts, each a step of its own in a plan. Each part looks how far the ones before it came, for a worker may
have died in any of them, and the guest may have run, stopped or crashed meanwhile. The order is what makes it safe to be
cut anywhere: mark, data down, chain changed, manifests changed, and last the old files and the mark removed.
"""

import time
from dataclasses import asdict, dataclass

from hypervisor.port import BlockJob, Source
from stillframe.errors import HypervisorFailed, VmBusy
from stillframe.layers import Tree
from stillframe.rules import ALIVE
from workers import manifests, marks
from workers.guard import needed_by
from workers.steps import Output, Part, Work

POLL_S = 0.05
COMMITS = {"commit", "active_commit"}
#: How much later than in the top a guest's write is in the base, while QEMU mirrors.
_MIRRORED_WITHIN_NS = 2_000_000_000


@dataclass(frozen=True)
class Merging:
    """A merge as it stands in the journal."""

    key: str
    target: str
    base: str
    format: str
    top: str
    between: tuple[str, ...] = ()
    #: What it moves at most; and all merges of the job, and those before it. Bytes.
    size_bytes: int = 0
    all_bytes: int = 0
    before_bytes: int = 0

    @property
    def into(self) -> Source:
        """The base with its format."""
        return Source(self.base, self.format)

    @property
    def moved(self) -> tuple[str, ...]:
        """The layers that go down, top first."""
        return (self.top, *reversed(self.between))

    def to_json(self) -> Output:
        """For the journal."""
        return asdict(self) | {"between": list(self.between), "act": "merge"}

    @classmethod
    def of(cls, item: Output) -> "Merging":
        """Out of the journal."""
        values = {name: value for name, value in item.items() if name != "act"}
        return cls(**values | {"between": tuple(item["between"])})


def mark(work: Work, item: Output) -> Output:
    """Says on disk, before the first byte goes down, that the base is about to be neither old nor new.

    Not if somebody else needs one of these images, or the disk was put aside since: then nothing is merged, and the
    layers stay.
    """
    this = Merging.of(item)
    tree = work.reader.tree(work.vm.facts())
    begun = marks.read(work.images, this.top)
    if not begun and (why := _put_aside(work, tree, [this.top, this.base])):
        return {"kept": this.top, "needed_by": why}
    if not user_of(tree, this.top):
        return {}  # merged already, or nobody needs it any more
    if user := needed_by(work, [this.base, *this.moved], tree, own_too=False):
        if begun:
            raise VmBusy(vm=work.vm.uuid, detail=f"{this.base} is half merged, and is needed by {user}")
        return {"kept": this.base, "needed_by": user}
    if begun is None or begun.base != this.base:
        marks.write(work.images, marks.Mark(this.base, this.top, str(work.job)))
    return {}


def commit(work: Work, item: Output) -> Output:
    """Brings the data down. Of a running VM's head it is then mirrored until the pivot; a VM that is off stands on the base."""
    this = Merging.of(item)
    if not _is_open(work, this):
        return {}
    moved = sum(work.images.size_bytes(path) for path in this.moved)
    if _is_over(work, this):
        return {"moved_bytes": moved}
    if _is_live(work, this):
        _commit_live(work, this)
        return {"moved_bytes": moved}
    _commit_offline(work, this)
    # Not later: until then the VM may be started on the top, and what it writes there is not in the base.
    _stand_on_base(work, this)
    return {"moved_bytes": moved, "offline_by": work.attempt}


def pivot(work: Work, item: Output) -> Output:
    """The VM goes on on the base. What is missing of the merge by now is done before."""
    this = Merging.of(item)
    if not _is_open(work, this):
        return {}
    if not _is_over(work, this):
        if _is_live(work, this):
            _commit_live(work, this)
            _pivot_live(work, this)
        elif work.outputs.get(f"commit:{this.key}", {}).get("offline_by") != work.attempt:
            # Committed while QEMU ran that is gone now, or by a worker that died: the top may have changed since.
            _commit_offline(work, this)
    _stand_on_base(work, this)
    marks.complete(work.images, this.moved)
    return {}


def repoint(work: Work, item: Output) -> Output:
    """Whatever stood on the top, and every manifest that named it, names the base."""
    this = Merging.of(item)
    if not _is_open(work, this):
        return {}
    if not _is_over(work, this):
        pivot(work, item)  # it was started on the top meanwhile
    facts = work.vm.facts()
    live = _chain(work, this.target) if facts.state in ALIVE else ()
    for child in work.reader.tree(facts).children(this.top):
        if child not in live:  # what is live QEMU has repointed itself
            work.images.rebase(child, this.into)
    for manifest in work.reader.manifests(facts):
        # Of one being deleted what it had there is overwritten: asked for again, it must not take this for its own.
        deleting = manifest.state == "deleting"
        changed = manifest.without(this.base) if deleting else manifest.repointed(this.top, this.into)
        if changed != manifest or manifests.is_behind(work.images, manifest):
            manifests.write(work.images, changed)
    return {}


def unlink_merged(work: Work, item: Output) -> Output:
    """Frees the files of what was merged, and last of all the mark: as long as it is there, there is something to free."""
    this = Merging.of(item)
    done = _free(work, list(this.moved))
    for path in reversed(this.moved):
        if (found := marks.read(work.images, path)) and found.whole:
            marks.remove(work.images, path)
    return done


def stop(work: Work, item: Output) -> None:
    """Ends a merge that is under way; the chain stays, and so does the mark. One that is over is brought to its end."""
    this = Merging.of(item)
    if not _is_open(work, this):
        if marks.read(work.images, this.top):
            unlink_merged(work, item)  # it was ended by an attempt that died while it freed the files
        return
    if _is_live(work, this) and (job := work.vm.block_job(this.target)) and _is_ours(job, this):
        work.vm.abort_block_job(this.target)
    if _is_over(work, this):
        # QEMU ended it in the same moment, or while no worker looked: what names the top would never come to fit again.
        for part in (pivot, repoint, unlink_merged):
            part(work, item)


MERGE = (
    Part("mark", mark, halt=stop),
    Part("commit", commit, halt=stop),
    Part("pivot", pivot),
    Part("repoint", repoint),
    Part("unlink", unlink_merged),
)


def merge_at_once(work: Work, target: str, top: str, base: Source) -> None:
    """A whole merge within one step or undo."""
    item = Merging(key=target, target=target, base=base.path, format=base.format, top=top).to_json()
    for part in (mark, pivot, repoint, unlink_merged):
        part(work, item)


def unlink(work: Work, paths: list[str]) -> Output:
    """Removes layers, top first, if still nobody needs them; says who does otherwise."""
    done = _free(work, paths)
    for path in paths:
        if not work.images.exists(path):
            marks.remove(work.images, path)
    return done


def _free(work: Work, paths: list[str]) -> Output:
    freed = 0
    for path in paths:
        tree = work.reader.tree(work.vm.facts())
        user = user_of(tree, path) or _put_aside(work, tree, [path])
        if user := user or needed_by(work, [path], tree, own_too=True):
            return {"freed_bytes": freed, "kept": path, "needed_by": user}
        freed += work.images.size_bytes(path)
        work.images.remove(path)
    return {"freed_bytes": freed}


def user_of(tree: Tree, path: str) -> str | None:
    """Who in this VM's own tree needs a layer."""
    if tree.is_head(path):
        return "the VM"
    if snapshots := tree.snapshots_at(path):
        return f"snapshot {snapshots[0]}"
    return next(iter(tree.children(path)), None)


def _put_aside(work: Work, tree: Tree, paths: list[str]) -> str | None:
    """Why these may not be touched though nobody names them: the disk was detached since the acts were planned, or an
    image that is not ours was put on one of them.
    """
    ours = {work.images.identity(path) for path in tree.layers if path not in tree.pinned}
    for path in paths:
        identity = work.images.identity(path)
        if identity and identity not in ours:
            return f"perhaps somebody: {path} is, or is under, a disk that was put aside"
    return None


def _is_open(work: Work, this: Merging) -> bool:
    """Whether there is a merge to carry on: it was begun, and its top has not been freed yet."""
    return marks.read(work.images, this.top) is not None and work.images.exists(this.top)


def _is_over(work: Work, this: Merging) -> bool:
    """Whether all data is down and the VM stands on the base without the top.

    An idle layer with one child is in a VM's chain only together with that child. So if it is there without it, the merge
    is over, unless the VM is off and nobody had begun to let it stand there. Committing the top once more would write old
    data over what the guest wrote since. Nor is it to be done again when QEMU ended it by itself and died, with nobody to
    see either.
    """
    chain = _chain(work, this.target)
    on = work.vm.facts().state in ALIVE
    found = marks.read(work.images, this.top)
    if this.top in (chain if on else chain[:1]):
        return not on and bool(found and found.down) and _went_on_below(work, this)
    if found and found.whole:
        return True
    if not on and chain[:1] == (this.base,):
        return bool(
            found and found.down
        )  # else somebody has put an old definition back, and the top has what is newer
    return this.base in chain and this.top not in chain


def _went_on_below(work: Work, this: Merging) -> bool:
    """QEMU had pivoted, libvirt did not live to note it, and then QEMU died: the guest's last writes are in the base alone.

    Before the pivot each write goes to the top, and to the base right after. If no pivot was, and the base is later by
    more than that takes, nothing of the top is missing in it either.
    """
    at_top, at_base = work.images.written_at(this.top), work.images.written_at(this.base)
    return at_top is not None and at_base is not None and at_base - at_top > _MIRRORED_WITHIN_NS


def _is_live(work: Work, this: Merging) -> bool:
    return work.vm.facts().state in ALIVE and this.top in _chain(work, this.target)


def _is_ours(job: BlockJob, this: Merging) -> bool:
    return job.kind in COMMITS and job.into in {None, this.base}


def _commit_live(work: Work, this: Merging) -> None:
    """QEMU merges while the guest runs, until the head waits for its pivot or the top is out of the chain.

    A commit left by a worker that died is found and carried on.
    """
    marks.say_down(work.images, this.top, False)
    if work.vm.block_job(this.target) is None:
        work.vm.start_commit(this.target, this.top, this.base)
    while job := work.vm.block_job(this.target):
        if not _is_ours(job, this):
            raise VmBusy(vm=work.vm.uuid, detail=f"a {job.kind} job that is not ours runs on {this.target}")
        if job.ready:
            return
        _tell(work, this, job.done, job.total)
        time.sleep(POLL_S)
    _check_over(work, this)


def _pivot_live(work: Work, this: Merging) -> None:
    if (job := work.vm.block_job(this.target)) and job.ready:
        marks.say_down(work.images, this.top, True)
        work.vm.pivot(this.target)
    _check_over(work, this)


def _check_over(work: Work, this: Merging) -> None:
    if not _is_over(work, this):
        chain = ", ".join(_chain(work, this.target))
        raise HypervisorFailed(detail=f"the merge of {this.target} ended, and its chain is {chain}")


def _commit_offline(work: Work, this: Merging) -> None:
    facts = work.vm.facts()
    if facts.managed_save and this.base in _chain(work, this.target):
        # It would come back on the chain it had then, and write to what is merged by then.
        raise VmBusy(vm=facts.name, detail="its RAM is put aside (managed save): start it, or drop that")
    tree = work.reader.tree(facts)
    if not tree.is_idle(this.base) or tree.line(this.top)[: len(this.moved) + 1] != (*this.moved, this.base):
        raise HypervisorFailed(
            detail=f"{this.top} does not stand on {this.base} as it did; nothing was merged"
        )
    marks.say_down(work.images, this.top, False)
    work.images.commit(this.top, this.base, lambda done, total: _tell(work, this, done, total))


def _stand_on_base(work: Work, this: Merging) -> None:
    """The definition names the base, and no layer that will be gone."""
    facts = work.vm.facts()
    chain = _chain(work, this.target)
    if facts.state in ALIVE:
        if chain[:1] == (this.base,):
            # Who pivoted may not have lived to put libvirt's own words right, which name layers that are gone by now.
            work.vm.define(work.vm.definition(), {this.target: this.into})
    elif chain[:1] == (this.top,):
        marks.say_down(work.images, this.top, True)
        work.vm.define(work.vm.definition(), {this.target: this.into})
        if work.vm.facts().state in ALIVE:
            raise HypervisorFailed(detail=f"somebody started the VM while {this.target} was merged")


def _tell(work: Work, this: Merging, done: int, total: int) -> None:
    """How far all merges of the job are. QEMU counts in its own way, and its total grows while the guest writes."""
    if this.all_bytes and total:
        part = this.size_bytes * min(done, total) // total
        work.pulse(this.before_bytes + part, this.all_bytes)
    else:
        work.pulse(done, total)


def _chain(work: Work, target: str) -> tuple[str, ...]:
    if not any(volume.target == target for volume in work.vm.facts().volumes):
        return ()
    return work.vm.live_chain(target)
