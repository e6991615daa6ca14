"""Many snapshots deleted by one request: a job a VM. If one may not be deleted nothing is asked, and every reason is told."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from models.jobs.asking import lock_snapshots
from models.snapshots.tables import Snapshot
from models.tenants.actor import Actor
from stillframe.errors import Invalid, SnapshotNotFound
from stillframe.operations import DeleteSnapshot, PruneSnapshots
from tasks.refusals import Refusal, all_refused, refused

#: Snapshots of one request.
MOST = 500
Deletion = DeleteSnapshot | PruneSnapshots
Done = TypeVar("Done")


def ask_all(
    session: Session,
    actor: Actor,
    ids: Collection[str],
    limits: Mapping[str, Any],
    ask: Callable[[Deletion], Done],
) -> list[Done]:
    """What `ask` gives for the deletions of each VM, in the order of their ids; raises DeletionsRefused.

    `ask` may raise what refuses one VM's; the caller undoes what it has written for others.
    """
    found = lock_snapshots(session, actor, _checked(ids))
    refusals: list[Refusal] = []
    for id_, row in found.items():
        if row is None:
            refusals += refused(id_, partial(_not_found, id_))
    done: list[Done] = []
    for wish in _deletions([row for row in found.values() if row is not None], limits):
        first = wish.snapshot_id if isinstance(wish, DeleteSnapshot) else wish.snapshot_ids[0]
        refusals += refused(first, lambda wish=wish: _asked(session, wish, ask, done))  # type: ignore[misc]
    if refusals:
        raise all_refused(refusals, len(found))
    return done


def _asked(session: Session, wish: Deletion, ask: Callable[[Deletion], Done], done: list[Done]) -> None:
    with session.begin_nested():
        done.append(ask(wish))


def _not_found(id_: str) -> None:
    raise SnapshotNotFound(snapshot=id_)


def _checked(ids: Collection[str]) -> Collection[str]:
    if not 1 <= len(ids) <= MOST:
        raise Invalid(detail=f"{len(ids)} snapshots are named, and 1 to {MOST} may be")
    return ids


def _deletions(rows: Iterable[Snapshot], limits: Mapping[str, Any]) -> Iterable[Deletion]:
    of_vms: dict[UUID, list[str]] = {}
    for row in rows:
        of_vms.setdefault(row.vm_id, []).append(str(row.id))
    for _, ids in sorted(of_vms.items()):
        if len(ids) == 1:
            yield DeleteSnapshot(snapshot_id=ids[0], **limits)
        else:
            yield PruneSnapshots(snapshot_ids=tuple(ids), **limits)
