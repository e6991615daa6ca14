"""Rows to begin with: a host, its VMs and snapshots, and questions about what is in the tables afterwards."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from models.events.tables import Event
from models.hosts.tables import Host
from models.ids import new_id
from models.jobs.tables import INTERACTIVE, Job, JobSnapshot, Step
from models.session import transaction
from models.snapshots.tables import Snapshot, SnapshotLayer, VolumeSnapshot
from models.tenants.tables import ADMIN_ACCOUNT, Account, Domain
from models.vms.tables import Vm
from stillframe.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    ExtractVolume,
    Operation,
    PruneSnapshots,
    RevertSnapshot,
)
from stillframe.seen import VmSeen, VolumeSeen
from stillframe.states import JobState, SnapshotState, SnapshotType, VmState, VolumeSnapshotState


class World:
    """A database with some things in it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def host(self, name: str = "h1") -> UUID:
        """The host of that name."""
        with transaction(self.engine) as session:
            host = session.scalars(select(Host).where(Host.name == name)).one_or_none()
            if host is None:
                host = Host(id=new_id(), name=name)
                session.add(host)
            return host.id

    def account(self, name: str, path: str = "/") -> UUID:
        """The account of that name, made in the domain of that path, which is made too."""
        with transaction(self.engine) as session:
            home = _domain(session, path)
            mine = Account.name == name, Account.domain_id == home, Account.deleted_at.is_(None)
            row = session.scalars(select(Account).where(*mine)).one_or_none()
            if row is None:
                row = Account(id=new_id(), domain_id=home, name=name)
                session.add(row)
            return row.id

    def vm(
        self,
        name: str = "web",
        state: VmState = VmState.RUNNING,
        host: str = "h1",
        gone: bool = False,
        account: UUID | None = None,
    ) -> UUID:
        """A VM of that name on a host."""
        row = Vm(id=uuid4(), host_id=self.host(host), name=name, state=state, gone=gone, account_id=account)
        with transaction(self.engine) as session:
            session.add(row)
        return row.id

    def snapshot(
        self,
        vm: UUID,
        name: str | None = None,
        state: SnapshotState = SnapshotState.READY,
        type_: SnapshotType = SnapshotType.HOT,
        targets: tuple[str, ...] = ("vda",),
        parent: UUID | None = None,
    ) -> UUID:
        """A snapshot of a VM with a layer of each target."""
        with transaction(self.engine) as session:
            of = session.get_one(Vm, vm)
            id_ = new_id()
            row = Snapshot(
                id=id_,
                vm_id=vm,
                host_id=of.host_id,
                account_id=of.account_id or ADMIN_ACCOUNT,
                name=name or f"s-{id_.hex[-12:]}",
                display_name=name or "s",
                type=type_,
                state=state,
                parent_id=parent,
                ready_at=datetime.now(UTC) if state is not SnapshotState.CREATING else None,
            )
            session.add(row)
            session.flush()
            for target in targets:
                session.add(
                    SnapshotLayer(snapshot_id=id_, target=target, path=f"/images/{target}", virtual_bytes=1)
                )
        return id_

    def job(
        self,
        vm: UUID,
        kind: str = "create_snapshot",
        priority: int = INTERACTIVE,
        snapshot: UUID | None = None,
    ) -> UUID:
        """A queued job with what it would make, as the Producer writes them."""
        about = snapshot or self.snapshot(
            vm, state=SnapshotState.CREATING if kind == "create_snapshot" else SnapshotState.READY
        )
        volume = self._volume_snapshot(vm, about) if kind == "extract_volume" else None
        operation: Operation = {
            "create_snapshot": CreateSnapshot(vm=str(vm), type="hot", name="s"),
            "revert_snapshot": RevertSnapshot(snapshot_id=str(about)),
            "delete_snapshot": DeleteSnapshot(snapshot_id=str(about)),
            "extract_volume": ExtractVolume(snapshot_id=str(about), target="vda", name="v"),
        }[kind]
        with transaction(self.engine) as session:
            of = session.get_one(Vm, vm)
            row = Job(
                id=new_id(),
                kind=kind,
                host_id=of.host_id,
                vm_id=vm,
                vm_name="web",
                snapshot_id=about,
                volume_snapshot_id=volume,
                account_id=of.account_id or ADMIN_ACCOUNT,
                request=operation.to_json(),
                priority=priority,
                requested_by="admin",
            )
            session.add(row)
        return row.id

    def prune(
        self, vm: UUID, *snapshots: UUID, policy: UUID | None = None, priority: int = INTERACTIVE
    ) -> UUID:
        """A queued job that deletes these together, as the Producer writes it."""
        operation = PruneSnapshots(
            snapshot_ids=tuple(map(str, snapshots)), policy_id=str(policy) if policy else None
        )
        with transaction(self.engine) as session:
            row = Job(
                id=new_id(),
                kind=operation.kind,
                host_id=session.scalars(select(Vm.host_id).where(Vm.id == vm)).one(),
                vm_id=vm,
                vm_name="web",
                account_id=ADMIN_ACCOUNT,
                request=operation.to_json(),
                priority=priority,
                requested_by="admin",
            )
            session.add(row)
            session.flush()
            session.add_all(JobSnapshot(job_id=row.id, snapshot_id=one) for one in snapshots)
        return row.id

    def spared(self, job: UUID) -> dict[UUID, str]:
        """The snapshots that a job left out, with the code of the reason."""
        of = select(JobSnapshot).where(JobSnapshot.job_id == job, JobSnapshot.spared.is_not(None))
        with transaction(self.engine) as session:
            return {row.snapshot_id: (row.spared or {})["code"] for row in session.scalars(of)}

    def _volume_snapshot(self, vm: UUID, snapshot: UUID) -> UUID:
        with transaction(self.engine) as session:
            row = VolumeSnapshot(
                id=new_id(),
                name=f"v-{new_id().hex[-12:]}",
                state=VolumeSnapshotState.CREATING,
                snapshot_id=snapshot,
                vm_id=vm,
                host_id=session.scalars(select(Vm.host_id).where(Vm.id == vm)).one(),
                account_id=ADMIN_ACCOUNT,
                target="vda",
            )
            session.add(row)
        return row.id

    def set_vm_state(self, vm: UUID, state: VmState) -> None:
        """Let a VM be seen in another state."""
        with transaction(self.engine) as session:
            session.get_one(Vm, vm).state = state

    def set_parent(self, snapshot: UUID, parent: UUID) -> None:
        """Put a snapshot on top of another."""
        with transaction(self.engine) as session:
            session.get_one(Snapshot, snapshot).parent_id = parent

    def row(self, job: UUID) -> Job:
        """A job's row as it is now."""
        with transaction(self.engine) as session:
            return session.scalars(select(Job).where(Job.id == job)).one()

    def steps(self, job: UUID) -> list[tuple[str, str, dict[str, Any]]]:
        """Name, state and output of a job's steps, in order."""
        with transaction(self.engine) as session:
            found = session.scalars(select(Step).where(Step.job_id == job).order_by(Step.seq))
            return [(step.name, step.state.value, step.output) for step in found]

    def snapshot_row(self, snapshot: UUID | None) -> Snapshot:
        """A snapshot's row as it is now."""
        with transaction(self.engine) as session:
            return session.scalars(select(Snapshot).where(Snapshot.id == snapshot)).one()

    def volume_row(self, volume_snapshot: UUID) -> VolumeSnapshot:
        """A volume snapshot's row as it is now."""
        with transaction(self.engine) as session:
            return session.scalars(select(VolumeSnapshot).where(VolumeSnapshot.id == volume_snapshot)).one()

    def states(self) -> list[JobState]:
        """The states of all jobs, in the order they were asked."""
        with transaction(self.engine) as session:
            return list(session.scalars(select(Job.state).order_by(Job.created_at, Job.id)))

    def events(self, job: UUID | None = None) -> list[str]:
        """The types of the events of a job, or of all, in order."""
        query = select(Event.type).order_by(Event.id)
        with transaction(self.engine) as session:
            return list(session.scalars(query if job is None else query.where(Event.job_id == job)))

    def last_event(self) -> Event:
        """The last event of all."""
        with transaction(self.engine) as session:
            return session.scalars(select(Event).order_by(Event.id.desc()).limit(1)).one()

    def count(self, table: type) -> int:
        """How many rows a table has."""
        with transaction(self.engine) as session:
            return session.scalars(select(func.count()).select_from(table)).one()

    def due_now(self, job: UUID) -> None:
        """Let the wait of a job that was put back into the line be over."""
        with transaction(self.engine) as session:
            session.scalars(select(Job).where(Job.id == job)).one().next_attempt_at = None

    def lapse_now(self, job: UUID) -> None:
        """Let a job's lease have lapsed a moment ago."""
        with transaction(self.engine) as session:
            row = session.scalars(select(Job).where(Job.id == job)).one()
            row.lease_until = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, 1)


def seen_vm(
    vm: UUID, name: str = "web", state: VmState = VmState.RUNNING, path: str = "/images/vda"
) -> VmSeen:
    """A VM with one volume, as a worker sees it."""
    volume = VolumeSeen("vda", path, "qcow2", "file", 1 << 30, 1 << 20)
    return VmSeen(vm, name, state, "", 1 << 29, (volume,))


def _domain(session: Session, path: str) -> UUID:
    found = session.scalars(select(Domain.id).where(Domain.path == path)).one_or_none()
    if found is not None:
        return found
    above, _, name = path.rpartition("/")
    row = Domain(id=new_id(), parent_id=_domain(session, above or "/"), name=name, path=path)
    session.add(row)
    session.flush()
    return row.id
