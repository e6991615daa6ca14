"""What a request would do, told without asking for it: the same checks as when it is asked, and then the plan."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from models.jobs.asking import facts_of, find_snapshot, find_vm
from models.jobs.outlook import is_snapshot_name_taken, is_volume_name_taken, snapshot_known, vm_known
from models.snapshots.tables import Snapshot
from models.snapshots.volumes import find_volume, volume_facts
from models.tenants.actor import Actor
from models.vms.tables import Vm
from stillframe.errors import Forbidden, Invalid, QuotaExceeded
from stillframe.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    DeleteVolume,
    ExtractVolume,
    Operation,
    PruneSnapshots,
    RevertSnapshot,
)
from stillframe.planning import (
    Forecast,
    Limits,
    SnapshotKnown,
    VmKnown,
    plan_create,
    plan_delete,
    plan_delete_volume,
    plan_extract,
    plan_foreign,
    plan_revert,
)
from tasks.room import check_room

#: A host that was not heard of for so long is said to be silent.
SILENT = timedelta(minutes=2)


def forecast(session: Session, operation: Operation, actor: Actor, limits: Limits) -> Forecast:
    """The plan of an operation whose words were checked. Raises VmNotFound, VmNameAmbiguous, VmGone, SnapshotNotFound."""
    made = _FORECAST[operation.kind](session, operation, actor, limits)
    try:
        actor.check(operation.right)
        check_room(session, operation, [made.vm])
    except (Forbidden, QuotaExceeded) as refusal:
        return replace(made, refusals=(("request", refusal), *made.refusals))
    return made


def _create(session: Session, operation: CreateSnapshot, actor: Actor, limits: Limits) -> Forecast:
    vm = find_vm(session, actor, operation.vm)
    taken = is_snapshot_name_taken(session, vm.id, operation.name)
    operation = replace(operation, vm=str(vm.id))
    return plan_create(operation, vm_known(session, vm, SILENT), limits, name_taken=taken)


def _revert(session: Session, operation: RevertSnapshot, actor: Actor, _limits: Limits) -> Forecast:
    vm, snapshot, _ = _known(session, actor, operation.snapshot_id)
    return plan_foreign(operation, vm, snapshot) if snapshot.foreign else plan_revert(operation, vm, snapshot)


def _delete(session: Session, operation: DeleteSnapshot, actor: Actor, _limits: Limits) -> Forecast:
    vm, snapshot, _ = _known(session, actor, operation.snapshot_id)
    return (
        plan_foreign(operation, vm, snapshot) if snapshot.foreign else plan_delete(operation, vm, [snapshot])
    )


def _prune(session: Session, operation: PruneSnapshots, actor: Actor, _limits: Limits) -> Forecast:
    rows = [find_snapshot(session, actor, one) for one in operation.snapshot_ids]
    if len({row.vm_id for row in rows}) != 1:
        raise Invalid(detail="one job deletes snapshots of one VM, and at least one")
    vm = session.get_one(Vm, rows[0].vm_id)
    known = [snapshot_known(session, row, facts_of(session, row, vm)) for row in rows]
    return plan_delete(operation, vm_known(session, vm, SILENT, holding=[row.id for row in rows]), known)


def _extract(session: Session, operation: ExtractVolume, actor: Actor, _limits: Limits) -> Forecast:
    vm, snapshot, row = _known(session, actor, operation.snapshot_id)
    taken = is_volume_name_taken(session, row.account_id, operation.name)
    made = plan_foreign if snapshot.foreign else plan_extract
    return made(operation, vm, snapshot, name_taken=taken)


def _delete_volume(session: Session, operation: DeleteVolume, actor: Actor, _limits: Limits) -> Forecast:
    row = find_volume(session, actor, operation.volume_snapshot_id)
    vm = vm_known(session, session.get_one(Vm, row.vm_id), SILENT, on=row.host_id)
    facts = volume_facts(session, row)
    return plan_delete_volume(operation, vm, facts, row.snapshot_id, row.size_bytes or 0)


def _known(session: Session, actor: Actor, wanted: str) -> tuple[VmKnown, SnapshotKnown, Snapshot]:
    row = find_snapshot(session, actor, wanted)
    vm = session.get_one(Vm, row.vm_id)
    facts = facts_of(session, row, vm)
    return vm_known(session, vm, SILENT, holding=[row.id]), snapshot_known(session, row, facts), row


_FORECAST: dict[str, Callable[[Session, Any, Actor, Limits], Forecast]] = {
    CreateSnapshot.kind: _create,
    RevertSnapshot.kind: _revert,
    DeleteSnapshot.kind: _delete,
    PruneSnapshots.kind: _prune,
    ExtractVolume.kind: _extract,
    DeleteVolume.kind: _delete_volume,
}
