"""Volumes of a policy's snapshots become standalone images, and those it does not keep are asked to be deleted."""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.jobs.asking import targets_of
from models.jobs.tables import PRIORITIES, SCHEDULED
from models.policies import extracts, images
from models.policies.prune import in_hand
from models.policies.storages import busiest
from models.policies.turns import take_the_lead
from models.session import transaction, violated
from models.tenants import quota
from stillframe.errors import HostDraining, SnapshotNotFound, StillframeError
from stillframe.operations import DeleteVolume, ExtractVolume
from stillframe.policies.guards import blackout, crowded
from stillframe.policies.policy import Policy
from tasks.policies import suspend_unreadable
from tasks.producer import Producer

logger = logging.getLogger(__name__)

#: Transactions of one tick.
_ROUNDS = 20
_SOON = timedelta(seconds=10)
_LATER = timedelta(minutes=1)
_AFTER_REFUSAL = timedelta(minutes=5)


def extract(engine: Engine, producer: Producer) -> int:
    """Asks for the extractions that are due; returns for how many. What it asks for is owed its message afterwards."""
    asked = 0
    for _ in range(_ROUNDS):
        with transaction(engine) as session:
            if not take_the_lead(session):  # caps are counted
                break
            found = extracts.due(session)
            asked += _extract_some(session, producer, found.items)
        suspend_unreadable(engine, found.unreadable)
        if found.is_empty:
            break
    return asked


def prune_volumes(engine: Engine, producer: Producer) -> int:
    """Looks through the extracted volumes that are due; returns how many it asked to be deleted."""
    asked = 0
    for _ in range(_ROUNDS):
        with transaction(engine) as session:
            found = images.due(session)
            quota.take_turn(session, {one.vm_id for one in found.items})
            asked += sum(_looked_through(session, producer, one) for one in found.items)
        suspend_unreadable(engine, found.unreadable)
        if found.is_empty:
            break
    return asked


def _extract_some(session: Session, producer: Producer, found: Sequence[extracts.Due]) -> int:
    """How many jobs it asked for."""
    on_host: Counter[UUID] = Counter()
    quota.take_turn(session, {one.vm_id for one in found})
    for one in found:
        try:
            on_host[one.host_id] += _look_at(session, producer, one, one.on_host + on_host[one.host_id])
        except StillframeError as error:  # what one policy says must not stop the others
            extracts.refused(session, one, error.detail, one.now + _AFTER_REFUSAL)
    return on_host.total()


def _look_at(session: Session, producer: Producer, one: extracts.Due, on_host: int) -> int:
    if one.deleted or one.policy.extract is None:
        extracts.over(session, one)
    elif in_hand(session, [one.snapshot_id]):
        extracts.later(session, one, one.now + _SOON)
    elif at := _not_now(session, one, on_host):
        extracts.later(session, one, at)
    else:
        return _ask(session, producer, one)
    return 0


def _not_now(session: Session, one: extracts.Due, on_host: int) -> datetime | None:
    if _is_blacked_out(one.policy, one.now):
        return one.now + _LATER
    crowd = crowded(one.policy.guards, on_host, busiest(session, one.vm_id))
    return one.now + _SOON if crowd else None


def _is_blacked_out(policy: Policy, now: datetime) -> bool:
    places = {schedule.timezone for schedule in policy.schedules}
    return any(blackout(policy, place, now) for place in places)


def _ask(session: Session, producer: Producer, one: extracts.Due) -> int:
    """All volumes of one snapshot or none: what is refused is told, and tried again if that may pass."""
    wanted = one.policy.extract.targets if one.policy.extract else ()
    targets = [target for target in wanted if target in targets_of(session, one.snapshot_id)]
    try:
        with session.begin_nested():
            for target in targets:
                producer.write_down(session, _wish(one, target), one.actor, PRIORITIES[one.policy.priority])
    except SnapshotNotFound:  # who has the VM by now hears nothing of it
        extracts.over(
            session, one, "not extracted: the VM was given to an account that the policy does not reach"
        )
        return 0
    except StillframeError as refusal:
        passing = isinstance(refusal, HostDraining)
        extracts.refused(session, one, refusal.detail, one.now + _AFTER_REFUSAL if passing else None)
        return 0
    except IntegrityError as error:
        if violated(error) != "uq_volume_snapshot_live_name":
            raise
        extracts.refused(session, one, "there is already a volume snapshot of that name", None)
        return 0
    missing = ", ".join(sorted(set(wanted) - set(targets)))
    extracts.over(session, one, f"not extracted: {missing}, which the VM has not" if missing else None)
    return len(targets)


def _wish(one: extracts.Due, target: str) -> ExtractVolume:
    """Its name is the policy's and the snapshot's: volumes of a thousand VMs, taken at one moment, have each another."""
    name = f"{one.name[:18]}-{target}-{one.nominal_at:%Y%m%d-%H%M%S}-{one.snapshot_id.hex[-10:]}"
    return ExtractVolume(
        snapshot_id=str(one.snapshot_id),
        target=target,
        name=name,
        policy_id=str(one.policy_id),
        start_within_s=one.policy.start_within.total_seconds(),
    )


def _looked_through(session: Session, producer: Producer, one: images.Due) -> int:
    """How many were asked to be deleted; what one policy says must not stop the others."""
    try:
        return _look_through(session, producer, one)
    except StillframeError as error:
        logger.warning("volumes of policy %s cannot be looked through: %s", one.name, error)
        images.look_at(session, one, one.now + _AFTER_REFUSAL)
        return 0


def _look_through(session: Session, producer: Producer, one: images.Due) -> int:
    if not one.stands:
        images.look_at(session, one, None)
        return 0
    if one.paused_until is not None and one.paused_until > one.now:
        images.look_at(session, one, one.paused_until)
        return 0
    if _is_blacked_out(one.policy, one.now):
        images.look_at(session, one, one.now + _LATER)
        return 0
    judged = images.judge_volumes(session, one.policy_id, [one.vm_id])
    condemned = [id_ for volumes in judged for id_ in volumes.condemned]
    held_off = {id_: at for id_, at in images.not_before(session, condemned).items() if at > one.now}
    wanted = [id_ for id_ in condemned if id_ not in held_off]
    refusals = [why for id_ in wanted if (why := _condemn(session, producer, one, id_))]
    looks = [*(volumes.look_at for volumes in judged), *held_off.values()]
    if refusals:
        looks.append(images.refused(session, one, "; ".join(sorted(set(refusals)))))
    elif wanted:
        images.nothing_refused(session, one)
        looks.append(one.now + _AFTER_REFUSAL)  # to see how that went
    images.look_at(session, one, min((at for at in looks if at is not None), default=None))
    return len(wanted) - len(refusals)


def _condemn(session: Session, producer: Producer, one: images.Due, volume: UUID) -> str | None:
    """Why its deletion is refused, if it is."""
    wish = DeleteVolume(volume_snapshot_id=str(volume))
    try:
        with session.begin_nested():
            producer.write_down(session, wish, one.actor, SCHEDULED)
    except StillframeError as refusal:
        logger.warning("policy %s cannot delete volume %s: %s", one.name, volume, refusal)
        return refusal.detail
    return None
