"""What policies do not keep is asked to be deleted: of one VM together, behind what people wait for, a few at a time."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from models.jobs.tables import SCHEDULED
from models.policies import prune as rows
from models.policies.kept import judge
from models.policies.prune import Due
from models.policies.storages import busiest
from models.policies.turns import take_the_lead
from models.session import transaction
from models.tenants import quota
from models.tenants.actor import of_policy
from stillframe.errors import StillframeError
from stillframe.operations import PruneSnapshots
from stillframe.policies.guards import blackout, crowded
from tasks.policies import suspend_unreadable
from tasks.producer import Producer

logger = logging.getLogger(__name__)

#: Seconds after which a look begins with no further bunch of VMs: other ticks want their turn.
LONGEST_S = 5.0
_SOON = timedelta(seconds=10)
_LATER = timedelta(minutes=1)
#: A VM that is on no host is looked for again.
_GONE = timedelta(days=1)


@dataclass
class _Crowd:
    """Where this look has asked for deletions, and whom it has sent away since host or storage had no room."""

    asked: Counter[UUID] = field(default_factory=Counter)
    away: Counter[UUID] = field(default_factory=Counter)
    vms: set[UUID] = field(default_factory=set)

    def later(self, session: Session, one: Due) -> datetime | None:
        """When to come again, if there is no room. Who is far behind need not ask each time there might be."""
        if one.vm_id in self.vms:
            return one.now + _LATER
        guards = one.policy.guards
        if not crowded(guards, one.on_host + self.asked[one.host_id], busiest(session, one.vm_id)):
            return None
        self.away[one.host_id] += 1
        return one.now + _SOON * (1 + self.away[one.host_id] // guards.max_per_host)

    def took(self, one: Due) -> None:
        """It has a deletion under way by now."""
        self.vms.add(one.vm_id)
        self.asked[one.host_id] += 1


def prune(engine: Engine, producer: Producer) -> int:
    """Looks through what is due; returns for how many VMs it asked. What it asks for is owed its message afterwards."""
    asked, away = 0, Counter[UUID]()
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        with transaction(engine) as session:
            if not take_the_lead(session):  # caps are counted
                break
            found = rows.due(session)
            asked += _prune_some(session, producer, _Crowd(away=away), found.items)
        suspend_unreadable(engine, found.unreadable)
        if found.is_empty:
            break
    return asked


def _prune_some(session: Session, producer: Producer, crowd: _Crowd, found: Sequence[Due]) -> int:
    """For how many VMs it asked."""
    quota.take_turn(session, {one.vm_id for one in found})
    for one in found:
        try:
            _look_at(session, producer, one, crowd)
        except StillframeError as error:  # what one policy says must not stop the others
            rows.refused(session, one, error.detail)
    return len(crowd.vms)


def _look_at(session: Session, producer: Producer, one: Due, crowd: _Crowd) -> None:
    later = _stands_still(one) or crowd.later(session, one)
    if later or not one.stands:
        rows.look_at(session, one.policy_id, one.vm_id, later)
    elif _look_through(session, producer, one):
        crowd.took(one)


def _stands_still(one: Due) -> datetime | None:
    """When to look again, if nothing may be deleted now."""
    if one.gone:
        return one.now + _GONE
    if one.paused_until is not None and one.paused_until > one.now:
        return one.paused_until
    places = {schedule.timezone for schedule in one.policy.schedules}
    if one.pruning or any(blackout(one.policy, place, one.now) for place in places):
        return one.now + _LATER
    return None


def _look_through(session: Session, producer: Producer, one: Due) -> bool:
    """Whether a deletion was asked for."""
    judged = next(iter(judge(session, one.policy_id, [one.vm_id])), None)
    condemned = judged.condemned if judged else {}
    later = judged.look_at if judged else None
    if condemned:
        later = rows.not_before(session, one)
        if later is None and rows.in_hand(session, condemned):
            later = one.now + _SOON
    if later or not condemned:
        rows.look_at(session, one.policy_id, one.vm_id, later)
        return False
    return _ask(session, producer, one, condemned)


def _ask(session: Session, producer: Producer, one: Due, condemned: dict[UUID, str]) -> bool:
    wish = PruneSnapshots(snapshot_ids=tuple(map(str, condemned)), policy_id=str(one.policy_id))
    actor = of_policy(one.name, one.account_id, one.role, one.domain)
    try:
        with session.begin_nested():
            producer.write_down(session, wish, actor, SCHEDULED, reasons=condemned)
    except StillframeError as refusal:
        logger.warning("policy %s cannot prune VM %s: %s", one.name, one.vm_id, refusal)
        rows.refused(session, one, refusal.detail)
        return False
    rows.asked(session, one)
    return True
