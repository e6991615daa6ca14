"""From what people write to what there is for them: a VM by name or id, a host by name, the ids that end in some way."""

import re
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Text, cast, func, or_, select

from models.hosts.tables import Host
from models.tenants.actor import Actor
from models.tenants.scope import hosts_of_my_vms, my_vms, runs_hosts
from models.vms.tables import Vm
from stillframe.errors import HostNotFound, VmGone, VmNameAmbiguous, VmNotFound

#: Ids begin with the time they were made, so those of one day begin alike: their end tells them apart.
ENDING = re.compile(r"[0-9a-f]{6,32}")
_WORD = re.compile(r"[^\W_]{3}")
#: How many digits of an id stand behind each of its hyphens.
_HYPHENS = (12, 16, 20, 24)


def vm_id(connection: Connection, actor: Actor, text: str) -> UUID:
    """The one VM of that id or name; raises VmNotFound or VmNameAmbiguous.

    A VM that is gone is found when no other has its name.
    """
    of = select(Vm.id, Vm.gone, Host.name).join(Host, Host.id == Vm.host_id)
    found = connection.execute(of.where(_is(text), my_vms(actor)).limit(10)).all()
    there = [row for row in found if not row.gone] or list(found)
    if not there:
        raise VmNotFound(vm=text)
    if len(there) > 1:
        raise VmNameAmbiguous(vm=text, candidates=", ".join(f"{row.id} on {row.name}" for row in there))
    only: UUID = there[0].id
    return only


def vm_ids(connection: Connection, actor: Actor, text: str, *, gone: bool | None = None) -> list[UUID]:
    """All VMs of that id or name, for a filter; raises VmNotFound if there is none.

    Those that are gone and have the name count when no other has it (None), always (True), or never (False: raises
    VmGone when no other has it). The id of a VM that is gone is always understood.
    """
    named = as_id(text)
    of = select(Vm.id, Vm.gone, Host.name).join(Host, Host.id == Vm.host_id)
    found = connection.execute(of.where(_is(text), my_vms(actor)).limit(1000)).all()
    if not found:
        raise VmNotFound(vm=text)
    there = [row.id for row in found if gone or not row.gone or row.id == named]
    if not there and gone is False:
        raise VmGone(vm=text, host=found[0].name)
    return there or [row.id for row in found]


def host_id(connection: Connection, actor: Actor, name: str) -> UUID:
    """A host that the actor runs, or has a VM on; raises HostNotFound."""
    of = select(Host.id).where(Host.name == name, hosts_of_my_vms(actor))
    found = connection.scalar(of) if "\0" not in name else None
    if found is None:
        raise HostNotFound(host=name)
    return found


def run_host_id(connection: Connection, actor: Actor, name: str) -> UUID:
    """A host that the actor runs; raises HostNotFound."""
    if not runs_hosts(actor):
        raise HostNotFound(host=name)
    return host_id(connection, actor, name)


def containing(text: str) -> str:
    """An ILIKE pattern for text as it stands."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def has_a_word(text: str) -> bool:
    """Whether an index of trigrams can find it."""
    return _WORD.search(text) is not None


def ending(column: Any, text: str) -> ColumnElement[bool] | None:
    """Rows whose id ends so, by the index on the id read backwards; None if no id can end so."""
    digits = text.lower().replace("-", "")
    if not ENDING.fullmatch(digits):
        return None
    size = len(digits) + sum(len(digits) > behind for behind in _HYPHENS)
    end = str(UUID(digits.rjust(32, "0")))[-size:]
    return func.reverse(cast(column, Text)).like(f"{end[::-1]}%")


def as_id(text: str) -> UUID | None:
    """The id that the text is, if it is one."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _is(text: str) -> ColumnElement[bool]:
    if "\0" in text:
        raise VmNotFound(vm=text)
    id_ = as_id(text)
    return Vm.name == text if id_ is None else or_(Vm.id == id_, Vm.name == text)
