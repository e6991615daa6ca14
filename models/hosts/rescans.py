"""Rescans: looks at a whole host that a person asked for. The host's keeper takes them up, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Text, cast, func, select, update
from sqlalchemy.orm import Session

from models.base import Json
from models.find import run_host_id, vm_id
from models.hosts.tables import Host, Rescan
from models.ids import new_id
from models.moves import OVER_CHANNEL, Told, tell
from models.tenants.actor import Actor
from models.vms.tables import Vm
from stillframe.errors import VmNotFound
from stillframe.events import EventType, Level
from stillframe.states import RescanState

_OPEN = (RescanState.ASKED, RescanState.RUNNING)


@dataclass(frozen=True)
class Asked:
    """A rescan that a keeper has taken up."""

    id: UUID
    vm: UUID | None
    adopt: bool
    repair: bool
    requested_by: str


def ask(session: Session, host: str, vm: str | None, actor: Actor, *, adopt: bool, repair: bool) -> UUID:
    """Ask for a look at a host, or at one VM of it; raises HostNotFound, VmNotFound or VmNameAmbiguous."""
    connection = session.connection()
    host_ = run_host_id(connection, actor, host)
    vm_ = vm_id(connection, actor, vm) if vm else None
    if vm and session.get_one(Vm, vm_).host_id != host_:
        raise VmNotFound(vm=f"{vm} on host {host}")
    id_ = new_id()
    session.add(Rescan(id=id_, host_id=host_, vm_id=vm_, adopt=adopt, repair=repair, requested_by=actor.name))
    return id_


def take_up(session: Session, host: str) -> Asked | None:
    """The oldest one that waits on a host, or that a keeper has died of."""
    of = select(Rescan.id).join(Host, Host.id == Rescan.host_id)
    oldest = (
        of.where(Host.name == host, Rescan.state.in_(_OPEN)).order_by(Rescan.created_at, Rescan.id).limit(1)
    )
    row = session.execute(
        update(Rescan)
        .where(Rescan.id == oldest.scalar_subquery())
        .values(state=RescanState.RUNNING, started_at=func.now())
        .returning(Rescan.id, Rescan.vm_id, Rescan.adopt, Rescan.repair, Rescan.requested_by)
    ).one_or_none()
    return Asked(row.id, row.vm_id, row.adopt, row.repair, row.requested_by) if row else None


def finish(session: Session, rescan: Asked, findings: Sequence[Json]) -> None:
    """What was found, and what was done about it."""
    left = sum(1 for one in findings if one["drift"])
    repaired = sum(1 for one in findings if one["repaired"])
    told = Told(
        EventType.HOST_RESCANNED,
        rescan.requested_by,
        Level.WARNING if left else Level.INFO,
        data={
            "rescan_id": str(rescan.id),
            "findings": len(findings),
            "repaired": repaired,
            "left": left,
        },
    )
    _end(session, rescan, RescanState.DONE, told, findings={"findings": list(findings)})


def fail(session: Session, rescan: Asked, error: Json) -> None:
    """The host could not be looked at."""
    data = {"rescan_id": str(rescan.id), "error": error}
    told = Told(EventType.HOST_RESCANNED, rescan.requested_by, Level.ERROR, str(error["detail"]), data)
    _end(session, rescan, RescanState.FAILED, told, error=error)


def _end(session: Session, rescan: Asked, state: RescanState, told: Told, **values: Json) -> None:
    row = session.execute(
        update(Rescan)
        .where(Rescan.id == rescan.id, Rescan.state == RescanState.RUNNING)
        .values(state=state, finished_at=func.now(), **values)
        .returning(
            Rescan.host_id,
            select(Host.name).where(Host.id == Rescan.host_id).scalar_subquery().label("host"),
            func.pg_notify(OVER_CHANNEL, cast(Rescan.id, Text)),
        )
    ).one_or_none()
    if row is not None:
        told = replace(told, data={**told.data, "host": row.host})
        tell(session, told, vm=rescan.vm, host=row.host_id)
