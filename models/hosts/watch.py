"""What a host's watchdog has to say, told once however often it is brought."""

from uuid import UUID

from sqlalchemy import Engine, exists, select

from models.events.tables import Event
from models.hosts.machine import lock_vm
from models.hosts.tables import Host
from models.moves import Told, tell
from models.session import transaction


def tell_word(engine: Engine, host: str, told: Told, *, word: UUID, vm: UUID, job: UUID) -> None:
    """Writes it down as an event of its VM, unless that was done before; committed when this returns."""
    with transaction(engine) as session:
        lock_vm(session, vm)  # two keepers of one host, one of which is about to end
        is_told = exists().where(Event.vm_id == vm, Event.data["word"].astext == str(word))
        if session.scalar(select(is_told)):
            return
        host_id = session.scalars(select(Host.id).where(Host.name == host)).one_or_none()
        data = {**told.data, "word": str(word)}
        tell(
            session,
            Told(told.type, told.actor, told.level, told.message, data),
            vm=vm,
            job=job,
            host=host_id,
        )


def tell_of_watchdog(engine: Engine, host: str, told: Told) -> None:
    """That a host's watchdog fell silent, or is back."""
    with transaction(engine) as session:
        host_id = session.scalars(select(Host.id).where(Host.name == host)).one_or_none()
        tell(session, told, host=host_id)
