"""What a request needs before it may be written down, kind by kind, and the rows of what it will make."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from models.actor import Actor
from models.asking import (
    add_snapshot,
    add_volume_snapshot,
    deletion_asked,
    find_vm,
    lock_snapshot,
    targets_of,
)
from models.ids import new_id
from models.snapshot import Snapshot
from models.vm import Vm
from stillframe.errors import (
    AfterNotForMemory,
    ColdNeedsStopped,
    HotNeedsRunning,
    MemoryNeedsRunning,
    SnapshotNotReady,
    VolumeNotFound,
)
from stillframe.names import made_up_name
from stillframe.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    ExtractVolume,
    Operation,
    RevertSnapshot,
)
from stillframe.states import SnapshotState, SnapshotType, VmState
from tasks.refusals import DeletionAsked
from tasks.wording import expiry

_RUNS = frozenset({VmState.RUNNING, VmState.PAUSED})


@dataclass(frozen=True)
class Prepared:
    """A request that may be written down, with nothing left open in it."""

    operation: Operation
    vm: Vm
    snapshot_id: UUID
    volume_snapshot_id: UUID | None = None


def prepare(session: Session, operation: Operation, actor: Actor, job: UUID) -> Prepared:
    """Check what the request needs, and add the rows of what it makes; raises what blocks it."""
    return _PREPARE[operation.kind](session, operation, actor, job)


def _create(session: Session, operation: CreateSnapshot, actor: Actor, job: UUID) -> Prepared:
    now = datetime.now(UTC)
    vm = find_vm(session, operation.vm)
    operation = replace(
        operation,
        vm=str(vm.id),
        type=_type_for(vm, operation.type),
        name=operation.name or made_up_name("snap", now, job),
    )
    snapshot = new_id()
    add_snapshot(session, snapshot, vm, actor, operation, expires_at=expiry(operation, now))
    return Prepared(operation, vm, snapshot)


def _type_for(vm: Vm, asked: str | None) -> Any:
    runs = vm.state in _RUNS
    if asked is None:
        return "hot" if runs else "cold"
    if asked == "cold" and runs:
        raise ColdNeedsStopped(vm=vm.name, state=vm.state)
    if asked == "hot" and not runs:
        raise HotNeedsRunning(vm=vm.name, state=vm.state)
    if asked == "memory" and not runs:
        raise MemoryNeedsRunning(vm=vm.name, state=vm.state)
    return asked


def _revert(session: Session, operation: RevertSnapshot, _actor: Actor, _job: UUID) -> Prepared:
    snapshot, vm = _usable(session, operation.snapshot_id)
    if snapshot.type is SnapshotType.MEMORY and operation.after != "keep":
        raise AfterNotForMemory(after=operation.after)
    return Prepared(operation, vm, snapshot.id)


def _delete(session: Session, operation: DeleteSnapshot, _actor: Actor, _job: UUID) -> Prepared:
    snapshot, vm = lock_snapshot(session, operation.snapshot_id)
    _refuse_doomed(session, snapshot)
    if snapshot.state not in (SnapshotState.READY, SnapshotState.ERROR, SnapshotState.REVERTING):
        raise SnapshotNotReady(snapshot=snapshot.name, state=snapshot.state)
    return Prepared(operation, vm, snapshot.id)


def _extract(session: Session, operation: ExtractVolume, _actor: Actor, job: UUID) -> Prepared:
    snapshot, vm = _usable(session, operation.snapshot_id)
    targets = targets_of(session, snapshot.id)
    if operation.target not in targets:
        where = f'snapshot "{snapshot.name}"'
        raise VolumeNotFound(where=where, target=operation.target, targets=", ".join(targets) or "none")
    name = operation.name or made_up_name(operation.target, datetime.now(UTC), job)
    volume_snapshot = new_id()
    add_volume_snapshot(session, volume_snapshot, snapshot, name, operation.target)
    return Prepared(replace(operation, name=name), vm, snapshot.id, volume_snapshot)


def _usable(session: Session, wanted: str) -> tuple[Snapshot, Vm]:
    """A snapshot that is ready and is to stay."""
    snapshot, vm = lock_snapshot(session, wanted)
    _refuse_doomed(session, snapshot)
    if snapshot.state is not SnapshotState.READY:
        raise SnapshotNotReady(snapshot=snapshot.name, state=snapshot.state)
    return snapshot, vm


def _refuse_doomed(session: Session, snapshot: Snapshot) -> None:
    if job := deletion_asked(session, snapshot.id):
        raise DeletionAsked(snapshot=snapshot.name, job=job)


_PREPARE: dict[str, Callable[[Session, Any, Actor, UUID], Prepared]] = {
    CreateSnapshot.kind: _create,
    RevertSnapshot.kind: _revert,
    DeleteSnapshot.kind: _delete,
    ExtractVolume.kind: _extract,
}
