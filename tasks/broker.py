"""Sending, fast or not at all: a broker that is away is found out within a second, and then left alone for a while."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError, OperationalError
from redis.exceptions import RedisError

from tasks.messages import Envelope

#: Seconds for one try to connect, and for one answer.
_CONNECT_S = 0.3
_ANSWER_S = 0.5
#: Seconds after a failure during which nothing is tried.
_PAUSE_S = 2.0

_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": _CONNECT_S,
    "socket_timeout": _ANSWER_S,
    "max_retries": 0,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
    "connect_retries_timeout": _CONNECT_S,
}


class BrokerAway(Exception):
    """The broker did not take the messages, or did not say so: they may have to be sent again."""


class Broker:
    """A connection for sending, shared by the threads of a process, made at its first use."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._connection: Any = None
        self._pause_until = 0.0

    def send(self, envelopes: Sequence[Envelope]) -> None:
        """Send all in one go; raises BrokerAway, at once if it was away a moment ago."""
        if not self._lock.acquire(timeout=_ANSWER_S):
            raise BrokerAway("others are still waiting for it")
        try:
            self._send(envelopes)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Let the connection go; the next sending makes a new one."""
        with self._lock:
            self._drop()

    def _send(self, envelopes: Sequence[Envelope]) -> None:
        if time.monotonic() < self._pause_until:
            raise BrokerAway("it was away a moment ago")
        try:
            producer = self._app.amqp.Producer(self._connected(), serializer="json")
            if len(envelopes) == 1:
                self._publish(producer, envelopes[0])
                return
            with producer.batch():
                for envelope in envelopes:
                    self._publish(producer, envelope)
        except (KombuError, OperationalError, RedisError, OSError) as error:
            self._drop()
            self._pause_until = time.monotonic() + _PAUSE_S
            raise BrokerAway(str(error)) from error

    def _publish(self, producer: Any, envelope: Envelope) -> None:
        message = self._app.amqp.as_task_v2(
            envelope.id, envelope.name, kwargs=envelope.body, argsrepr=envelope.shown, ignore_result=True
        )
        # By the default exchange the routing key is the queue itself: nothing is declared, nothing looked up.
        producer.publish(
            message.body,
            exchange="",
            routing_key=envelope.queue,
            priority=envelope.priority,
            headers=message.headers,
            **message.properties,
        )

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = self._app.connection_for_write(transport_options=_OPTIONS)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.collect(socket_timeout=_CONNECT_S)
            self._connection = None
