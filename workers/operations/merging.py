"""One merge: the layers above `base`, up to and with `top`, go down into it, and it takes the place of `top`.

It is done in parts, each a step of its own in a plan. Each part looks how far the ones before it came, for a worker may
have died in any of them, and the guest may have run, stopped or crashed meanwhile. The order is what makes it safe to be
cut anywhere: mark, data down, chain changed, manifests changed, and last the old files and the mark removed.
"""

import time

from hypervisor.port import Source
from stillframe.errors import HostLost, HypervisorFailed, LeftByLibvirt, VmBusy
from stillframe.rules import ALIVE
from workers import manifests, marks
from workers.guard import needed_by
from workers.operations.freeing import free, put_aside, user_of
from workers.operations.merge_state import (
    Merging,
    chain_of,
    is_live,
    is_open,
    is_ours,
    is_over,
    was_used_again,
)
from workers.steps import Output, Part, Work

POLL_S = 0.05
#: How long a guest that never rests is waited for before the pivot. Seconds.
_REST_S = 10.0
#: Before any file was written to.
_NEVER = -1


def mark(work: Work, item: Output) -> Output:
    """Says on disk, before the first byte goes down, that the base is about to be neither old nor new.

    Not if somebody else needs one of these images, or the disk was put aside since: then nothing is merged, and the
    layers stay.
    """
    this = Merging.of(item)
    tree = work.reader.tree(work.vm.facts())
    begun = marks.read(work.images, this.top)
    if not begun and (why := put_aside(work, tree, [this.top, this.base])):
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
    if not is_open(work, this):
        return {}
    moved = sum(work.images.size_bytes(path) for path in this.moved)
    if is_over(work, this):
        return {"moved_bytes": moved}
    if is_live(work, this):
        _commit_live(work, this)
        return {"moved_bytes": moved}
    down_at = _bring_down(work, this, _NEVER)
    # Not later: until then the VM may be started on the top, and what it writes there is not in the base.
    _stand_on_base(work, this)
    return {"moved_bytes": moved, "offline_by": work.attempt, "top_written_at": down_at}


def pivot(work: Work, item: Output) -> Output:
    """The VM goes on on the base. What is missing of the merge by now is done before."""
    this = Merging.of(item)
    if not is_open(work, this):
        return {}
    if not is_over(work, this):
        if is_live(work, this):
            _commit_live(work, this)
            _pivot_live(work, this)
        else:
            _bring_down(work, this, _down_at(work, this))
    _stand_on_base(work, this)
    marks.complete(work.images, this.moved)
    return {}


def repoint(work: Work, item: Output) -> Output:
    """Whatever stood on the top, and every manifest that named it, names the base."""
    this = Merging.of(item)
    if not is_open(work, this):
        return {}
    if not is_over(work, this):
        pivot(work, item)  # it was started on the top meanwhile
    facts = work.vm.facts()
    live = chain_of(work, this.target) if facts.state in ALIVE else ()
    tree = work.reader.tree(facts)
    for child in tree.children(this.top):
        if child not in live:  # what is live QEMU has repointed itself
            work.images.rebase(child, this.into)
    for child in tree.children(this.base):
        if child != this.top:
            work.images.sync(child)  # QEMU flushes a head's new header only when its guest flushes
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
    done = free(work, list(this.moved))
    for path in reversed(this.moved):
        if (found := marks.read(work.images, path)) and found.whole:
            marks.remove(work.images, path)
    return done


def stop(work: Work, item: Output) -> None:
    """Ends a merge that is under way; the chain stays, and so does the mark. One that is over is brought to its end."""
    this = Merging.of(item)
    if not is_open(work, this):
        if marks.read(work.images, this.top):
            unlink_merged(work, item)  # it was ended by an attempt that died while it freed the files
        return
    if is_live(work, this) and (job := work.vm.block_job(this.target)) and is_ours(job, this):
        work.vm.abort_block_job(this.target)
    if is_over(work, this):
        # QEMU ended it in the same moment, or while no worker looked: what names the top would never come to fit again.
        for part in (pivot, repoint, unlink_merged):
            part(work, item)
    else:
        _go_on_above(work, this)


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


def _commit_live(work: Work, this: Merging) -> None:
    """QEMU merges while the guest runs, until the head waits for its pivot or the top is out of the chain.

    A commit left by a worker that died is found and carried on.
    """
    if work.vm.block_job(this.target) is None:  # else QEMU may be about to do as an attempt before asked it
        _go_on_above(work, this)
        work.vm.start_commit(this.target, this.top, this.base)
    while job := work.vm.block_job(this.target):
        if not is_ours(job, this):
            raise VmBusy(vm=work.vm.uuid, detail=f"a {job.kind} job that is not ours runs on {this.target}")
        if job.ready:
            return
        _tell(work, this, job.done, job.total)
        time.sleep(POLL_S)
    _check_over(work, this)


