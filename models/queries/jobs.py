"""Lists and details of jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, false, select

from models.base import Json
from models.hosts.tables import Host
from models.jobs.about import is_about
from models.jobs.tables import UNFINISHED, Job, JobSnapshot, Step
from models.jobs.waiting import waiting
from models.queries.accounts import owned
from models.queries.find import ending, host_id, vm_ids
from models.queries.paging import AnyRow, AnySelect, Order, Wanted, instant, page
from models.snapshots.tables import Snapshot
from models.tenants.actor import Actor
from models.tenants.scope import mine
from stillframe.errors import JobNotFound
from stillframe.operations import PruneSnapshots
from stillframe.states import JobState

_ID = Job.id.expression
NEWEST_FIRST = Order("-created_at", Job.created_at.expression, _ID, descending=True, parse=instant)


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which jobs. `q` is the end of an id."""

    vm: str | None = None
    states: tuple[JobState, ...] = ()
    kind: str | None = None
    host: str | None = None
    snapshot: UUID | None = None
    account: str | None = None
    domain: str | None = None
    q: str | None = None


def jobs(connection: Connection, actor: Actor, filters: Filters, wanted: Wanted) -> Json:
    """A page, newest first, without steps; raises VmNotFound or HostNotFound."""
    statement = _select(actor)
    if filters.vm is not None:
        statement = statement.where(Job.vm_id.in_(vm_ids(connection, actor, filters.vm)))
    if filters.states:
        statement = statement.where(Job.state.in_(filters.states))
    if filters.kind is not None:
        statement = statement.where(Job.kind == filters.kind)
    if filters.host is not None:
        statement = statement.where(Job.host_id == host_id(connection, actor, filters.host))
    if filters.snapshot is not None:
        statement = statement.where(is_about(filters.snapshot))
    statement = statement.where(*owned(connection, actor, Job.account_id, filters.account, filters.domain))
    if filters.q:
        by_id = ending(_ID, filters.q)
        statement = statement.where(by_id if by_id is not None else false())
    return page(connection, statement, NEWEST_FIRST, wanted, _items)


def job(connection: Connection, actor: Actor, id_: UUID) -> Json:
    """One job with its steps; raises JobNotFound."""
    row = connection.execute(_select(actor).where(Job.id == id_)).first()
    if row is None:
        raise JobNotFound(job=str(id_))
    (item,) = _items(connection, [row])
    return {**item, "steps": _steps(connection, id_)}


def check_known(connection: Connection, actor: Actor, id_: UUID) -> None:
    """Raises JobNotFound."""
    if connection.scalar(select(Job.id).where(Job.id == id_, mine(actor, Job.account_id))) is None:
        raise JobNotFound(job=str(id_))


def _select(actor: Actor) -> AnySelect:
    of = select(
        *(Job.id, Job.kind, Job.state, Job.phase, Job.vm_id, Job.vm_name, Job.snapshot_id),
        *(Job.volume_snapshot_id, Job.progress, Job.attempt, Job.worker, Job.priority, Job.requested_by),
        *(Job.idempotency_key, Job.created_at, Job.started_at, Job.finished_at, Job.cancel_requested_at),
        *(Job.expires_at, Job.request, Job.result, Job.error, Job.deaths, Job.no_return_at, Job.recovery),
        Job.trace,
        Job.trace,
        *(Host.name.label("host"), Snapshot.name.label("snapshot_name")),
    )
    of = of.join(Host, Host.id == Job.host_id).outerjoin(Snapshot, Snapshot.id == Job.snapshot_id)
    return of.where(mine(actor, Job.account_id))


def _items(connection: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    why = waiting(connection, [row.id for row in rows if row.state in UNFINISHED])
    several = _together(connection, [row.id for row in rows if row.kind == PruneSnapshots.kind])
    return [
        {
            **row._mapping,
            "vm": {"id": row.vm_id, "name": row.vm_name},
            "steps": None,
            "snapshots": several.get(row.id, []),
            "waiting": why.get(row.id),
        }
        for row in rows
    ]


def _together(connection: Connection, jobs: Sequence[UUID]) -> dict[UUID, list[Json]]:
    """The snapshots that these jobs delete together, and of what they left out, why."""
    of = (
        select(JobSnapshot.job_id, JobSnapshot.spared, Snapshot.id, Snapshot.name)
        .join(Snapshot, Snapshot.id == JobSnapshot.snapshot_id)
        .where(JobSnapshot.job_id.in_(jobs))
        .order_by(Snapshot.created_at, Snapshot.id)
    )
    found: dict[UUID, list[Json]] = {}
    for row in connection.execute(of) if jobs else ():
        found.setdefault(row.job_id, []).append({"id": row.id, "name": row.name, "spared": row.spared})
    return found


def _steps(connection: Connection, job: UUID) -> list[Json]:
    of = select(Step.__table__).where(Step.job_id == job).order_by(Step.seq)
    return [dict(row._mapping) for row in connection.execute(of)]
