"""How far a merge is, as the images, QEMU and its mark tell: each part of it asks again."""

from dataclasses import asdict, dataclass

from hypervisor.port import BlockJob, Source
from stillframe.rules import ALIVE
from workers import marks
from workers.steps import Output, Work

_COMMITS = {"commit", "active_commit"}
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


def is_open(work: Work, this: Merging) -> bool:
    """Whether there is a merge to carry on: it was begun, and its top has not been freed yet."""
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
