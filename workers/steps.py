"""Plans and steps: an operation is an ordered list of named acts, each with its undo on the same line.

Laws of a step:
1. `verb_noun`, unique in its plan, written in rows, never renamed.
2. Doing it twice equals doing it once: it looks, then acts. Names come from the job's id, so it finds its own work again.
3. It returns a small JSON object; later steps and its undo read only that.
4. It touches the machine through the port only: no SQL, no Celery, no unbounded wait.
5. It raises an error of `stillframe.errors`: Refused and NotNow before anything was done, others whenever.
6. An undo, or a halt, bears that nothing was done, or half, or all.
7. It freezes or pauses a VM only with a ward on record, so that the watchdog ends what it does not.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile
from typing import Any, Protocol
from uuid import UUID

from hypervisor.port import Host, Images, Pulse, Vm
from stillframe.operations import Operation
from stillframe.planning import Limits
from workers.reading import Reader
from workers.wards import Wards

Output = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Work:
    """All that a step may know: the job's own facts, the port, and what earlier steps gave."""

    job: UUID
    #: 1 on the first run; more when a worker before this one died or lost its lease.
    attempt: int
    operation: Operation
    host: Host
    vm: Vm
    #: The snapshots the job is about, each with its folder if rows know one: one that is being made has none yet.
    about: Mapping[UUID, str | None]
    #: Those of them that were ready: each must have its manifest until the job itself removes it.
    whole: Collection[UUID] = ()
    #: What an extract makes, or what is to be deleted; of that, where its image lies, if it ever had one.
    volume_snapshot: UUID | None
    volume_path: str | None = None
    #: Words for people about the snapshot (name, display_name, ...), kept in its manifest.
    words: Mapping[str, Any]
    #: Outputs of the steps that are done, by step name.
    outputs: dict[str, Output]
    #: Tells how far a long call is; raises Cancelled when a cancel was asked for.
    pulse: Pulse
    block_layers_folder: str
    #: Images under a volume from which on it gets no new layer.
    chain_limit: int = Limits.chain_limit
    #: The VM's other snapshots that rows know of, with their folders: each must have its manifest.
    known: Mapping[UUID, str]
    #: Where a freeze or a pause of the VM is put on record before it begins.
    wards: Wards
    #: Of a snapshot that another tool made: its name, when it was made, and what else its row says; None for one of ours.
    foreign: Mapping[str, Any] | None = None
    #: Whether a running VM is paused while an internal snapshot is deleted.
    pause_for_internal_delete: bool = False

    @property
    def snapshot(self) -> UUID:
        """The one snapshot that the job is about: only a deletion may be about several."""
        (snapshot,) = self.about
        return snapshot

    @property
    def folder(self) -> str | None:
        """The folder of that one."""
        return self.about[self.snapshot]

    @property
    def images(self) -> Images:
        """The host's files."""
        return self.host.images

    @property
    def reader(self) -> Reader:
        """How the VM's layers and manifests are read."""
        return Reader(self.images, self.block_layers_folder, self.known)


Act = Callable[[Work], Output]
Undo = Callable[[Work], None]


@dataclass(frozen=True)
class Step:
    """One act. From a `final` step on there is no way back: it and those after it are only ever done again.

    A final step with `halt` may still be stopped half way. Then nothing that is done is taken back: `halt` ends what
    is under way, or brings it to its end if it is too late for that, and leaves the rest to who asks for it again.
    """

    name: str
    do: Act
    undo: Undo | None = None
    final: bool = False
    halt: Undo | None = None

    @property
    def hears(self) -> bool:
        """Whether a cancel is heard before and while it runs."""
        return not self.final or self.halt is not None

    def steps(self, outputs: Mapping[str, Output]) -> Iterator["Step"]:
        """Itself."""
        yield self


@dataclass(frozen=True)
class Part:
    """One of the steps that an item of `Each` yields: it is given the item, and its name goes before the item's key."""

    name: str
    do: Callable[[Work, Output], Output]
    halt: Callable[[Work, Output], None] | None = None


@dataclass(frozen=True)
class Each:
    """The steps of each item that the step named `of` has put into its output under `items`; all of them final.

    The items are in the journal before the first of these steps begins, so a resumed job finds the same list.
    """

    of: str
    items: str
    parts: Callable[[Output], tuple[Part, ...]]
    #: Whether those of its parts that can be halted may be.
    hears: bool = False

    def steps(self, outputs: Mapping[str, Output]) -> Iterator[Step]:
        """The steps, named after the item's `key`; none as long as `of` is not done."""
        for item in outputs.get(self.of, {}).get(self.items, []):
            for part in self.parts(item):
                halt = partial(_halt, part.halt, item) if part.halt and self.hears else None
                yield Step(f"{part.name}:{item['key']}", partial(_do, part.do, item), final=True, halt=halt)


def _do(do: Callable[[Work, Output], Output], item: Output, work: Work) -> Output:
    return do(work, item)


def _halt(halt: Callable[[Work, Output], None], item: Output, work: Work) -> None:
    halt(work, item)


class Plan:
    """The acts of one kind of job, in order. `result` names the step whose output is what the job was for.

    `halted` tells a person what to do about a job that was stopped half way.
    """

    def __init__(self, kind: str, *parts: Step | Each, result: str | None = None, halted: str = "") -> None:
        self.kind = kind
        self.parts = parts
        self.result = result
        self.halted = halted

    def steps(self, outputs: Mapping[str, Output]) -> Iterator[Step]:
        """The steps in order. `outputs` is read anew for each part, so it may grow while this is iterated."""
        for part in self.parts:
            yield from part.steps(outputs)

    def hears_from(self, step: Step, outputs: Mapping[str, Output]) -> bool:
        """Whether this step or one after it hears a cancel. Of steps that are not known yet, one may."""
        unknown = (part for part in self.parts if isinstance(part, Each) and part.of not in outputs)
        ahead = dropwhile(lambda one: one.name != step.name, self.steps(outputs))
        return any(part.hears for part in unknown) or any(one.hears for one in ahead)


class StepJournal(Protocol):
    """Where intent and outcome of each step are kept. Every intent is committed when the call returns."""

    def start(self, step: str, no_return: bool = False) -> bool:
        """The intent of a step. With `no_return` no cancel is accepted any more from here on, in the same commit.

        Returns whether a cancel was accepted before: then it is not too late, and the step must not be begun.
        """

    def finish(self, step: str, output: Output, then: str | None, no_return: bool = False) -> bool:
        """The outcome of a step together with the intent of the next, if there is one; returns what `start` does."""

    def turn_back(self, error: dict[str, Any]) -> None: ...

    def undone(self, step: str) -> None: ...
