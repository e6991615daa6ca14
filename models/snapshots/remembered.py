"""What the rows remember of one VM and of the files beside its images: asked by ids, for most of them lie on no disk."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sqlalchemy import Engine, Uuid, bindparam, or_, select, text

from models.base import Json
from models.hosts.tables import Host
from models.hosts.twins import Elsewhere, elsewhere
from models.jobs.about import snapshots_of
from models.jobs.tables import UNFINISHED, Job, Step
from models.session import transaction
from models.snapshots.tables import Snapshot, VolumeSnapshot
from models.vms.tables import Vm
from stillframe.states import JobState, SnapshotOrigin, SnapshotState, VmState, VolumeSnapshotState


@dataclass(frozen=True)
class SnapshotKnown:
    """A snapshot's row. `was_ready`: it was whole at some time."""

    name: str
    state: SnapshotState
    folder: str | None = None
    was_ready: bool = True


@dataclass(frozen=True)
class VolumeKnown:
    """A volume snapshot's row."""

    name: str
    state: VolumeSnapshotState
    vm: UUID
    path: str | None = None


@dataclass(frozen=True)
class JobKnown:
    """A job that has not ended."""

    kind: str
    state: JobState
    #: The ids of the snapshots and the volume snapshot that it is about.
    about: frozenset[UUID] = frozenset()


#: A merge that was cut short has written too. Of one that was not begun the step says nothing.
_MERGED_INTO = text("""
SELECT DISTINCT act ->> 'base'
FROM job JOIN step AS plan ON plan.job_id = job.id AND plan.name = 'plan_collection'
CROSS JOIN LATERAL jsonb_array_elements(plan.output -> 'acts') AS act
JOIN step ON step.job_id = job.id AND step.name = 'commit:' || (act ->> 'key')
WHERE job.vm_id = :vm AND (step.state = 'started' OR step.output ? 'moved_bytes')
AND step.started_at >= (SELECT max(at) FROM event WHERE type = 'snapshot.lost' AND snapshot_id = :snapshot)
""").bindparams(bindparam("vm", type_=Uuid()), bindparam("snapshot", type_=Uuid()))


class Rows(Protocol):
    """What is asked of the rows. Each call answers from the rows as they are at that moment."""

    def unfinished(self) -> Mapping[UUID, JobKnown]:
        """The VM's jobs that have not ended."""

    def job_states(self, jobs: Collection[UUID]) -> Mapping[UUID, JobState]:
        """Those of these jobs that there are."""

    def snapshots(self, also: Collection[UUID]) -> Mapping[UUID, SnapshotKnown]:
        """The VM's own snapshots that are not deleted, and those of `also` that there are."""

    def volumes(self, also: Collection[UUID]) -> Mapping[UUID, VolumeKnown]:
        """The VM's volume snapshots on this host that are ready, and those of `also` that there are."""

    def ran_before_last_cut(self) -> bool:
        """Whether the VM ran when a job last began to cut it."""

    def merged_into_since_lost(self, snapshot: UUID) -> Collection[str]:
        """The layers of the VM that jobs have merged into since a snapshot was said to be lost."""


class RowsOfVm:
    """`Rows` of the database, for one VM on one host."""

    def __init__(self, engine: Engine, host: str, vm: UUID) -> None:
        self._engine = engine
        self._host = host
        self._vm = vm

    def is_of_this_host(self) -> bool:
        """Whether the rows say that the VM lives here; what is left of one that moved away is nobody's to judge."""
        of = select(Vm.id).join(Host, Host.id == Vm.host_id).where(Vm.id == self._vm, Host.name == self._host)
        with transaction(self._engine) as session:
            return session.scalar(of) is not None

    def elsewhere(self) -> list[Elsewhere]:
        """What other hosts than the one that has the VM have of it."""
        with transaction(self._engine) as session:
            return elsewhere(session, self._vm)

    def unfinished(self) -> Mapping[UUID, JobKnown]:
        """The VM's jobs that have not ended."""
        of = select(Job.id, Job.kind, Job.state, Job.volume_snapshot_id).where(
            Job.vm_id == self._vm, Job.state.in_(sorted(UNFINISHED))
        )
        with transaction(self._engine) as session:
            return {
                row.id: JobKnown(
                    row.kind,
                    row.state,
                    frozenset([*snapshots_of(session, row.id), *filter(None, [row.volume_snapshot_id])]),
                )
                for row in session.execute(of).all()
            }

    def job_states(self, jobs: Collection[UUID]) -> Mapping[UUID, JobState]:
        """Those of these jobs that there are."""
        if not jobs:
            return {}
        with transaction(self._engine) as session:
            return {
                row.id: row.state
                for row in session.execute(select(Job.id, Job.state).where(Job.id.in_(jobs)))
            }

    def snapshots(self, also: Collection[UUID]) -> Mapping[UUID, SnapshotKnown]:
        """The VM's own snapshots that are not deleted, and those of `also` that there are."""
        of = select(Snapshot.id, Snapshot.name, Snapshot.state, Snapshot.folder, Snapshot.ready_at).where(
            Snapshot.origin == SnapshotOrigin.STILLFRAME,
            or_(
                (Snapshot.vm_id == self._vm) & (Snapshot.state != SnapshotState.DELETED),
                Snapshot.id.in_(also),
            ),
        )
        with transaction(self._engine) as session:
            return {
                row.id: SnapshotKnown(row.name, row.state, row.folder, row.ready_at is not None)
                for row in session.execute(of)
            }

    def volumes(self, also: Collection[UUID]) -> Mapping[UUID, VolumeKnown]:
        """The VM's volume snapshots on this host that are ready, and those of `also` that there are."""
        of = (
            select(
                VolumeSnapshot.id,
                VolumeSnapshot.name,
                VolumeSnapshot.state,
                VolumeSnapshot.vm_id,
                VolumeSnapshot.path,
            )
            .join(Host, Host.id == VolumeSnapshot.host_id)
            .where(
                or_(
                    (VolumeSnapshot.vm_id == self._vm)
                    & (VolumeSnapshot.state == VolumeSnapshotState.READY)
                    & (Host.name == self._host),
                    VolumeSnapshot.id.in_(also),
                )
            )
        )
        with transaction(self._engine) as session:
            return {
                row.id: VolumeKnown(row.name, row.state, row.vm_id, row.path) for row in session.execute(of)
            }

    def ran_before_last_cut(self) -> bool:
        """Whether the VM ran when a job last began to cut it."""
        cuts = (
            select(Step.job_id)
            .join(Job, Job.id == Step.job_id)
            .where(Job.vm_id == self._vm, Step.name == "cut")
            .order_by(Step.started_at.desc())
            .limit(1)
        )
        checks = select(Step.output).where(Step.job_id == cuts.scalar_subquery(), Step.name == "check_vm")
        with transaction(self._engine) as session:
            output: Json | None = session.scalar(checks)
        return bool(output) and (output or {}).get("vm_state") == VmState.RUNNING

    def merged_into_since_lost(self, snapshot: UUID) -> Collection[str]:
        """The layers of the VM that jobs have merged into since a snapshot was said to be lost."""
        with transaction(self._engine) as session:
            return frozenset(session.scalars(_MERGED_INTO, {"vm": self._vm, "snapshot": snapshot}))


def vms_elsewhere(engine: Engine, host: str) -> frozenset[UUID]:
    """The VMs that live on other hosts."""
    of = select(Vm.id).join(Host, Host.id == Vm.host_id).where(Host.name != host, ~Vm.gone)
    with transaction(engine) as session:
        return frozenset(session.scalars(of))
