"""One VM on the fake machine, and a way to carry operations on it as a worker would, dying where a test wants."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from uuid import UUID, uuid4
from weakref import finalize

from hypervisor.fake import FakeHost, FakeMachine
from stillframe.layers import Tree
from stillframe.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    DeleteVolume,
    ExtractVolume,
    Operation,
    PruneSnapshots,
    RevertSnapshot,
)
from workers import identity, manifests
from workers.carry import End, Ending, Standing, carry
from workers.operations import plan_for
from workers.progress import Progress
from workers.reading import Reader
from workers.settle import settle
from workers.steps import Output, Work
from workers.wards import Wards
from workers.watch_folder import WatchFolder

BLOCK_FOLDER = "/images"
#: Many thousand worlds would wait for the disk each time.
FAST_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Death(BaseException):
    """The worker is killed here: nothing of it runs any more."""


@dataclass
class Mortality:
    """Counts the points at which a worker can die, and kills it at one of them."""

    dies_at: int | None = None
    points: list[str] = field(default_factory=list)
    #: What else happens at a point, by its number.
    happens: dict[int, Callable[[], object]] = field(default_factory=dict)

    def pass_by(self, point: str) -> None:
        """Called at every point."""
        self.points.append(point)
        number = len(self.points) - 1
        if number in self.happens:
            self.happens.pop(number)()
        if number == self.dies_at:
            raise Death(point)

    def forget(self) -> None:
        """Counts from the beginning, and nobody dies."""
        self.points.clear()
        self.happens.clear()
        self.dies_at = None


class MortalMachine(FakeMachine):
    """A fake machine whose caller can die before and after each of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.mortality = Mortality()

    def _maybe_fail(self, call: str, after: bool) -> None:
        self.mortality.pass_by(f"{'after' if after else 'before'} {call}")
        super()._maybe_fail(call, after)


@dataclass
class MemoryJournal:
    """A journal that outlives the worker."""

    mortality: Mortality
    states: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    no_return: bool = False
    #: Set by a test: a cancel was accepted.
    cancel_asked: bool = False

    def start(self, step: str, no_return: bool = False) -> bool:
        self.mortality.pass_by(f"before start of {step}")
        self.states[step] = "started"
        cancelled = self._passes(no_return)
        self.mortality.pass_by(f"after start of {step}")
        return cancelled

    def finish(self, step: str, output: Output, then: str | None, no_return: bool = False) -> bool:
        self.mortality.pass_by(f"before finish of {step}")
        if then is None:  # written with the job's end, which is not part of a plan
            return False
        self.states[step], self.outputs[step] = "done", dict(output)
        self.states[then] = "started"
        cancelled = self._passes(no_return)
        self.mortality.pass_by(f"after finish of {step}")
        return cancelled

    def _passes(self, no_return: bool) -> bool:
        """As the rows do it: a cancel that was accepted before keeps the point of no return from being passed."""
        self.no_return = self.no_return or (no_return and not self.cancel_asked)
        return self.cancel_asked and not self.no_return

    def turn_back(self, error: dict[str, Any]) -> None:
        self.error = error
        self.mortality.pass_by("after turning back")

    def undone(self, step: str) -> None:
        self.mortality.pass_by(f"before undone {step}")
        self.states[step] = "undone"

    def standing(self) -> Standing:
        def those(state: str) -> frozenset[str]:
            return frozenset(name for name, found in self.states.items() if found == state)

        return Standing(frozenset(self.states), those("done"), those("undone"), self.error, self.no_return)


def wards_in(
    folder: WatchFolder,
    vm: UUID,
    name: str,
    job: UUID,
    *,
    holder: str | None = None,
    freeze_budget_s: float = 10,
    pause_budget_s: float = 30,
) -> Wards:
    """The wards of a job, carried by this process if by no other."""
    return Wards(
        folder=folder,
        vm=vm,
        name=name,
        job=job,
        holder=holder or identity.own("here"),
        freeze_budget_s=freeze_budget_s,
        pause_budget_s=pause_budget_s,
    )


@dataclass
class Job:
    """One job on the VM of a World, with the journal it leaves behind."""

    world: "World"
    operation: Operation
    about: dict[UUID, str | None]
    id: UUID = field(default_factory=uuid4)
    volume_snapshot: UUID = field(default_factory=uuid4)
    attempts: int = 0
    progress: Progress = field(default_factory=Progress)
    journal: MemoryJournal = field(init=False)
    outputs: dict[str, Output] = field(default_factory=dict)
    #: Where the image lies of a volume that is to be deleted.
    volume_path: str | None = None
    #: What people call the snapshot.
    name: str = "s"
    #: What rows would say of a snapshot that another tool made.
    foreign: dict[str, Any] | None = None
    pause: bool = False
    #: What rows would say of the VM's other snapshots.
    known: dict[UUID, str] = field(init=False)

    @property
    def snapshot(self) -> UUID:
        """The one it is about."""
        (snapshot,) = self.about
        return snapshot

    def __post_init__(self) -> None:
        self.journal = MemoryJournal(self.world.machine.mortality)
        self.known = self.world.known(*self.about)

    def run(self) -> Ending:
        """One attempt, from where the journal stands."""
        work = self.work()
        plan = plan_for(self.operation.kind, foreign=self.foreign is not None)
        return carry(plan, work, self.journal, self.journal.standing(), self.progress)

    def settle(self) -> Ending:
        """One attempt after a person has closed the job."""
        return settle(self.work(), {"action": "mark_done", "actor": "kim", "at": "", "note": "by hand"})

    def work(self) -> Work:
        """What the next attempt knows."""
        self.attempts += 1
        host = FakeHost(self.world.machine)
        work = Work(
            job=self.id,
            attempt=self.attempts,
            operation=self.operation,
            host=host,
            vm=host.vm(self.world.guest.uuid),
            about=self.about,
            whole=[snapshot for snapshot, folder in self.about.items() if folder],
            volume_snapshot=self.volume_snapshot,
            volume_path=self.volume_path,
            words={"name": self.name, "created_at": datetime.now(UTC).isoformat()},
            outputs=dict(self.journal.outputs),
            pulse=self.progress,
            block_layers_folder=BLOCK_FOLDER,
            known=self.known,
            wards=self.world.wards(self.id),
            foreign=self.foreign,
            pause_for_internal_delete=self.pause,
        )
        self.outputs = work.outputs
        return work

    def cancel(self) -> bool:
        """Asks for its end, as the API does; whether that was accepted."""
        if not self.journal.no_return:
            self.journal.cancel_asked = self.progress.cancel_asked = True
        return self.journal.cancel_asked

    def to_the_end(self, dies_at: int | None = None) -> Ending:
        """Runs it, and once more if it died."""
        mortality = self.world.machine.mortality
        mortality.forget()
        mortality.dies_at = dies_at
        try:
            ending = self.run()
        except Death:
            mortality.dies_at = None
            ending = self.run()
        finally:
            mortality.dies_at = None
        return ending


