"""Quotas: what an account, and all accounts below a domain together, may have. What failed counts for nothing.

They are counted in the transaction that adds to them. Those who add to the same quota take turns, and take their locks
in one order: VMs, domains from the top down, accounts, and then whatever else they need.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Row, Uuid, bindparam, func, select, text
from sqlalchemy.orm import Session

from models.base import Json, Sql, quoted
from models.jobs.tables import Job
from models.snapshots.tables import Snapshot, VolumeSnapshot
from models.tenants.scope import accounts
from models.tenants.tables import ADMIN_ACCOUNT, Account, Domain
from stillframe.counting import Size
from stillframe.errors import QuotaExceeded
from stillframe.states import HELD, JobState

#: What still goes on by itself; a job that waits for a person keeps nobody from working.
IN_FLIGHT = HELD | {JobState.QUEUED}

#: The rows of `limited`.
OF_DOMAIN, OF_ACCOUNT = 1, 2

#: In the very words of the partial index, so that it is used.
COUNTED = text("snapshot.state NOT IN ('deleted', 'error') AND snapshot.origin = 'stillframe'")
EXTRACTED = text("volume_snapshot.state NOT IN ('deleted', 'error')")

_VMS = (
    "SELECT pg_advisory_xact_lock_shared(hashtextextended(vm::text, 5)) FROM unnest(:vms) AS vm ORDER BY vm"
)
_VM_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended(cast(:vm AS text), 5))"

#: Accounts and domains that have a limit, the domains first, from the top down.
_LIMITED = """
    WITH mine AS (
        SELECT account.id, account.domain_id FROM account
        WHERE account.id = ANY (:accounts)
        OR account.id IN (SELECT coalesce(vm.account_id, :admin) FROM vm WHERE vm.id = ANY (:vms))
    )
    SELECT 1 AS place, domain.path AS name, domain.id, NULL AS max_snapshots_a_vm, domain.max_snapshots,
        domain.max_bytes, NULL AS max_jobs
    FROM domain
    WHERE (domain.max_snapshots IS NOT NULL OR domain.max_bytes IS NOT NULL) AND EXISTS (
        SELECT FROM mine JOIN domain AS home ON home.id = mine.domain_id
        WHERE home.path = domain.path OR starts_with(home.path, rtrim(domain.path, '/') || '/')
    )
    UNION ALL
    SELECT 2, account.name, account.id, account.max_snapshots_a_vm, account.max_snapshots, account.max_bytes,
        account.max_jobs
    FROM account JOIN mine ON mine.id = account.id
    WHERE num_nonnulls(account.max_snapshots_a_vm, account.max_snapshots, account.max_bytes, account.max_jobs) > 0
    ORDER BY place, name
"""


@dataclass(frozen=True)
class Wanted:
    """What a request adds: a job in any case, and perhaps a snapshot of a VM, and bytes as far as they are known."""

    vm: UUID | None = None
    snapshots: int = 0
    size_bytes: int = 0
    jobs: int = 1


def take_turn(session: Session, vms: Collection[UUID], accounts: Collection[UUID] = ()) -> list[Row[Any]]:
    """To the end of the transaction nobody else adds to the quotas of these VMs' accounts, or gives the VMs away.

    Who writes about several VMs calls it once for all of them first. Returns those that have a limit.
    """
    of_vms = bindparam("vms", type_=ARRAY(Uuid()))
    session.execute(text(_VMS).bindparams(of_vms), {"vms": sorted(vms)})
    found = limited(session, vms, accounts)
    for row in found:
        table = Domain if row.place == OF_DOMAIN else Account
        session.execute(select(table.id).where(table.id == row.id).with_for_update(key_share=True))
    # What was read before the locks may have changed while they were waited for.
    return limited(session, vms, accounts) if found else []


def limited(session: Session, vms: Collection[UUID], accounts: Collection[UUID] = ()) -> list[Row[Any]]:
    """The accounts of these VMs, these accounts, and the domains above them, as far as they have a limit."""
    of_vms = bindparam("vms", type_=ARRAY(Uuid()))
    statement = text(_LIMITED).bindparams(
        of_vms, bindparam("accounts", type_=ARRAY(Uuid())), bindparam("admin", ADMIN_ACCOUNT, type_=Uuid())
    )
    return list(session.execute(statement, {"vms": sorted(vms), "accounts": sorted(accounts)}).all())


def alone_with(session: Session, vm: UUID) -> None:
    """To the end of the transaction nothing is asked for this VM."""
    session.execute(text(_VM_ALONE), {"vm": str(vm)})


def check(session: Session, of: Collection[Row[Any]], wanted: Wanted) -> None:
    """Whether there is room for it, after `take_turn`; raises QuotaExceeded."""
    for row in of:
        for what, limit, used, added in _measured(session, row, wanted):
            if limit is not None and added and used() + added > limit:
                whose = f"domain {row.name}" if row.place == OF_DOMAIN else f"account {row.name}"
                raise QuotaExceeded(whose=whose, limit=limit, what=what, used=used())


def _measured(session: Session, row: Row[Any], wanted: Wanted) -> Iterator[tuple[str, int | None, Any, int]]:
    of: Any = accounts(row.name) if row.place == OF_DOMAIN else [row.id]
    yield (
        "snapshots of one VM",
        *(row.max_snapshots_a_vm, lambda: _snapshots(session, of, wanted.vm), wanted.snapshots),
    )
    yield "snapshots", row.max_snapshots, lambda: _snapshots(session, of), wanted.snapshots
    most_bytes = None if row.max_bytes is None else Size(row.max_bytes)
    yield "of snapshots and volumes", most_bytes, lambda: Size(_bytes(session, of)), wanted.size_bytes
    yield "jobs at a time", row.max_jobs, lambda: _jobs(session, of), wanted.jobs


def _snapshots(session: Sql, of: Any, vm: UUID | None = None) -> int:
    counted = select(func.count()).where(Snapshot.account_id.in_(of), COUNTED)
    return session.scalar(counted if vm is None else counted.where(Snapshot.vm_id == vm)) or 0


def _bytes(session: Sql, of: Any) -> int:
    held = select(func.coalesce(func.sum(Snapshot.size_bytes), 0)).where(Snapshot.account_id.in_(of), COUNTED)
    extracted = select(func.coalesce(func.sum(VolumeSnapshot.size_bytes), 0)).where(
        VolumeSnapshot.account_id.in_(of), EXTRACTED
    )
    return int(session.scalar(held) or 0) + int(session.scalar(extracted) or 0)


def of_vm(session: Session, vm: UUID) -> Wanted:
    """What all that a VM has would add where it is given to."""
    of = select(func.count(), func.coalesce(func.sum(Snapshot.size_bytes), 0))
    count, size = session.execute(of.where(Snapshot.vm_id == vm, COUNTED)).one()
    extracted = select(func.coalesce(func.sum(VolumeSnapshot.size_bytes), 0))
    more = session.scalar(extracted.where(VolumeSnapshot.vm_id == vm, EXTRACTED)) or 0
    return Wanted(vm, snapshots=count, size_bytes=int(size) + int(more), jobs=0)


def _jobs(session: Sql, of: Any) -> int:
    counted = select(func.count()).where(Job.account_id.in_(of), text(f"job.state IN ({quoted(IN_FLIGHT)})"))
    return session.scalar(counted) or 0


def used(connection: Connection, of: Any) -> Json:
    """What these accounts have, in the words of the limits."""
    return {
        "snapshots": _snapshots(connection, of),
        "bytes": _bytes(connection, of),
        "jobs": _jobs(connection, of),
    }
