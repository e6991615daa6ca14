"""One real guest in the lab, and a way to carry operations on it as a worker would."""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from hypervisor.libvirt_host import LibvirtHost
from lab import Guest, Lab, Tick, readback
from stillframe.layers import Tree
from stillframe.operations import CreateSnapshot, DeleteSnapshot, ExtractVolume, Operation, RevertSnapshot
from stillframe.states import VmState
from tests.workers.fake_world import MemoryJournal, Mortality, wards_in
from workers.carry import End, Ending, carry
from workers.operations import plan_for
from workers.progress import Progress
from workers.reading import Reader
from workers.steps import Work
from workers.wards import Wards
from workers.watch_folder import WatchFolder

BLOCK_FOLDER = "/var/lib/libvirt/images"


@dataclass
class Mark:
    """What was in the guest when a snapshot was taken: the last tick before, the first after, a file's digest."""

    before: Tick
    digest: str
    after: Tick | None = None


@dataclass
class RealWorld:
    """A guest, its snapshots by a short name, and what each of them must hold."""

    lab: Lab
    guest: Guest
    host: LibvirtHost
    ids: dict[str, UUID] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Whether deletions of internal snapshots pause the VM.
    pause: bool = False

    @property
    def uuid(self) -> UUID:
        return UUID(self.guest.uuid)

    def facts(self) -> Any:
        """The VM as it is."""
        return self.host.vm(self.uuid).facts()

    def run(self, operation: Operation, snapshot: UUID, foreign: dict[str, Any] | None = None) -> Ending:
        """Carries one operation to its end; `foreign` is what rows would say of a snapshot of another tool."""
        return self.job(operation, snapshot, foreign).run()

    def job(self, operation: Operation, snapshot: UUID, foreign: dict[str, Any] | None = None) -> "RealJob":
        """One that can be taken up again."""
        known = {one.id: one.folder for one in self.reader.manifests(self.facts()) if one.id != snapshot}
        return RealJob(self, operation, {snapshot: self.folder(snapshot)}, known, foreign)

    @property
    def watch(self) -> WatchFolder:
        """Where this host's freezes and pauses are on record."""
        return WatchFolder(self.lab.places.var / "watch", "lab")

    def wards(self, job: UUID, **words: Any) -> Wards:
        """The wards of a job."""
        return wards_in(self.watch, self.uuid, self.guest.name, job, **words)

    def must(self, operation: Operation, snapshot: UUID) -> dict[str, dict[str, Any]]:
        """Carries it and insists that it succeeded; the outputs of its steps."""
        ending = self.run(operation, snapshot)
        assert ending.end is End.SUCCEEDED, ending.error
        return self.outputs

    def create(self, name: str, kind: str, **words: Any) -> dict[str, dict[str, Any]]:
        """A snapshot, and a mark of what it must hold."""
        self.ids[name] = uuid4()
        self.marks[name] = Mark(self.last_tick(), self.write_marker(name))
        outputs = self.must(CreateSnapshot(vm="x", type=kind, **words), self.ids[name])  # type: ignore[arg-type]
        if self.facts().state == VmState.RUNNING:
            self.marks[name].after = self.guest.wait_tick()
        return outputs

    def revert(self, name: str, after: str = "keep") -> dict[str, dict[str, Any]]:
        """Back to a snapshot."""
        operation = RevertSnapshot(snapshot_id=str(self.ids[name]), after=after)  # type: ignore[arg-type]
        return self.must(operation, self.ids[name])

    def delete(self, name: str) -> dict[str, dict[str, Any]]:
        """A snapshot less."""
        return self.must(DeleteSnapshot(snapshot_id=str(self.ids[name])), self.ids[name])

    def extract(self, name: str, target: str) -> dict[str, Any]:
        """One volume of a snapshot; what is known of the image."""
        operation = ExtractVolume(snapshot_id=str(self.ids[name]), target=target)
        return self.must(operation, self.ids[name])["sum_up"]

    def last_tick(self) -> Tick:
        """The last tick the guest is known to have made durable."""
        if self.facts().state == VmState.RUNNING:
            return self.guest.wait_tick()
        return self.guest.ticks()[-1]

    def write_marker(self, name: str) -> str:
        """Has the guest write a random file on every disk, if it runs; the digest of what the file holds now."""
        if self.facts().state == VmState.RUNNING:
            text = os.urandom(4096).hex()
            self.guest.wait_agent()
            for target in self.guest.disks:
                self.guest.sh(f"echo {text} > /disk/{target}/marker && sync /disk/{target}/marker")
            self._digest = hashlib.sha256(f"{text}\n".encode()).hexdigest()
        return self._digest

    _digest: str = ""

    def tree(self) -> Tree:
        """The layers as they are on the host."""
        return self.reader.tree(self.facts())

    @property
    def reader(self) -> Reader:
        """Reads this host."""
        return Reader(self.host.images, BLOCK_FOLDER, {})

    def folder(self, snapshot: UUID) -> str | None:
        """Where a snapshot lies."""
        found = self.reader.manifests(self.facts())
        return next((one.folder for one in found if one.id == snapshot), None)

    def check(self, *names: str) -> None:
        """Each of these snapshots still holds on every disk what the guest had written when it was taken."""
        tree = self.tree()
        assert set(tree.frozen) == {self.ids[name] for name in names}
        for name in names:
            mark, counters = self.marks[name], []
            for layer in tree.frozen[self.ids[name]].values():
                path, form = Path(layer), tree.layers[layer].format
                counters.append(readback.counter(path, form)[0])
                marker = readback.read_file(path, "/marker", form)
                assert hashlib.sha256(marker).hexdigest() == mark.digest, (name, path)
            assert min(counters) >= mark.before.counter, name
            assert max(counters) - min(counters) <= 1, name
            if mark.after:
                assert max(counters) <= mark.after.counter, name

    def check_guest(self, name: str) -> Tick:
        """The guest runs on from the snapshot: its files are those of then, on every disk."""
        tick = self.guest.wait_tick()
        self.guest.wait_agent()
        for target in self.guest.disks:
            said = self.guest.sh(f"sha256sum /disk/{target}/marker").split()[0]
            assert said == self.marks[name].digest, target
        return tick

    def power_off(self) -> None:
        """Stops the VM as a user might."""
        with suppress(Exception):
            self.guest.destroy()

    def files(self) -> list[str]:
        """Every file beside the guest's images."""
        found = []
        for folder, _, names in os.walk(self.guest.folder):
            found += [os.path.join(folder, name) for name in names]
        return sorted(found)


