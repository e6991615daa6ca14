"""What a request adds to quotas."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.orm import Session

from models.tenants import quota
from models.vms.tables import Vm
from stillframe.operations import CreateSnapshot, ExtractVolume, Operation
from stillframe.rules import memory_needs
from stillframe.states import SnapshotType


def room_for(session: Session, operation: Operation, vms: Collection[UUID]) -> None:
    """Whether the quotas have room for it, and its turn to add to them; raises QuotaExceeded."""
    _check(session, quota.take_turn(session, vms), operation, vms)


def check_room(session: Session, operation: Operation, vms: Collection[UUID]) -> None:
    """The same for a plan: nobody waits for it. Raises QuotaExceeded."""
    _check(session, quota.limited(session, vms), operation, vms)


def _check(
    session: Session, limited: Sequence[Row[Any]], operation: Operation, vms: Collection[UUID]
) -> None:
    if limited:
        quota.check(session, limited, _wanted(session, operation, vms))


def _wanted(session: Session, operation: Operation, vms: Collection[UUID]) -> quota.Wanted:
    """How much a layer will take nobody knows: there has to be room for a byte. RAM is known."""
    vm = next(iter(vms), None)
    if isinstance(operation, CreateSnapshot) and vm is not None:
        with_ram = operation.type == SnapshotType.MEMORY.value
        needed = memory_needs(session.get_one(Vm, vm).memory_bytes) if with_ram else 0
        return quota.Wanted(vm, snapshots=1, size_bytes=max(1, needed))
    if isinstance(operation, ExtractVolume):
        return quota.Wanted(vm, size_bytes=1)
    return quota.Wanted(vm)
