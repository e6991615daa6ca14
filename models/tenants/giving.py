"""A VM given to an account: with it go its snapshots and what was extracted of them; its past stays where it was."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.hosts.machine import lock_vm
from models.jobs.tables import UNFINISHED, Job
from models.moves import Told, tell
from models.policies.tables import Policy
from models.queries.find import vm_id
from models.session import violated
from models.snapshots.tables import Snapshot, VolumeSnapshot
from models.tenants import quota
from models.tenants.actor import Actor
from models.tenants.keep import find_account
from models.tenants.scope import is_below, owner
from models.tenants.tables import Account, Domain
from models.vms.tables import Vm
from stillframe.errors import VmHasJobs, VmNotFound, VolumeNameTaken
from stillframe.events import EventType
from stillframe.rights import Role


def assign_vm(session: Session, actor: Actor, vm: str, account: str) -> UUID:
    """Gives a VM to an account; returns the VM's id. Raises VmHasJobs, QuotaExceeded or VolumeNameTaken.

    Jobs and events of before stay with whoever had it then. A policy that does not reach the VM there prunes nothing of
    it any more: its snapshots stay until somebody deletes them.
    """
    id_ = vm_id(session.connection(), actor, vm)
    to, home = find_account(session, actor, account)
    quota.alone_with(session, id_)
    limited = quota.take_turn(session, [id_], [to.id])
    row = lock_vm(session, id_)
    if row is None:
        raise VmNotFound(vm=vm)
    before = owner(row)
    if row.account_id == to.id:
        return id_
    _check_no_jobs(session, row)
    if before != to.id:
        _check_room(session, limited, id_, before=before, to=to.id, home=home.path)
    row.account_id = to.id
    session.flush()
    _take_along(session, id_, to.id, home.path)
    # Who had it is not told who has it now: they may not see that account.
    for type_, whose, data in (
        (EventType.VM_GIVEN_AWAY, before, {}),
        (EventType.VM_ASSIGNED, to.id, {"to_account": to.name}),
    ):
        told = Told(type_, actor.name, message=row.name, data=data)
        tell(session, told, vm=id_, host=row.host_id, account=whose)
    return id_


def _check_no_jobs(session: Session, vm: Vm) -> None:
    job = session.scalars(
        select(Job.id).where(Job.vm_id == vm.id, Job.state.in_(sorted(UNFINISHED))).limit(1)
    ).first()
    if job is not None:
        raise VmHasJobs(vm=vm.name, job=job)


def _check_room(
    session: Session, limited: Collection[Row[Any]], vm: UUID, *, before: UUID, to: UUID, home: str
) -> None:
    """In the quotas that it did not count for until now."""
    was = session.scalars(
        select(Domain.path).join(Account, Account.domain_id == Domain.id).where(Account.id == before)
    ).one()
    entered = [
        row
        for row in limited
        if (
            row.id == to
            if row.place == quota.OF_ACCOUNT
            else is_below(home, row.name) and not is_below(was, row.name)
        )
    ]
    quota.check(session, entered, quota.of_vm(session, vm))


def _take_along(session: Session, vm: UUID, to: UUID, home: str) -> None:
    reaching = [
        row.id
        for row in session.execute(
            select(Policy.id, Policy.role, Policy.account_id, Domain.path)
            .join(Account, Account.id == Policy.account_id)
            .join(Domain, Domain.id == Account.domain_id)
            .where(Policy.id.in_(select(Snapshot.policy_id).where(Snapshot.vm_id == vm)))
        )
        if _reaches(row, to, home)
    ]
    session.execute(update(Snapshot).where(Snapshot.vm_id == vm).values(account_id=to))
    session.execute(
        update(Snapshot)
        .where(Snapshot.vm_id == vm, Snapshot.policy_id.not_in(reaching))
        .values(policy_id=None)
    )
    try:
        session.execute(update(VolumeSnapshot).where(VolumeSnapshot.vm_id == vm).values(account_id=to))
    except IntegrityError as error:
        if violated(error) != "uq_volume_snapshot_live_name":
            raise
        raise VolumeNameTaken(name="one of this VM's") from error


def _reaches(policy: Any, account: UUID, path: str) -> bool:
    match policy.role:
        case Role.ROOT:
            return True
        case Role.DOMAIN:
            return is_below(path, policy.path)
        case _:
            return bool(policy.account_id == account)
