"""What a request needs before it may be written down, kind by kind, and the rows of what it will make."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Insert
from sqlalchemy.orm import Session

from models.hosts.drain import check_takes_jobs
from models.hosts.twins import check_on_one_host
from models.ids import new_id
from models.jobs.asking import (
    facts_of,
    find_vm,
    lock_snapshot,
    new_snapshot,
    new_volume_snapshot,
    targets_of,
)
from models.jobs.outlook import depths_of
from models.snapshots.volumes import lock_volume, volume_facts
from models.tenants.actor import Actor
from models.vms.tables import Vm
from stillframe.errors import Invalid, VolumeNotFound
from stillframe.names import made_up_name
from stillframe.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    DeleteVolume,
    ExtractVolume,
    Operation,
    PruneSnapshots,
    RevertSnapshot,
)
from stillframe.planning import Limits
from stillframe.rules import (
    check_defined,
    check_delete,
    check_delete_volume,
    check_depth,
    check_extract,
    check_memory,
    check_revert,
    check_together,
    type_for,
)
from stillframe.seen import Traits
from stillframe.states import SnapshotOrigin, SnapshotState, SnapshotType
from tasks.refusals import Refusal, all_refused, refused
from tasks.wording import expiry


@dataclass(frozen=True)
class Prepared:
    """A request that may be written down, with nothing left open in it."""

    operation: Operation
    vm: Vm
    #: The one it is about.
    snapshot_id: UUID | None = None
    volume_snapshot_id: UUID | None = None
    #: Adds the row of what it makes.
    made: Insert | None = None
    #: Those that it deletes together.
    condemned: tuple[UUID, ...] = ()
    #: Where it is done, if that is not where its VM is.
    elsewhere: UUID | None = None

    @property
    def host_id(self) -> UUID:
        """The host whose worker does it."""
        return self.elsewhere or self.vm.host_id


def prepare(session: Session, operation: Operation, actor: Actor, job: UUID, limits: Limits) -> Prepared:
    """Check what the request needs, and what rows it makes; raises what blocks it.

    Only what rows know for sure enough blocks it here: what may be over when the job runs is left to the worker.
    """
    prepared = _PREPARE[operation.kind](session, operation, actor, job, limits)
    if prepared.elsewhere is None:
        check_on_one_host(session, prepared.vm)
    check_takes_jobs(session, prepared.host_id)
    return prepared


def check_expiry(operation: Operation) -> None:
    """A new snapshot is not to expire before it is there; raises Invalid."""
    if isinstance(operation, CreateSnapshot):
        expiry(operation, datetime.now(UTC))


def _create(session: Session, operation: CreateSnapshot, actor: Actor, job: UUID, limits: Limits) -> Prepared:
    now = datetime.now(UTC)
    vm = find_vm(session, actor, operation.vm)
    type_ = type_for(vm.name, vm.state, SnapshotType(operation.type) if operation.type else None)
    traits = _check_defined(vm)
    check_depth(vm.name, depths_of(session, vm.id), limits.chain_limit)
    check_memory(vm.name, traits.host_devices, type_)
    operation = replace(
        operation,
        vm=str(vm.id),
        type=type_.value,
        name=operation.name or made_up_name("snap", now, job),
    )
    snapshot = new_id()
    made = new_snapshot(snapshot, vm, operation, expires_at=expiry(operation, now))
    return Prepared(operation, vm, snapshot, made=made)


def _revert(
    session: Session, operation: RevertSnapshot, actor: Actor, _job: UUID, _limits: Limits
) -> Prepared:
    snapshot, vm = lock_snapshot(session, actor, operation.snapshot_id)
    check_revert(facts_of(session, snapshot, vm), operation.after)
    _check_defined(vm)
    return Prepared(operation, vm, snapshot.id)


def _delete(
    session: Session, operation: DeleteSnapshot, actor: Actor, _job: UUID, _limits: Limits
) -> Prepared:
    snapshot, vm = lock_snapshot(session, actor, operation.snapshot_id)
    check_delete(facts_of(session, snapshot, vm))
    if snapshot.state is not SnapshotState.ERROR and snapshot.origin is SnapshotOrigin.STILLFRAME:
        _check_defined(vm)
    return Prepared(operation, vm, snapshot.id)


def _prune(
    session: Session, operation: PruneSnapshots, actor: Actor, _job: UUID, _limits: Limits
) -> Prepared:
    found = [lock_snapshot(session, actor, one) for one in sorted(set(operation.snapshot_ids))]
    if len({vm.id for _, vm in found}) != 1:
        raise Invalid(detail="one job deletes snapshots of one VM, and at least one")
    vm = found[0][1]
    refusals: list[Refusal] = []
    for snapshot, _ in found:
        facts = facts_of(session, snapshot, vm)
        for check in (check_delete, check_together):
            refusals += refused(snapshot.id, partial(check, facts))
    if refusals:
        raise all_refused(refusals, len(found))
    if any(snapshot.state is not SnapshotState.ERROR for snapshot, _ in found):
        _check_defined(vm)
    ids = tuple(snapshot.id for snapshot, _ in found)
    return Prepared(replace(operation, snapshot_ids=tuple(map(str, ids))), vm, condemned=ids)


def _extract(
    session: Session, operation: ExtractVolume, actor: Actor, job: UUID, _limits: Limits
) -> Prepared:
    snapshot, vm = lock_snapshot(session, actor, operation.snapshot_id)
    check_extract(facts_of(session, snapshot, vm))
    targets = targets_of(session, snapshot.id)
    if operation.target not in targets:
        where = f'snapshot "{snapshot.name}"'
        raise VolumeNotFound(where=where, target=operation.target, targets=", ".join(targets) or "none")
    name = operation.name or made_up_name(operation.target, datetime.now(UTC), job)
    volume_snapshot = new_id()
    made = new_volume_snapshot(volume_snapshot, snapshot, name, operation)
    return Prepared(replace(operation, name=name), vm, snapshot.id, volume_snapshot, made)


def _delete_volume(
    session: Session, operation: DeleteVolume, actor: Actor, _job: UUID, _limits: Limits
) -> Prepared:
    volume = lock_volume(session, actor, operation.volume_snapshot_id)
    check_delete_volume(volume_facts(session, volume))
    vm = session.get_one(Vm, volume.vm_id)
    return Prepared(operation, vm, volume_snapshot_id=volume.id, elsewhere=volume.host_id)


def _check_defined(vm: Vm) -> Traits:
    traits = Traits.from_json(vm.traits)
    check_defined(vm.name, persistent=traits.persistent)
    return traits


_PREPARE: dict[str, Callable[[Session, Any, Actor, UUID, Limits], Prepared]] = {
    CreateSnapshot.kind: _create,
    RevertSnapshot.kind: _revert,
    DeleteSnapshot.kind: _delete,
    PruneSnapshots.kind: _prune,
    ExtractVolume.kind: _extract,
    DeleteVolume.kind: _delete_volume,
}
