"""How far a merge is, as the images, QEMU and its mark tell: each part of it asks again."""

from dataclasses import asdict, dataclass

from hypervisor.port import BlockJob, Source
from stillframe.errors import HypervisorFailed
from stillframe.rules import ALIVE
from workers import marks
from workers.steps import Output, Work
from workers.storage import check_there

_COMMITS = {"commit", "active_commit"}
#: How much later than in the top a guest's write may be in the base while QEMU mirrors, unless it lags.
_MIRRORED_WITHIN_NS = 2_000_000_000
#: How long a pivot takes of a mirror that does not lag: what was written to the top later than that shows one that did.
_PIVOTED_WITHIN_NS = 250_000_000


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


def is_open(work: Work, this: Merging) -> bool:
    """Whether there is a merge to carry on: it was begun, and its top has not been freed yet. Raises StorageAway."""
    check_there(work.images, this.top)
    return marks.read(work.images, this.top) is not None and work.images.exists(this.top)


def is_over(work: Work, this: Merging) -> bool:
    """Whether all data is down and the VM stands on the base without the top.

    An idle layer with one child is in a VM's chain only together with that child. So if it is there without it, the merge
    is over, unless the VM is off and nobody had begun to let it stand there. Committing the top once more would write old
    data over what the guest wrote since. Nor is it to be done again when QEMU ended it by itself and died, with nobody to
    see either.
    """
    chain = chain_of(work, this.target)
    on = work.vm.facts().state in ALIVE
    found = marks.read(work.images, this.top)
    if this.top in (chain if on else chain[:1]):
        return not on and bool(found and found.down) and _went_on_below(work, this)
    if found and found.whole:
        return True
    if not on and chain[:1] == (this.base,):
        # Else somebody has put an old definition back, and the top has what is newer.
        return bool(found and found.down) and not was_used_again(work, this.top, this.base)
    return this.base in chain and this.top not in chain


def _went_on_below(work: Work, this: Merging) -> bool:
    """QEMU had pivoted, libvirt did not live to note it, and then QEMU died: the guest's last writes are in the base alone.

    The pivot is asked for when the base has all that the top has, and the mark is written right before. A base that is
    much later than a top to which nothing was written since is what the guest went on in. If something was, QEMU may as
    well have lagged behind the guest and never have come to the pivot: then nobody can tell, and nothing is touched.
    """
    at_top, at_base = work.images.written_at(this.top), work.images.written_at(this.base)
    if at_top is None or at_base is None or at_base - at_top <= _MIRRORED_WITHIN_NS:
        return False
    asked_at = work.images.written_at(marks.path_of(this.top))
    if asked_at is not None and at_top - asked_at > _PIVOTED_WITHIN_NS:
        raise HypervisorFailed(
            detail=f"QEMU died while {this.target} changed over from {this.top} to {this.base}, and wrote to both since; "
            "which of them has the guest's last writes cannot be told"
        )
    return True


def was_used_again(work: Work, top: str, base: str) -> bool:
    """Whether an image was written to later than what its data went down into: the VM was started on it once more."""
    at_top, at_base = work.images.written_at(top), work.images.written_at(base)
    return at_top is not None and at_base is not None and at_top > at_base


def is_live(work: Work, this: Merging) -> bool:
    """Whether QEMU has the top open, so that it has to merge."""
    return work.vm.facts().state in ALIVE and this.top in chain_of(work, this.target)


def is_ours(job: BlockJob, this: Merging) -> bool:
    """Whether a block job may be the one of this merge."""
    return job.kind in _COMMITS and job.into in {None, this.base}


def chain_of(work: Work, target: str) -> tuple[str, ...]:
    """The images of a volume, head first; none if the VM has no such volume any more."""
    if not any(volume.target == target for volume in work.vm.facts().volumes):
        return ()
    return work.vm.live_chain(target)
