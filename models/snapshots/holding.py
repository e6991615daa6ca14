"""Holds: a snapshot that somebody wants to stay, with the reason, for ever or until a time."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from models.jobs.asking import facts_of, lock_snapshot
from models.moves import Told, tell
from models.policies.prune import look_again
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.tenants.actor import Actor
from stillframe.errors import Invalid, SnapshotNotFound
from stillframe.events import EventType
from stillframe.rules import check_hold
from stillframe.states import SnapshotState


def hold(
    engine: Engine, snapshot: UUID, reason: str, until: datetime | timedelta | None, actor: Actor
) -> None:
    """From now on it is neither deleted nor pruned; a hold that it has already gives way to this one.

    Raises Invalid for a time that is over, DeletionAsked or SnapshotNotReady for what cannot be held.
    """
    with transaction(engine) as session:
        row = _locked(session, actor, snapshot)
        ends_at = None if until is None else _ahead(session, until)
        row.held, row.hold_reason, row.held_by, row.held_until = True, reason, actor.name, ends_at
        ends = f" until {ends_at:%Y-%m-%d %H:%M} UTC" if ends_at else ""
        said = {"reason": reason, "until": ends_at and ends_at.isoformat()}
        message = f"{actor.name} holds snapshot {row.name}{ends}: {reason}"
        _tell(session, row, Told(EventType.SNAPSHOT_HELD, actor.name, message=message, data=said))


def release(engine: Engine, snapshot: UUID, actor: Actor) -> None:
    """It may go again. Nothing happens to one that is not held."""
    with transaction(engine) as session:
        row, _ = lock_snapshot(session, actor, str(snapshot))
        if row.state is SnapshotState.DELETED:
            raise SnapshotNotFound(snapshot=snapshot)
        if not row.held:
            return
        said = {"reason": row.hold_reason, "held_by": row.held_by}
        row.held, row.hold_reason, row.held_by, row.held_until = False, None, None, None
        if row.policy_id is not None:
            look_again(session, row.policy_id, row.vm_id)
        message = f"{actor.name} released snapshot {row.name}"
        _tell(session, row, Told(EventType.SNAPSHOT_RELEASED, actor.name, message=message, data=said))


def _ahead(session: Session, until: datetime | timedelta) -> datetime:
    """By the database's clock."""
    now = session.scalars(select(func.now())).one()
    at = now + until if isinstance(until, timedelta) else until
    if at <= now:
        raise Invalid(detail=f"`until` is over: {at.isoformat()}")
    return at


def _locked(session: Session, actor: Actor, snapshot: UUID) -> Snapshot:
    row, vm = lock_snapshot(session, actor, str(snapshot))
    if row.state is SnapshotState.DELETED:
        raise SnapshotNotFound(snapshot=snapshot)
    check_hold(facts_of(session, row, vm))
    return row


def _tell(session: Session, row: Snapshot, told: Told) -> None:
    tell(session, told, vm=row.vm_id, snapshot=row.id, host=row.host_id)