class World:
    """A fake machine with one VM, and its snapshots by a short name."""

    def __init__(self, volumes: dict[str, str] | None = None, **vm: Any) -> None:
        self.machine = MortalMachine()
        self.guest = self.machine.create_vm("vm1", volumes, **vm)
        self.host = FakeHost(self.machine)
        self.freeze_budget_s = 10.0
        self.pause_budget_s = 30.0
        self.ids: dict[str, UUID] = {}

    @cached_property
    def watch(self) -> WatchFolder:
        """Where this machine's freezes and pauses are on record."""
        folder = mkdtemp(prefix="watch-", dir=FAST_FOLDER)
        finalize(self, rmtree, folder, ignore_errors=True)
        return WatchFolder(folder, "here")

    def wards(self, job: UUID, **words: Any) -> Wards:
        """The wards of a job."""
        budgets = {"freeze_budget_s": self.freeze_budget_s, "pause_budget_s": self.pause_budget_s}
        return wards_in(self.watch, self.guest.uuid, "vm1", job, **budgets | words)

    def job(self, operation: Operation, *about: UUID) -> Job:
        """A job about a snapshot, or several."""
        return Job(self, operation, {snapshot: self.folder(snapshot) for snapshot in about})

    def create(self, name: str, kind: str | None = None, **words: Any) -> Job:
        """A create job."""
        self.ids[name] = uuid4()
        job = self.job(CreateSnapshot(vm="vm1", type=kind, **words), self.ids[name])  # type: ignore[arg-type]
        job.name = name
        return job

    def revert(self, name: str, after: str = "keep") -> Job:
        """A revert job."""
        operation = RevertSnapshot(snapshot_id=str(self.ids[name]), after=after)  # type: ignore[arg-type]
        return self.job(operation, self.ids[name])

    def delete(self, name: str) -> Job:
        """A delete job."""
        return self.job(DeleteSnapshot(snapshot_id=str(self.ids[name])), self.ids[name])

    def prune(self, *names: str) -> Job:
        """A job that deletes several."""
        ids = [self.ids[name] for name in names]
        return self.job(PruneSnapshots(snapshot_ids=tuple(map(str, ids))), *ids)

    def extract(self, name: str, target: str = "vda") -> Job:
        """An extract job."""
        return self.job(ExtractVolume(snapshot_id=str(self.ids[name]), target=target), self.ids[name])

    def delete_volume(self, extracted: Job) -> Job:
        """A job that deletes what another has extracted."""
        operation = DeleteVolume(volume_snapshot_id=str(extracted.volume_snapshot))
        path = extracted.outputs.get("check_snapshot", {}).get("path")
        return Job(self, operation, {}, volume_snapshot=extracted.volume_snapshot, volume_path=path)

    def about_foreign(self, operation: Operation, name: str) -> Job:
        """A job about a snapshot that another tool made."""
        one = next(one for one in self.facts().foreign_snapshots if one.name == name)
        foreign = {"name": one.name, "created_at": one.created_at}
        return Job(self, operation, {uuid4(): None}, foreign=foreign)

    def folder(self, snapshot: UUID) -> str | None:
        """Where the snapshot lies, as its row would say."""
        return next((one.folder for one in self.manifests() if one.id == snapshot), None)

    def manifests(self) -> tuple[manifests.Manifest, ...]:
        """All that lie on the machine."""
        return manifests.find(self.host.images, [f"/images/vm1/stillframe/{self.guest.uuid}"])

    def tree(self) -> Tree:
        """The layers as they are."""
        return Reader(self.host.images, BLOCK_FOLDER, {}).tree(self.facts())

    def known(self, *but: UUID) -> dict[UUID, str]:
        """What rows would say of the other snapshots: which are whole, and where."""
        return {one.id: one.folder for one in self.manifests() if one.id not in but and one.state == "ready"}

    def facts(self) -> Any:
        """The VM as it is."""
        return self.host.vm(self.guest.uuid).facts()

    def counter_in(self, name: str, target: str = "vda") -> Any:
        """The counter that a snapshot's layer reads as."""
        return self.machine.read_back(self.tree().frozen[self.ids[name]][target]).get("counter")

    def files(self) -> set[str]:
        """Every file there is."""
        with self.machine.world() as world:
            return set(world.files)


def ok(ending: Ending) -> None:
    """The job must have succeeded; shows why not."""
    assert ending.end is End.SUCCEEDED, ending.error
