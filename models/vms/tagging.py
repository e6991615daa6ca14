"""Tags of VMs, by which policies choose them."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import Engine

from models.hosts.machine import lock_vm
from models.moves import Told, tell
from models.session import transaction
from stillframe.errors import Invalid, VmNotFound
from stillframe.events import EventType

MOST = 32


def tag_vm(
    engine: Engine,
    vm: UUID,
    actor: str,
    *,
    tags: Sequence[str] | None = None,
    add: Sequence[str] = (),
    remove: Collection[str] = (),
) -> None:
    """`tags` in place of all it has, then `add` and `remove`; raises Invalid for more than MOST of them."""
    with transaction(engine) as session:
        row = lock_vm(session, vm)
        if row is None:
            raise VmNotFound(vm=vm)
        wanted = list(dict.fromkeys([*(row.tags if tags is None else tags), *add]))
        wanted = [tag for tag in wanted if tag not in remove]
        if len(wanted) > MOST:
            raise Invalid(detail=f"{len(wanted)} tags, and {MOST} are allowed")
        if wanted == row.tags:
            return
        said = {"old": list(row.tags), "new": wanted}
        row.tags = wanted
        message = f"{actor} tagged VM {row.name}: {', '.join(wanted) or 'no tags'}"
        tell(session, Told(EventType.VM_TAGGED, actor, message=message, data=said), vm=vm, host=row.host_id)
