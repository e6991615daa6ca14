"""Snapshots whose time is over: which of them may be asked to be deleted now, and why one may not."""

from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from models.jobs.about import is_wanted
from models.moves import Told, now_plus, tell
from models.policies.extracts import is_to_come
from models.snapshots.tables import Snapshot, is_held
from models.vms.tables import Vm
from stillframe.events import EventType, Level
from stillframe.states import SnapshotState

#: Seconds after which it is tried again, be it that it was refused or that its job has failed.
RETRY_S = 600.0
ACTOR = "expiry"


def expired(session: Session, limit: int = 200) -> list[UUID]:
    """Those to be deleted now, the longest expired first: none that is held, that a job is about, or that volumes are still to be
    extracted out of.
    """
    return list(session.scalars(_IS_DUE.order_by(Snapshot.expires_at, Snapshot.id).limit(limit)))


def take(session: Session, snapshot: UUID) -> Snapshot | None:
    """One of them, locked and marked as tried; None if it is not to be deleted any more, or somebody has it in hand."""
    of = _IS_DUE.with_only_columns(Snapshot).where(Snapshot.id == snapshot)
    row = session.scalars(of.with_for_update(of=Snapshot, key_share=True, skip_locked=True)).one_or_none()
    if row is not None:
        row.expiry_tried_at = func.now()
        session.flush()
    return row


def asked(snapshot: Snapshot) -> None:
    """Its deletion was asked for."""
    snapshot.expiry_refusal = None


def refused(session: Session, snapshot: Snapshot, why: str) -> None:
    """Its deletion was refused; told unless the last try was refused with the same words."""
    if snapshot.expiry_refusal == why:
        return
    snapshot.expiry_refusal = why
    said = {"reason": why, "expires_at": snapshot.expires_at and snapshot.expires_at.isoformat()}
    told = Told(EventType.SNAPSHOT_EXPIRY_REFUSED, ACTOR, Level.WARNING, why, said)
    tell(session, told, vm=snapshot.vm_id, snapshot=snapshot.id, host=snapshot.host_id)


_IS_DUE = (
    select(Snapshot.id)
    .join(Vm, Vm.id == Snapshot.vm_id)
    .where(
        Snapshot.expires_at <= func.now(),
        Snapshot.state.in_([SnapshotState.READY, SnapshotState.ERROR]),
        or_(Snapshot.expiry_tried_at.is_(None), Snapshot.expiry_tried_at < now_plus(-RETRY_S)),
        ~Vm.gone,
        ~is_held(),
        ~is_wanted(),
        ~is_to_come(),
    )
)
