"""One VM on the fake machine with rows that fit it, to be damaged and looked at."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from hypervisor.fake import FakeHost
from models.snapshots.remembered import JobKnown, SnapshotKnown, VolumeKnown
from stillframe.findings import Finding, Kind, Repair
from stillframe.names import home_of
from stillframe.states import JobState, SnapshotState, VolumeSnapshotState
from tests.workers.fake_world import BLOCK_FOLDER, Job, World, ok
from workers.reconcile.examine import examine, mended
from workers.reconcile.look import Look
from workers.watch_folder import WatchFolder

ALL = frozenset(Repair)


@dataclass
class MemoryRows:
    """`models.snapshots.remembered.Rows` that a test writes."""

    jobs: dict[UUID, JobState] = field(default_factory=dict)
    left: dict[UUID, JobKnown] = field(default_factory=dict)
    of_snapshots: dict[UUID, SnapshotKnown] = field(default_factory=dict)
    of_volumes: dict[UUID, VolumeKnown] = field(default_factory=dict)
    ran: bool = False
    merged: dict[UUID, Collection[str]] = field(default_factory=dict)

    def unfinished(self) -> Mapping[UUID, JobKnown]:
        return self.left

    def job_states(self, jobs: Collection[UUID]) -> Mapping[UUID, JobState]:
        return {id_: state for id_, state in self.jobs.items() if id_ in jobs}

    def snapshots(self, also: Collection[UUID]) -> Mapping[UUID, SnapshotKnown]:
        return {
            id_: row
            for id_, row in self.of_snapshots.items()
            if row.state is not SnapshotState.DELETED or id_ in also
        }

    def volumes(self, also: Collection[UUID]) -> Mapping[UUID, VolumeKnown]:
        return {
            id_: row
            for id_, row in self.of_volumes.items()
            if row.state is VolumeSnapshotState.READY or id_ in also
        }

    def ran_before_last_cut(self) -> bool:
        return self.ran

    def merged_into_since_lost(self, snapshot: UUID) -> Collection[str]:
        return self.merged.get(snapshot, ())


class Site:
    """A world, its rows, and looks at it."""

    def __init__(self, volumes: dict[str, str] | None = None, **vm: Any) -> None:
        self.world = World(volumes, **vm)
        self.rows = MemoryRows()
        self.watch: WatchFolder | None = None
        self.guest = self.world.guest
        self.images = self.world.host.images
        self.home = home_of("/images/vm1/vda.qcow2", self.guest.uuid)

    def done(self, job: Job) -> Job:
        """Carries a job to its good end, and writes the rows it would leave."""
        ok(job.to_the_end())
        self.rows.jobs[job.id] = JobState.SUCCEEDED
        if job.operation.kind == "create_snapshot":
            folder = self.world.folder(job.snapshot)
            self.rows.of_snapshots[job.snapshot] = SnapshotKnown("s", SnapshotState.READY, folder)
        elif job.operation.kind == "delete_snapshot":
            self.rows.of_snapshots[job.snapshot] = SnapshotKnown("s", SnapshotState.DELETED)
        elif job.operation.kind == "extract_volume":
            path = job.outputs["sum_up"]["path"]
            known = VolumeKnown("v", VolumeSnapshotState.READY, self.guest.uuid, path)
            self.rows.of_volumes[job.volume_snapshot] = known
        return job

    def take(self, name: str, kind: str = "hot") -> UUID:
        """A snapshot of a guest that has written something; its id."""
        self.guest.tick()
        self.done(self.world.create(name, kind))
        self.guest.tick()
        return self.world.ids[name]

    def ended(self, state: JobState = JobState.FAILED) -> UUID:
        """A job that is over."""
        job = uuid4()
        self.rows.jobs[job] = state
        return job

    def look(self, may: Collection[Repair] = ()) -> list[Finding]:
        """What is found, after the repair of what may be."""
        facts = next(vm for vm in FakeHost(self.world.machine).vms() if vm.uuid == self.guest.uuid)
        frozen = None if facts.unreadable else self.world.host.vm(self.guest.uuid).is_frozen()
        look = Look(FakeHost(self.world.machine), facts, self.rows, BLOCK_FOLDER, frozen, self.watch)
        return mended(examine(look), may)

    def only(self, kind: Kind, may: Collection[Repair] = ()) -> Finding:
        """The one thing that is found, notes apart."""
        found = [one for one in self.look(may) if one.kind is not Kind.LAYER_HIDDEN]
        assert [one.kind for one in found] == [kind], found
        return found[0]

    def is_well(self) -> None:
        """Nothing is left to be put right."""
        assert [one for one in self.look() if one.is_drift] == []
