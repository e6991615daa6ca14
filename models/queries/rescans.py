"""Lists and details of rescans."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, func, select

from models.base import AnyRow, AnySelect, Json
from models.find import run_host_id
from models.hosts.tables import Host, Rescan
from models.queries.paging import Order, Wanted, instant, page
from models.tenants.actor import Actor
from models.vms.tables import Vm
from stillframe.errors import RescanNotFound
from stillframe.states import RescanState

NEWEST = Order("created_at", Rescan.created_at.expression, Rescan.id.expression, True, instant)


def rescans(
    connection: Connection,
    actor: Actor,
    host: str,
    wanted: Wanted,
    *,
    fresh: timedelta,
    state: RescanState | None = None,
) -> Json:
    """Those of a host, newest first, with their findings; raises HostNotFound."""
    statement = _rescans(fresh).where(Rescan.host_id == run_host_id(connection, actor, host))
    if state is not None:
        statement = statement.where(Rescan.state == state)
    return page(connection, statement, NEWEST, wanted, _items)


def rescan(connection: Connection, actor: Actor, host: str, id_: UUID, fresh: timedelta) -> Json:
    """One of a host; raises HostNotFound or RescanNotFound."""
    here = run_host_id(connection, actor, host)
    rows = connection.execute(_rescans(fresh).where(Rescan.host_id == here, Rescan.id == id_)).all()
    if not rows:
        raise RescanNotFound(rescan=id_, host=host)
    return _items(connection, rows)[0]


def _rescans(fresh: timedelta) -> AnySelect:
    return (
        select(
            *(Rescan.id, Rescan.state, Rescan.adopt, Rescan.repair, Rescan.requested_by, Rescan.findings),
            *(Rescan.error, Rescan.created_at, Rescan.started_at, Rescan.finished_at, Rescan.vm_id),
            *(Vm.name.label("vm_name"), Host.name.label("host"), Host.last_seen_at.label("host_seen_at")),
            (Host.last_seen_at > func.now() - fresh).label("host_alive"),
        )
        .join(Host, Host.id == Rescan.host_id)
        .outerjoin(Vm, Vm.id == Rescan.vm_id)
    )


def _items(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    return [
        {
            **row._mapping,
            "vm": {"id": row.vm_id, "name": row.vm_name} if row.vm_id else None,
            "findings": row.findings["findings"] if row.findings is not None else None,
        }
        for row in rows
    ]
