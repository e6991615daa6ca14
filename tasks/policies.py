"""What the beat makes of policies: due schedules become firings, and firings whose turn has come become jobs."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.jobs.tables import PRIORITIES
from models.policies import turns
from models.policies.claim import AT_ONCE, claim_due
from models.policies.keep import suspend_policy
from models.policies.settle import settle
from models.policies.tables import FiringState
from models.policies.turns import Decided, Ready
from models.session import transaction, violated
from models.tenants import quota
from models.tenants.actor import of_policy
from stillframe.errors import NameTaken, PolicyNotFound, StillframeError
from stillframe.names import made_up_name
from stillframe.operations import CreateSnapshot
from stillframe.policies.guards import turn, type_at
from tasks.producer import Producer

logger = logging.getLogger(__name__)

#: Seconds after which a tick begins no further one: what it asked for is to be sent, and other ticks want their turn.
_LONGEST_S = 5.0


def claim(engine: Engine) -> int:
    """Writes the firings of all schedules that are due; returns how many there were. Safe beside others that do it."""
    written, limit, end = 0, AT_ONCE, time.monotonic() + _LONGEST_S
    while time.monotonic() < end:
        with transaction(engine) as session:
            done = claim_due(session, limit)
        suspend_unreadable(engine, done.unreadable)
        written += done.firings
        if not done.more:
            break
        # No more are locked than a slice comes to, if one of them alone fills many.
        limit = min(AT_ONCE, 2 * done.schedules + 1)
    return written


def suspend_unreadable(engine: Engine, policies: Mapping[UUID, str]) -> None:
    """Those that cannot be read here, with the reason; each in its own transaction: a policy is locked before its rows."""
    for policy, why in policies.items():
        with suppress(PolicyNotFound), transaction(engine) as session:
            suspend_policy(session, policy, why)


def settle_ended(engine: Engine) -> int:
    """Takes note of the firings whose jobs have ended; returns how many."""
    with transaction(engine) as session:
        return settle(session)


def let_go(engine: Engine, producer: Producer) -> int:
    """Asks for what has its turn; returns for how many. What it asks for is owed its message afterwards."""
    asked, behind, end = 0, turns.BEGIN, time.monotonic() + _LONGEST_S
    while time.monotonic() < end:
        with transaction(engine) as session:
            if not turns.take_the_lead(session):
                break
            turns.give_up_overdue(session)
            line = turns.ready(session, behind)
            asked += _let_some_go(session, producer, line.ready)
        suspend_unreadable(engine, line.unreadable)
        if line.end is None:
            break
        behind = line.end
    return asked


def _let_some_go(session: Session, producer: Producer, line: Sequence[Ready]) -> int:
    """How many it asked for."""
    quota.take_turn(session, {one.vm_id for one in line})
    on_host: Counter[UUID] = Counter()
    on_storage: Counter[str] = Counter()
    asked: dict[tuple[UUID, UUID], str] = {}
    decided: list[Decided] = []
    waiting: dict[UUID, str | None] = {}
    for one in line:
        mine = (one.policy_id, one.vm_id)
        moment = replace(
            one.moment,
            own_job=asked.get(mine) or one.moment.own_job,
            on_host=one.moment.on_host + on_host[one.host_id],
            on_storage=max((jobs + on_storage[name] for name, jobs in one.storages.items()), default=0),
        )
        try:
            found = turn(one.policy, one.overlap, one.timezone, moment, one.now)
        except StillframeError as error:  # what one policy says must not stop the others
            decided.append(Decided(one.id, FiringState.REFUSED, error.detail))
            continue
        if found.kind == "wait":
            waiting[one.id] = found.reason
        elif found.kind == "skip":
            decided.append(Decided(one.id, FiringState.SKIPPED, found.reason))
        else:
            done = _ask(session, producer, one)
            decided.append(done)
            if done.job_id:
                asked[mine] = str(done.job_id)
                on_host[one.host_id] += 1
                on_storage.update(one.storages.keys())
    turns.decide(session, decided)
    turns.still_waits(session, waiting)
    return len(asked)


def _ask(session: Session, producer: Producer, one: Ready) -> Decided:
    """The job of one firing, in the transaction that marks it: either both are there or neither."""
    policy = one.policy
    wish = CreateSnapshot(
        vm=str(one.vm_id),
        type=type_at(policy, one.moment.state).value,
        name=made_up_name(policy.name[:43], one.nominal_at.astimezone(UTC), one.id),
        quiesce=policy.quiesce,
        tags=policy.tags,
        policy_id=str(one.policy_id),
        start_within_s=policy.start_within.total_seconds(),
    )
    actor = of_policy(policy.name, one.account_id, one.role, one.domain)
    try:
        with session.begin_nested():
            job = producer.write_down(session, wish, actor, PRIORITIES[policy.priority])
    except StillframeError as refusal:
        return Decided(one.id, FiringState.REFUSED, refusal.detail)
    except IntegrityError as error:  # one firing must not stop the line
        if violated(error) != "uq_snapshot_live_name":
            raise
        taken = NameTaken(vm=one.moment.vm, name=wish.name)
        return Decided(one.id, FiringState.REFUSED, taken.detail)
    return Decided(one.id, FiringState.ASKED, job_id=job.id)
