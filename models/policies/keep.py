"""Policies written down, changed, paused and let go: the rows' side of what people ask of them.

A schedule has a `next_at` only while it is to fire: the tick reads nothing else. Whatever begins again begins at that
moment, never in the past.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.find import vm_ids
from models.ids import new_id
from models.moves import Told, tell
from models.policies.claim import claim_all
from models.policies.meant import left_out, meant
from models.policies.pace import took
from models.policies.prune import look_again
from models.policies.resolve import columns_of, vms_in
from models.policies.spec import read
from models.policies.tables import Firing, FiringState, Policy, PolicySchedule, my_policies
from models.policies.vms import one_set_aside, resume_vms
from models.session import violated
from models.tenants.actor import ADMIN, Actor
from models.tenants.named import keep_own
from stillframe.errors import (
    Invalid,
    PolicyMatchesNothing,
    PolicyNameTaken,
    PolicyNotFound,
    PolicyVmNotSetAside,
)
from stillframe.events import EventType, Level
from stillframe.policies.as_json import policy_to_json, schedule_from_json, schedule_to_json
from stillframe.policies.pace import check_pace
from stillframe.policies.policy import Policy as Wish
from stillframe.policies.policy import check_policy
from stillframe.rights import Right


def add_policy(session: Session, wish: Wish, actor: Actor, *, allow_empty: bool = True) -> UUID:
    """A new policy, which means only VMs that its maker sees; it fires from the first instant after now on.

    Raises Invalid, NotFound, Forbidden or PolicyTooFast.

    Without `allow_empty` PolicyMatchesNothing is raised if there is no VM at this moment that is meant.
    """
    keep_own(session, actor)
    now = _now(session)
    check_policy(wish, now)
    row = Policy(id=new_id(), account_id=actor.account_id, role=actor.role, created_by=actor.name)
    _write(session, row, wish, actor)
    _flush(session, row)
    for schedule in wish.schedules:
        session.add(PolicySchedule(policy_id=row.id, spec=schedule_to_json(schedule), mark=now))
    session.flush()
    _wind_up(session, row, now)
    vms = vms_in(session, [row.id]).get(row.id, [])
    if not allow_empty and not vms:
        raise PolicyMatchesNothing
    check_pace(wish, took(session, vms, wish.mode), now)
    _tell(session, EventType.POLICY_CREATED, row, actor)
    return row.id


def edit_policy(session: Session, policy: UUID, wish: Wish, actor: Actor) -> list[str]:
    """Another wish for the same policy. A schedule that stays as it was keeps its place in time; others begin now.

    Returns sentences on the VMs that were meant before and are not any more.
    """
    now = _now(session)
    check_policy(wish, now)
    row = _lock_to_change(session, policy, actor)
    was, before = row.paused_until, meant(session, policy)
    _write(session, row, wish, actor)
    row.updated_at = now
    _flush(session, row)
    wanted = [schedule_to_json(schedule) for schedule in wish.schedules]
    for schedule in _schedules(session, policy):
        if schedule.spec in wanted:
            wanted.remove(schedule.spec)
        else:
            schedule.retired_at, schedule.next_at = now, None
    for spec in wanted:
        session.add(PolicySchedule(policy_id=policy, spec=spec, mark=now))
    session.flush()
    _wind_up(session, row, now, was)
    look_again(session, policy)
    _tell(session, EventType.POLICY_EDITED, row, actor)
    return left_out(before, meant(session, policy))


def pause_policy(
    session: Session, policy: UUID, actor: Actor, until: datetime | timedelta | None = None
) -> None:
    """Nothing fires any more, or not before `until`, or for so long. What waits for its turn is skipped."""
    row = _lock_to_change(session, policy, actor)
    now = _now(session)
    until = now + until if isinstance(until, timedelta) else until
    if until is not None and until <= now:
        raise Invalid(detail=f"`until` is over: {until.isoformat()}")
    was = row.paused_until
    row.enabled, row.paused_until = until is not None and row.enabled, until
    _wind_up(session, row, now, was)
    stopped = _stop_waiting(session, policy, "the policy was paused")
    until_text = until and until.isoformat()
    _tell(session, EventType.POLICY_PAUSED, row, actor, until=until_text, skipped=stopped.skipped)


def resume_policy(session: Session, policy: UUID, actor: Actor) -> None:
    """It fires again from now on, also after it suspended itself, and for the VMs that it has set aside.

    Raises Invalid if what it asks for cannot be read here.
    """
    row = _lock_to_change(session, policy, actor)
    read(row.spec)
    row.enabled, row.paused_until, row.suspended_at, row.suspended_reason = True, None, None, None
    resume_vms(session, policy)
    now = _now(session)
    session.execute(update(PolicySchedule).where(PolicySchedule.policy_id == policy).values(mark=now))
    _wind_up(session, row, now)
    look_again(session, policy)
    _tell(session, EventType.POLICY_RESUMED, row, actor)


def resume_vm(session: Session, policy: UUID, vm: str, actor: Actor) -> None:
    """One VM that the policy has set aside has its turns again; raises VmNotFound or PolicyVmNotSetAside."""
    row = lock_policy(session, policy, actor)
    own = one_set_aside(session, policy, vm_ids(session.connection(), actor, vm))
    if own is None:
        raise PolicyVmNotSetAside(policy=row.name, vm=vm)
    resume_vms(session, policy, own.id)
    look_again(session, policy, own.id)
    told = {"policy_id": str(policy), "name": row.name, "vm": own.name}
    tell(session, Told(EventType.POLICY_VM_RESUMED, actor.name, Level.INFO, row.name, told), vm=own.id)


def suspend_policy(session: Session, policy: UUID, reason: str) -> None:
    """It stops itself, and says why; a person resumes it. One that stands still already keeps its reason."""
    row = _lock_to_change(session, policy)
    _stop_waiting(session, policy, f"the policy suspended itself: {reason}")
    if row.suspended_at is not None:
        return
    row.suspended_at, row.suspended_reason = _now(session), reason
    _wind_up(session, row, row.suspended_at)
    _tell(session, EventType.POLICY_SUSPENDED, row, "stillframe", Level.ERROR, reason=reason)


def run_policy(session: Session, policy: UUID, actor: Actor) -> datetime:
    """Fires for every VM that is meant at this moment, without jitter; returns the moment. Raises PolicyMatchesNothing.

    Also for those that are set aside: a person wants to know.
    """
    row = lock_policy(session, policy, actor)
    now = _now(session)
    vms = vms_in(session, [policy]).get(policy, [])
    schedule = _schedules(session, policy)[0]
    if not vms:
        raise PolicyMatchesNothing
    give_up_at = now + read(row.spec).start_within
    of = {
        "policy_id": policy,
        "schedule_id": schedule.id,
        "nominal_at": now,
        "due_at": now,
        "give_up_at": give_up_at,
    }
    session.add_all(Firing(**of, vm_id=vm, state=FiringState.WAITING, asked_by=actor.name) for vm in vms)
    session.flush()
    _tell(session, EventType.POLICY_RUN, row, actor, vms=len(vms))
    return now


@dataclass(frozen=True)
class Stopped:
    """Firings that waited for their turn and do not take place; of these, those that people asked for."""

    skipped: int
    asked_for: int


def delete_policy(session: Session, policy: UUID, actor: Actor) -> Stopped:
    """It is gone for people; its firings and its snapshots stay, and nothing prunes them any more."""
    row = _lock_to_change(session, policy, actor)
    row.deleted_at = _now(session)
    _wind_up(session, row, row.deleted_at)
    stopped = _stop_waiting(session, policy, "the policy was deleted")
    _tell(session, EventType.POLICY_DELETED, row, actor, skipped=stopped.skipped)
    return stopped


def lock_policy(session: Session, policy: UUID, actor: Actor = ADMIN) -> Policy:
    """A policy that the actor sees and that is not deleted, locked; raises PolicyNotFound.

    Before any schedule, firing or VM of it, whoever asks; firings that refer to it are not held up.
    """
    of = select(Policy).where(Policy.id == policy, Policy.deleted_at.is_(None), my_policies(actor))
    locked = of.with_for_update(key_share=True)
    row = session.scalars(locked, execution_options={"populate_existing": True}).one_or_none()
    if row is None:
        raise PolicyNotFound(policy=policy)
    return row


def _lock_to_change(session: Session, policy: UUID, actor: Actor = ADMIN) -> Policy:
    """The same, once what was due up to now has become firings: no change makes an instant vanish without a row."""
    row = lock_policy(session, policy, actor)
    _schedules(session, policy)  # of which a tick may be in the middle
    claim_all(session, policy)
    session.expire_all()
    return row


def _write(session: Session, row: Policy, wish: Wish, actor: Actor) -> None:
    for right in needed(wish):
        actor.check(right)
    columns = columns_of(session, wish.selector, actor)  # first: a query would write down what is half set
    row.name, row.spec = wish.name, policy_to_json(wish)
    row.enabled, row.paused_until = wish.enabled, wish.paused_until
    for name, value in columns.items():
        setattr(row, name, value)


def needed(wish: Wish) -> tuple[Right, ...]:
    """The rights of what it does by itself: who has them not gets them by no policy."""
    return (Right.CREATE, Right.DELETE, *([Right.EXTRACT] if wish.extract else []))


def _flush(session: Session, row: Policy) -> None:
    name = row.name  # which cannot be read any more once the transaction has failed
    try:
        session.add(row)
        session.flush()
    except IntegrityError as error:
        if violated(error) == "uq_policy_live_name":
            raise PolicyNameTaken(name=name) from error
        raise


def _wind_up(session: Session, row: Policy, now: datetime, was: datetime | None = None) -> None:
    """Sets when each schedule fires next: never, or after the later of its mark and the pause's end.

    `was` is the end of a pause that this one, or none, takes the place of: what it put off is put off no more. Whoever
    claims a schedule has committed once this has its lock: only then it is known what waits.
    """
    stands = not row.enabled or row.suspended_at is not None or row.deleted_at is not None
    for schedule in _schedules(session, row.id):
        if was is not None and schedule.mark == was:
            schedule.mark = min(was, now)
        if row.paused_until:
            schedule.mark = max(schedule.mark, row.paused_until)
        after = max(schedule.mark, now) if schedule.next_at is None else schedule.mark
        schedule.next_at = None if stands else schedule_from_json(schedule.spec).next_after(after)
    session.flush()


def _schedules(session: Session, policy: UUID) -> list[PolicySchedule]:
    return list(
        session.scalars(
            select(PolicySchedule)
            .where(PolicySchedule.policy_id == policy, PolicySchedule.retired_at.is_(None))
            .order_by(PolicySchedule.id)
            .with_for_update(key_share=True)
        )
    )


def _stop_waiting(session: Session, policy: UUID, reason: str) -> Stopped:
    stopped = (
        update(Firing)
        .where(Firing.policy_id == policy, Firing.state == FiringState.WAITING)
        .values(state=FiringState.SKIPPED, reason=reason)
        .returning(Firing.asked_by)
        .cte("stopped")
    )
    counts = select(func.count(), func.count(stopped.c.asked_by)).select_from(stopped)
    return Stopped(*session.execute(counts).one())


def _now(session: Session) -> datetime:
    return session.scalars(select(func.now())).one()


def _tell(
    session: Session,
    type_: EventType,
    row: Policy,
    actor: Actor | str,
    level: Level = Level.INFO,
    **data: object,
) -> None:
    told = {"policy_id": str(row.id), "name": row.name} | {key: value for key, value in data.items() if value}
    name = actor if isinstance(actor, str) else actor.name
    tell(session, Told(type_, name, level, row.name, told), account=row.account_id)
