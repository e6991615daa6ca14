"""Hosts that take no new jobs: those asked for are refused, those that wait go on waiting, those begun run to their end."""

from uuid import UUID

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from models.hosts.tables import Host
from models.moves import Told, tell
from models.session import transaction
from stillframe.errors import HostDraining, HostNotFound
from stillframe.events import EventType, Level


def drain(engine: Engine, host: str, actor: str, reason: str = "") -> None:
    """From now on no job is accepted or begun here; raises HostNotFound.

    Of a host that is drained already only the reason changes, if another is given.
    """
    with transaction(engine) as session:
        row = _lock(session, host)
        if row.drained_at is not None and reason in {"", row.drain_reason}:
            return
        row.drained_at = row.drained_at or func.now()
        row.drained_by, row.drain_reason = actor, reason or None
        words = f"{host} ({reason})" if reason else host
        told = Told(EventType.HOST_DRAINED, actor, Level.WARNING, words, {"host": host, "reason": reason})
        tell(session, told, host=row.id)


def undrain(engine: Engine, host: str, actor: str) -> None:
    """Jobs are accepted and begun here again; raises HostNotFound. What waited is sent with the next tick."""
    with transaction(engine) as session:
        row = _lock(session, host)
        if row.drained_at is None:
            return
        row.drained_at = row.drained_by = row.drain_reason = None
        tell(session, Told(EventType.HOST_UNDRAINED, actor, message=host, data={"host": host}), host=row.id)


def check_takes_jobs(session: Session, host: UUID) -> None:
    """Raises HostDraining if it takes none."""
    row = session.execute(
        select(Host.name, Host.drained_at, Host.drained_by, Host.drain_reason).where(Host.id == host)
    ).one()
    if row.drained_at is not None:
        raise HostDraining(host=row.name, by=row.drained_by, reason=row.drain_reason or "no reason was given")


def _lock(session: Session, name: str) -> Host:
    of = select(Host).where(Host.name == name).with_for_update(key_share=True)
    row = session.scalars(of).one_or_none() if "\0" not in name else None
    if row is None:
        raise HostNotFound(host=name)
    return row
