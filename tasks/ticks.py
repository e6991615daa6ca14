"""What the beat makes happen: plain functions, each short and safe to run twice or by two at once."""

import logging

from sqlalchemy import Engine

from models import expiry
from models.journal import Journal
from models.outbox import forgotten
from models.policies.agenda import agenda
from models.session import transaction
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
    if found.ended:
        settle_ended(engine)
    if found.due:
        claim(engine)
    # Before its snapshot may be pruned.
    asked = extract(engine, producer) if found.ended or found.to_extract else 0
    # Before there is more: what goes makes room for what comes.
    asked += prune(engine, producer) if found.ended or found.to_prune else 0
    asked += prune_volumes(engine, producer) if found.volumes_to_prune else 0
    asked += let_go(engine, producer) if found.due or found.waiting else 0
    if asked:
        publish_owed(engine, producer.publisher)
    return asked


def expire_snapshots(engine: Engine, producer: Producer) -> int:
    """Ask for the deletion of snapshots whose time is over, and send it."""
    asked = ask_for_deletions(engine, producer)
    if asked:
        publish_owed(engine, producer.publisher)
    return asked
