"""Lists and details of jobs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, case, false, select

from models.base import AnyRow, AnySelect, Json
from models.find import ending
from models.hosts.tables import Host
from models.jobs.about import is_about
from models.jobs.tables import UNFINISHED, Job, JobSnapshot, Step
from models.jobs.waiting import waiting
from models.queries.named import Named, named
from models.queries.paging import Order, Wanted, instant
from models.queries.walk import Listing, Way, walk
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
    """A page, newest first, without steps; raises VmNotFound, HostNotFound, AccountNotFound or DomainNotFound."""
    of = named(
        *(connection, actor),
        vm=filters.vm,
        host=filters.host,
        account=filters.account,
        domain=filters.domain,
    )
    listing = Listing(
        entity=Job,
        columns=(Job.account_id, Job.vm_id, Job.host_id, Job.snapshot_id, Job.state, Job.kind),
        order=NEWEST_FIRST,
        conditions=lambda one: _conditions(of, filters, one),
        shown=_select(actor),
        ways=tuple(_ways(of, filters)),
    )
    return walk(connection, listing, wanted, _items)


def job(connection: Connection, actor: Actor, id_: UUID) -> Json:
    """One job with its steps; raises JobNotFound."""
    row = connection.execute(_select(actor).where(Job.id == id_)).first()
    if row is None:
        raise JobNotFound(job=str(id_))
    (item,) = _items(connection, [row])
    return {**item, "steps": _steps(connection, id_) if row.attempt else []}


def check_known(connection: Connection, actor: Actor, id_: UUID) -> None:
    """Raises JobNotFound."""
    if connection.scalar(select(Job.id).where(Job.id == id_, mine(actor, Job.account_id))) is None:
        raise JobNotFound(job=str(id_))


def _ways(of: Named, filters: Filters) -> Iterator[Way]:
    def by(condition: ColumnElement[bool], *, in_order: bool = True) -> Way:
        return Way(select(Job.id).where(condition), condition if in_order else None)

    if filters.q:
        yield by(_ends(Job, filters.q), in_order=False)
    if filters.snapshot is not None:
        yield by(is_about(filters.snapshot), in_order=False)
    if of.vms is not None:
        yield by(Job.vm_id.in_(of.vms), in_order=len(of.vms) == 1)
    yield from of.owned.ways(Job.id, Job.account_id, in_order=True)
    if of.host is not None:
        yield by(Job.host_id == of.host)
    if filters.states:
        yield by(Job.state.in_(filters.states), in_order=len(filters.states) == 1)


def _conditions(of: Named, filters: Filters, one: Any) -> Iterator[ColumnElement[bool]]:
    yield from of.conditions(one)
    if filters.states:
        yield one.state.in_(filters.states)
    if filters.kind is not None:
        yield one.kind == filters.kind
    if filters.snapshot is not None:
        yield is_about(filters.snapshot, one)
    if filters.q:
        yield _ends(one, filters.q)


def _ends(one: Any, text: str) -> ColumnElement[bool]:
    by_id = ending(one.id, text)
    return by_id if by_id is not None else false()


def _select(actor: Actor) -> AnySelect:
    of = select(
        *(Job.id, Job.kind, Job.state, Job.phase, Job.vm_id, Job.vm_name, Job.snapshot_id),
        *(Job.volume_snapshot_id, Job.progress, Job.attempt, Job.worker, Job.priority, Job.requested_by),
        *(Job.idempotency_key, Job.created_at, Job.started_at, Job.finished_at, Job.cancel_requested_at),
        *(Job.expires_at, Job.request, Job.result, Job.error, Job.deaths, Job.no_return_at, Job.recovery),
        Job.trace,
        *(Host.name.label("host"), Snapshot.name.label("snapshot_name")),
    )
    of = of.join(Host, Host.id == Job.host_id).outerjoin(
        Snapshot, (Snapshot.id == Job.snapshot_id) & (Snapshot.account_id == Job.account_id)
    )
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
        select(JobSnapshot.job_id, JobSnapshot.spared, Snapshot.id, _name_for_owner().label("name"))
        .join(Snapshot, Snapshot.id == JobSnapshot.snapshot_id)
        .join(Job, Job.id == JobSnapshot.job_id)
        .where(JobSnapshot.job_id.in_(jobs))
        .order_by(Snapshot.created_at, Snapshot.id)
    )
    found: dict[UUID, list[Json]] = {}
    for row in connection.execute(of) if jobs else ():
        found.setdefault(row.job_id, []).append({"id": row.id, "name": row.name, "spared": row.spared})
    return found


def _name_for_owner() -> ColumnElement[str]:
    """Of a snapshot that went to another owner with its VM nothing: its name may be of its new owner's making."""
    return case((Snapshot.account_id == Job.account_id, Snapshot.name), else_="")


def _steps(connection: Connection, job: UUID) -> list[Json]:
    of = select(Step.__table__).where(Step.job_id == job).order_by(Step.seq)
    return [dict(row._mapping) for row in connection.execute(of)]
