"""What the beat makes happen: plain functions, each short and safe to run twice or by two at once."""

import logging
from collections.abc import Callable

from sqlalchemy import Engine

from models.jobs import expiry
from models.jobs.journal import Journal
from models.jobs.outbox import forgotten
from models.policies.agenda import Agenda, agenda
from models.session import DatabaseAway, transaction
from tasks.broker import BrokerAway
from tasks.expired import ask_for_deletions
from tasks.extracting import extract, prune_volumes
from tasks.policies import claim, let_go, settle_ended
from tasks.producer import Producer
from tasks.pruning import prune
from tasks.publish import Publisher

logger = logging.getLogger(__name__)

#: Seconds after which a queued job that nobody took up is owed its message again.
FORGOTTEN_S = 60.0


def publish_owed(engine: Engine, publisher: Publisher) -> int:
    """Send what is owed; also to queued jobs whose messages were lost, as by a broker that was flushed."""
    with transaction(engine) as session:
        lost = forgotten(session, FORGOTTEN_S)
    if lost:
        logger.warning("%d queued jobs were not taken up; they are published again", len(lost))
    try:
        return publisher.all_owed()
    except BrokerAway as error:
        logger.warning("the broker is away, messages stay owed: %s", error)
        return 0


def lapse_leases(engine: Engine, publisher: Publisher) -> int:
    """Wake the hosts of held jobs whose workers fell silent."""
    lapsed = Journal(engine).lapse()
    if lapsed:
        logger.warning("leases of %d jobs have lapsed", len(lapsed))
        publish_owed(engine, publisher)
    return len(lapsed)


def expire_jobs(engine: Engine, publisher: Publisher, vm_gone_s: float) -> int:
    """End jobs that were not begun in time, or whose VM stays away; what waited behind them is sent."""
    ended = [*expiry.expire(engine), *expiry.give_up(engine, vm_gone_s)]
    if ended:
        logger.warning("%d jobs were not waited for any longer", len(ended))
        publish_owed(engine, publisher)
    return len(ended)


def fire_policies(engine: Engine, producer: Producer) -> int:
    """Take note of what ended, write down what fell due, ask for what goes and for what has its turn, and send it."""
    found = agenda(engine)
    # Before there is more: what goes makes room for what comes.
    asked = _by_itself(lambda: _look_after(found, engine, producer))
    asked += _by_itself(lambda: _fire(found, engine, producer))
    if asked:
        publish_owed(engine, producer.publisher)
    return asked


def _look_after(found: Agenda, engine: Engine, producer: Producer) -> int:
    """What became of what fired: taken note of, extracted from, and only then pruned."""
    if found.ended:
        settle_ended(engine)
    asked = extract(engine, producer) if found.ended or found.to_extract else 0
    asked += prune(engine, producer) if found.ended or found.to_prune else 0
    return asked + (prune_volumes(engine, producer) if found.volumes_to_prune else 0)


def _fire(found: Agenda, engine: Engine, producer: Producer) -> int:
    if found.due:
        claim(engine)
    return let_go(engine, producer) if found.due or found.waiting else 0


def _by_itself(phase: Callable[[], int]) -> int:
    """Snapshots that cannot be looked after, tick after tick, keep no policy from firing, nor the other way round."""
    try:
        return phase()
    except DatabaseAway:
        raise
    except Exception:
        logger.exception("a part of what policies need could not be done; the next tick tries it again")
        return 0


def expire_snapshots(engine: Engine, producer: Producer) -> int:
    """Ask for the deletion of snapshots whose time is over, and send it."""
    asked = ask_for_deletions(engine, producer)
    if asked:
        publish_owed(engine, producer.publisher)
    return asked