@dataclass
class RealJob:
    """One job on the VM of a RealWorld, with the journal it leaves behind."""

    world: RealWorld
    operation: Operation
    about: dict[UUID, str | None]
    known: dict[UUID, str]
    foreign: dict[str, Any] | None = None
    id: UUID = field(default_factory=uuid4)
    volume_snapshot: UUID = field(default_factory=uuid4)
    journal: MemoryJournal = field(default_factory=lambda: MemoryJournal(Mortality()))
    attempts: int = 0

    def run(self, progress: Progress | None = None) -> Ending:
        """One attempt, from where the journal stands."""
        self.attempts += 1
        progress = progress or Progress()
        world = self.world
        work = Work(
            job=self.id,
            attempt=self.attempts,
            operation=self.operation,
            host=world.host,
            vm=world.host.vm(world.uuid),
            about=self.about,
            volume_snapshot=self.volume_snapshot,
            words={"name": "s"},
            outputs=dict(self.journal.outputs),
            pulse=progress,
            block_layers_folder=BLOCK_FOLDER,
            known=self.known,
            wards=world.wards(self.id),
            foreign=self.foreign,
            pause_for_internal_delete=world.pause,
        )
        plan = plan_for(self.operation.kind, foreign=self.foreign is not None)
        ending = carry(plan, work, self.journal, self.journal.standing(), progress)
        world.outputs = work.outputs
        return ending
