"""From what people write to what there is: a VM by name or id, a host by name, the ids that begin in some way."""

import re
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Uuid, or_, select, type_coerce

from models.host import Host
from models.vm import Vm
from stillframe.errors import HostNotFound, VmNameAmbiguous, VmNotFound

BEGINNING = re.compile(r"[0-9a-f]{6,32}")


def vm_id(connection: Connection, text: str) -> UUID:
    """The one VM of that id or name; raises VmNotFound or VmNameAmbiguous.

    A VM that is gone is found when no other has its name.
    """
    found = connection.execute(
        select(Vm.id, Vm.gone, Host.name).join(Host, Host.id == Vm.host_id).where(_is(text)).limit(10)
    ).all()
    there = [row for row in found if not row.gone] or list(found)
    if not there:
        raise VmNotFound(vm=text)
    if len(there) > 1:
        raise VmNameAmbiguous(vm=text, candidates=", ".join(f"{row.id} on {row.name}" for row in there))
    only: UUID = there[0].id
    return only


def vm_ids(connection: Connection, text: str) -> list[UUID]:
    """All VMs of that id or name, for a filter; raises VmNotFound if there is none."""
    found = list(connection.scalars(select(Vm.id).where(_is(text)).limit(1000)))
    if not found:
        raise VmNotFound(vm=text)
    return found


def host_id(connection: Connection, name: str) -> UUID:
    """Raises HostNotFound."""
    found = connection.scalar(select(Host.id).where(Host.name == name)) if "\0" not in name else None
    if found is None:
        raise HostNotFound(host=name)
    return found


def containing(text: str) -> str:
    """An ILIKE pattern for text as it stands."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def beginning(column: ColumnElement[UUID], text: str) -> ColumnElement[bool] | None:
    """Rows whose id begins so, by its index; None if no id can begin so."""
    digits = text.lower().replace("-", "")
    if not BEGINNING.fullmatch(digits):
        return None
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    return column.between(type_coerce(first, Uuid), type_coerce(last, Uuid))


def _is(text: str) -> ColumnElement[bool]:
    if "\0" in text:
        raise VmNotFound(vm=text)
    try:
        return or_(Vm.id == UUID(text), Vm.name == text)
    except ValueError:
        return Vm.name == text
