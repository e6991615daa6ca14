"""A VM given to an account: with it go its snapshots and what was extracted of them; its past stays where it was."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.base import AnyRow
from models.find import vm_id
from models.hosts.machine import lock_vm
from models.jobs.tables import UNFINISHED, Job
from models.moves import Told, tell
from models.policies.tables import Policy, PolicyVm
from models.session import violated
from models.snapshots.tables import Snapshot, VolumeSnapshot
from models.tenants import quota
from models.tenants.actor import Actor
from models.tenants.named import find_account
from models.tenants.scope import is_below, owner
from models.tenants.tables import Account, Domain
from models.vms.tables import Vm
from stillframe.errors import VmHasJobs, VmNotFound, VolumeNameTaken
from stillframe.events import EventType
from stillframe.rights import Role
from stillframe.states import SnapshotState, VolumeSnapshotState


@dataclass(frozen=True)
class Given:
    """A VM that was given away, and what went with it. `policies` prune nothing of it any more."""

    vm: UUID
    snapshots: int = 0
    volumes: int = 0
    policies: tuple[str, ...] = ()


def assign_vm(session: Session, actor: Actor, vm: str, account: str) -> Given:
    """Gives a VM to an account. Raises VmHasJobs, QuotaExceeded or VolumeNameTaken.

    Jobs and events of before stay with whoever had it then. A policy that does not reach the VM there prunes nothing of
    it any more: its snapshots and images stay until somebody deletes them.
    """
    id_ = vm_id(session.connection(), actor, vm)
    to, home = find_account(session, actor, account, keep=True)
    _lock_standings(session, id_)
    quota.alone_with(session, id_)
    limited = quota.take_turn(session, [id_], [to.id])
    row = lock_vm(session, id_)
    if row is None:
        raise VmNotFound(vm=vm)
    before = owner(row)
    if row.account_id == to.id:
        return Given(id_)
    _check_no_jobs(session, row)
    if before != to.id:
        _check_room(session, limited, id_, before=before, to=to.id, home=home.path)
    row.account_id = to.id
    session.flush()
    given = _take_along(session, id_, to.id, home.path)
    # Who had it is not told who has it now: they may not see that account.
    for type_, whose, data in (
        (EventType.VM_GIVEN_AWAY, before, {}),
        (EventType.VM_ASSIGNED, to.id, {"to_account": to.name}),
    ):
        told = Told(type_, actor.name, message=row.name, data=data)
        tell(session, told, vm=id_, host=row.host_id, account=whose)
    return given


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


def _lock_standings(session: Session, vm: UUID) -> None:
    """How it fares under policies: before the VM, as the ticks have them that prune."""
    of = select(PolicyVm.policy_id).where(PolicyVm.vm_id == vm).order_by(PolicyVm.policy_id)
    session.execute(of.with_for_update())


def _take_along(session: Session, vm: UUID, to: UUID, home: str) -> Given:
    left = [row for row in _policies_of(session, vm) if not _reaches(row, to, home)]
    session.execute(update(Snapshot).where(Snapshot.vm_id == vm).values(account_id=to))
    try:
        session.execute(update(VolumeSnapshot).where(VolumeSnapshot.vm_id == vm).values(account_id=to))
    except IntegrityError as error:
        if violated(error) != "uq_volume_snapshot_live_name":
            raise
        raise VolumeNameTaken(name="one of this VM's") from error
    _take_from(session, vm, [row.id for row in left])
    snapshots = select(func.count()).where(Snapshot.vm_id == vm, Snapshot.state != SnapshotState.DELETED)
    volumes = select(func.count()).where(
        VolumeSnapshot.vm_id == vm, VolumeSnapshot.state != VolumeSnapshotState.DELETED
    )
    return Given(
        vm,
        session.scalars(snapshots).one(),
        session.scalars(volumes).one(),
        tuple(sorted(row.name for row in left if row.deleted_at is None and row.keeps)),
    )


def _take_from(session: Session, vm: UUID, policies: Sequence[UUID]) -> None:
    """What these policies made of the VM is no policy's any more, and they know nothing of it."""
    for made in (Snapshot, VolumeSnapshot):
        of = update(made).where(made.vm_id == vm, made.policy_id.in_(policies))
        session.execute(of.values(policy_id=None))
    session.execute(delete(PolicyVm).where(PolicyVm.vm_id == vm, PolicyVm.policy_id.in_(policies)))


def _policies_of(session: Session, vm: UUID) -> Sequence[AnyRow]:
    """Those that have something of it; `keeps`: snapshots or images."""
    made = [select(one.policy_id).where(one.vm_id == vm) for one in (Snapshot, VolumeSnapshot)]
    keeps = or_(*(Policy.id.in_(one) for one in made))
    fares = Policy.id.in_(select(PolicyVm.policy_id).where(PolicyVm.vm_id == vm))
    columns = (Policy.id, Policy.name, Policy.role, Policy.account_id, Policy.deleted_at, Domain.path)
    return session.execute(
        select(*columns, keeps.label("keeps"))
        .join(Account, Account.id == Policy.account_id)
        .join(Domain, Domain.id == Account.domain_id)
        .where(or_(keeps, fares))
    ).all()


def _reaches(policy: Any, account: UUID, path: str) -> bool:
    match policy.role:
        case Role.ROOT:
            return True
        case Role.DOMAIN:
            return is_below(path, policy.path)
        case _:
            return bool(policy.account_id == account)
