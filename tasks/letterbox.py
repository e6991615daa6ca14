"""The Redis transport of a worker, which throws away what is no message, and outlives what it cannot give back.

To Celery a message is either well formed or the end of the worker: whoever can write to the queue could stop a host
with one word. The job that a spoiled message was meant for is owed another one after a while, as for any lost message.
"""

import logging
from typing import Any

from kombu.transport import redis

logger = logging.getLogger(__name__)

#: What Celery and kombu raise for JSON that is none, or of another shape than they expect.
NONSENSE = (ValueError, TypeError, LookupError, AttributeError)


class QoS(redis.QoS):
    """Goes without what it cannot give back."""

    def restore_unacked(self, client: Any = None) -> None:
        """Gives back what is in hand when the connection is closed.

        When the broker dies between a message and its receipt, Celery may close a channel whose connection has let go
        of the broker's address already: to kombu an AttributeError, to Celery the end of the worker.
        """
        try:
            super().restore_unacked(client)  # type: ignore[no-untyped-call]
        except NONSENSE:
            logger.warning(
                "%s messages in hand could not be given back: their jobs are owed others",
                len(self._delivered),
            )


class Channel(redis.Channel):
    """Reads on after what cannot be read."""

    QoS = QoS

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except NONSENSE:
            logger.exception("what lay in the queue was no message; it is thrown away")
            return True


class Transport(redis.Transport):
    """Keeps nothing in hand of a message that nobody could open."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]
        except NONSENSE:
            self._throw_away(message)
            raise

    def _throw_away(self, message: Any) -> None:
        try:
            tag = message["properties"]["delivery_tag"]
        except NONSENSE:
            return  # it never came so far as to be in hand
        for channel in self.channels:
            if tag in channel.qos._delivered:
                channel.basic_reject(tag, requeue=False)
