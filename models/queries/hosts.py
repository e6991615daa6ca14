"""Lists and details of hosts and VMs."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, select

from models.base import AnyRow, AnySelect, Json
from models.find import containing, has_a_word, host_id, run_host_id, vm_id
from models.hosts.tables import Host
from models.jobs.tables import Job
from models.queries.owners import Owned, owned
from models.queries.paging import Order, Wanted, page
from models.queries.walk import Listing, Way, walk
from models.snapshots.tables import Snapshot
from models.tenants.actor import Actor
from models.tenants.scope import my_hosts, my_vms, owner_of
from models.tenants.tables import ADMIN_ACCOUNT, Account, Domain
from models.vms.tables import Vm, Volume
from stillframe.seen import Traits
from stillframe.states import HELD, JobState, VmState

HOSTS_BY_NAME = Order("name", Host.name.expression, Host.id.expression, descending=False)
VMS_BY_NAME = Order("name", Vm.name.expression, Vm.id.expression, descending=False)


def hosts(
    connection: Connection,
    actor: Actor,
    wanted: Wanted,
    fresh: timedelta,
    *,
    alive: bool | None = None,
    drained: bool | None = None,
) -> Json:
    """Hosts by name. One is alive if it was seen within `fresh`."""
    statement = _hosts(actor, fresh)
    if alive is not None:
        statement = statement.where((Host.last_seen_at > func.now() - fresh).is_(alive))
    if drained is not None:
        statement = statement.where(Host.drained_at.is_not(None).is_(drained))
    return page(connection, statement, HOSTS_BY_NAME, wanted, _host_items)


def host(connection: Connection, actor: Actor, name: str, fresh: timedelta) -> Json:
    """One host; raises HostNotFound."""
    of = _hosts(actor, fresh).where(Host.id == run_host_id(connection, actor, name))
    rows = connection.execute(of).all()
    return _host_items(connection, rows)[0]


def vms(
    connection: Connection,
    actor: Actor,
    wanted: Wanted,
    *,
    host: str | None = None,
    q: str | None = None,
    state: VmState | None = None,
    account: str | None = None,
    domain: str | None = None,
    tags: Sequence[str] = (),
) -> Json:
    """VMs by name, with all these tags; those that are gone only when asked for.

    Raises HostNotFound, AccountNotFound or DomainNotFound.
    """
    of = owned(connection, actor, account, domain)
    on = None if host is None else host_id(connection, actor, host)

    def conditions(one: Any) -> Iterator[ColumnElement[bool]]:
        yield my_vms(actor, one)
        yield from of.conditions(owner_of(one))
        if state is VmState.GONE:
            yield one.gone
        else:
            yield ~one.gone
        if state is not None and state is not VmState.GONE:
            yield one.state == state
        if on is not None:
            yield one.host_id == on
        if q:
            yield one.name.ilike(containing(q))
        if tags:
            yield one.tags.contains(list(tags))

    listing = Listing(
        entity=Vm,
        columns=(Vm.account_id, Vm.host_id, Vm.name, Vm.state, Vm.gone, Vm.tags),
        order=VMS_BY_NAME,
        conditions=conditions,
        shown=_vms(actor),
        ways=tuple(_ways(of, on, q)),
    )
    return walk(connection, listing, wanted, _vm_items)


def _ways(of: Owned, host: UUID | None, q: str | None) -> Iterator[Way]:
    if host is not None:
        yield Way(select(Vm.id).where(Vm.host_id == host))
    if not of.includes(ADMIN_ACCOUNT):  # whose are also those of nobody
        yield from of.ways(Vm.id, Vm.account_id, in_order=True)
    if q and has_a_word(q):
        yield Way(select(Vm.id).where(Vm.name.ilike(containing(q))), words=True)


def vm(connection: Connection, actor: Actor, text: str) -> Json:
    """One VM by id or name; raises VmNotFound or VmNameAmbiguous."""
    rows = connection.execute(_vms(actor).where(Vm.id == vm_id(connection, actor, text))).all()
    return _vm_items(connection, rows)[0]


def _hosts(actor: Actor, fresh: timedelta) -> AnySelect:
    ours = select(func.count()).where(Job.host_id == Host.id)
    return select(
        *(Host.id, Host.name, Host.libvirt_version, Host.qemu_version, Host.cpus, Host.memory_bytes),
        *(Host.registered_at, Host.last_seen_at, Host.drained_at, Host.drained_by, Host.drain_reason),
        (Host.last_seen_at > func.now() - fresh).label("alive"),
        select(func.count()).where(Vm.host_id == Host.id, ~Vm.gone).scalar_subquery().label("vms"),
        ours.where(Job.state == JobState.QUEUED).scalar_subquery().label("jobs_queued"),
        ours.where(Job.state.in_(HELD)).scalar_subquery().label("jobs_running"),
    ).where(my_hosts(actor))


def _host_items(connection: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    return [{**row._mapping, "drained": _drained(row)} for row in rows]


def _drained(host: AnyRow) -> Json | None:
    if host.drained_at is None:
        return None
    return {"since": host.drained_at, "by": host.drained_by, "reason": host.drain_reason}


def _vms(actor: Actor) -> AnySelect:
    return (
        select(
            *(Vm.id, Vm.name, Vm.state, Vm.reason, Vm.gone, Vm.memory_bytes, Vm.created_at, Vm.seen_at),
            *(Vm.traits, Vm.tags),
            Host.name.label("host"),
            Account.name.label("account"),
            Domain.path.label("domain"),
            Snapshot.id.label("current_id"),
            Snapshot.name.label("current_name"),
        )
        .join(Host, Host.id == Vm.host_id)
        .outerjoin(Account, Account.id == Vm.account_id)
        .outerjoin(Domain, Domain.id == Account.domain_id)
        .outerjoin(Snapshot, (Snapshot.vm_id == Vm.id) & Snapshot.current)
        .where(my_vms(actor))
    )


def _vm_items(connection: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    volumes = _volumes(connection, [row.id for row in rows])
    return [
        {
            **row._mapping,
            "state": VmState.GONE if row.gone else row.state,
            "traits": Traits.from_json(row.traits).to_json(),
            "current": {"id": row.current_id, "name": row.current_name} if row.current_id else None,
            "volumes": volumes.get(row.id, []),
        }
        for row in rows
    ]


def _volumes(connection: Connection, ids: list[UUID]) -> dict[UUID, list[Json]]:
    found: dict[UUID, list[Json]] = {}
    of = select(Volume.__table__).where(Volume.vm_id.in_(ids)).order_by(Volume.vm_id, Volume.target)
    for row in connection.execute(of):
        found.setdefault(row.vm_id, []).append(dict(row._mapping))
    return found
