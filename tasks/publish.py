"""Sending what rows say is owed. Rows stay locked while they are sent: a crash sends twice, never not at all."""

import logging
from uuid import UUID

from celery import Celery
from sqlalchemy import Connection, Engine

from models.jobs.outbox import mark_published, owed
from models.session import transaction
from tasks.broker import Broker, BrokerAway
from tasks.messages import wake

logger = logging.getLogger(__name__)

_AT_ONCE = 500


class Publisher:
    """Publishes owed messages. One a process, made after the fork; its threads may share it."""

    def __init__(self, engine: Engine, app: Celery) -> None:
        self._engine = engine
        self._broker = Broker(app)

    def next_of_vm(self, vm: UUID, on: Connection | None = None) -> int:
        """Publish the job that is next in a VM's line, if its message is owed; returns how many were sent.

        `on` is a connection to do it by, for those who have one at hand. A broker that is away is no error here: the row
        goes on saying what is owed.
        """
        try:
            return self._publish(1, vm, on=on)
        except BrokerAway as error:
            logger.warning("a message for VM %s stays owed: %s", vm, error)
            return 0

    def all_owed(self, limit: int = 5000, host: str | None = None) -> int:
        """Publish what is owed to all hosts or to one, in batches; raises BrokerAway when the broker does not take it."""
        sent = 0
        while sent < limit and (now := self._publish(min(_AT_ONCE, limit - sent), host=host)):
            sent += now
        return sent

    def close(self) -> None:
        """Let the connection to the broker go."""
        self._broker.close()

    def _publish(
        self, limit: int, vm: UUID | None = None, host: str | None = None, on: Connection | None = None
    ) -> int:
        with transaction(on or self._engine) as session:
            messages = owed(session, limit, vm, host)
            if messages:
                self._broker.send([wake(message) for message in messages])
                mark_published(session, [message.job_id for message in messages])
        return len(messages)