def _pivot_live(work: Work, this: Merging) -> None:
    if _has_caught_up(work, this):
        marks.say_down_now(work.images, this.top)
        try:
            work.vm.pivot(this.target)
        except HostLost:
            raise
        except HypervisorFailed:
            # Only of a QEMU that is dead, by a libvirt that saw it die: one that is slow may still pivot.
            if work.vm.facts().state not in ALIVE and chain_of(work, this.target)[:1] == (this.top,):
                marks.say_down(work.images, this.top, False)
            raise
    _check_over(work, this)


def _has_caught_up(work: Work, this: Merging) -> bool:
    """Waits until the base holds all that the guest wrote: QEMU mirrors in the background, and may lag by seconds.

    Then a pivot takes milliseconds, and if it is forgotten the times of the images tell whether it was. A guest that
    never rests is waited for no longer than that.
    """
    until = time.monotonic() + _REST_S
    while (job := work.vm.block_job(this.target)) and job.ready:
        if job.done >= job.total or time.monotonic() > until:
            return True
        _tell(work, this, job.done, job.total)
        time.sleep(POLL_S)
    return False


def _check_over(work: Work, this: Merging) -> None:
    if not is_over(work, this):
        chain = ", ".join(chain_of(work, this.target))
        raise HypervisorFailed(detail=f"the merge of {this.target} ended, and its chain is {chain}")


def _down_at(work: Work, this: Merging) -> int | None:
    """When the top had last been written to as its data went down. What went down while QEMU ran, or by a worker that
    died, is not relied upon.
    """
    done = work.outputs.get(f"commit:{this.key}", {})
    return done["top_written_at"] if done.get("offline_by") == work.attempt else _NEVER


def _bring_down(work: Work, this: Merging, down_at: int | None) -> int | None:
    """Until what is down is what the top holds; when it had last been written to then.

    From when the data is down until the VM stands on the base it may be started on the top, and stopped again.
    """
    while (now := work.images.written_at(this.top)) != down_at:
        _commit_offline(work, this)
        down_at = now
    return down_at


def _commit_offline(work: Work, this: Merging) -> None:
    _go_on_above(work, this)
    facts = work.vm.facts()
    if facts.managed_save and this.base in chain_of(work, this.target):
        # It would come back on the chain it had then, and write to what is merged by then.
        raise VmBusy(vm=facts.name, detail="its RAM is put aside (managed save): start it, or drop that")
    tree = work.reader.tree(facts)
    if not tree.is_idle(this.base) or tree.line(this.top)[: len(this.moved) + 1] != (*this.moved, this.base):
        raise HypervisorFailed(
            detail=f"{this.top} does not stand on {this.base} as it did; nothing was merged"
        )
    if path := next(filter(work.images.is_open, this.moved), None):
        raise LeftByLibvirt(vm=facts.name, path=path)
    work.images.commit(this.top, this.base, lambda done, total: _tell(work, this, done, total))


def _stand_on_base(work: Work, this: Merging) -> None:
    """The definition names the base, and no layer that will be gone."""
    facts = work.vm.facts()
    chain = chain_of(work, this.target)
    if facts.state in ALIVE:
        if chain[:1] == (this.base,):
            # Who pivoted may not have lived to put libvirt's own words right, which name layers that are gone by now.
            work.vm.define(work.vm.definition(), {this.target: this.into})
    elif chain[:1] == (this.top,):
        marks.say_down(work.images, this.top, True)
        work.vm.define(work.vm.definition(), {this.target: this.into})
        if work.vm.facts().state in ALIVE:
            _go_on_above(work, this)
            raise HypervisorFailed(detail=f"somebody started the VM while {this.target} was merged")


def _go_on_above(work: Work, this: Merging) -> None:
    """The base has not all the data any more: a VM that writes to the top, or did so last, is started there the next time.

    Its definition names the base if somebody started it in the very moment in which that was written.
    """
    if not ((found := marks.read(work.images, this.top)) and found.down):
        return
    head = chain_of(work, this.target)[:1]
    on = work.vm.facts().state in ALIVE
    if on and head != (this.top,):
        return
    if on or (head == (this.base,) and was_used_again(work, this.top, this.base)):
        work.vm.define(work.vm.definition(), {this.target: Source(this.top, "qcow2")})
    marks.say_down(work.images, this.top, False)


def _tell(work: Work, this: Merging, done: int, total: int) -> None:
    """How far all merges of the job are. QEMU counts in its own way, and its total grows while the guest writes."""
    if this.all_bytes and total:
        part = this.size_bytes * min(done, total) // total
        work.pulse(this.before_bytes + part, this.all_bytes)
    else:
        work.pulse(done, total)
