"""What a worker's transport outlives."""

import pytest
from kombu.connection import Connection
from kombu.entity import Queue

from lab.lab import Lab
from tasks.letterbox import Transport

pytestmark = pytest.mark.broker


def test_a_message_in_hand_of_a_broker_that_is_forgotten_is_not_the_end(stores: Lab) -> None:
    """A channel that is closed after its connection has let go of the broker's address is closed; the message comes again."""
    with Connection(stores.broker_url, transport=Transport) as connection:
        channel = connection.default_channel
        queue = Queue("letterbox", channel=channel)
        queue.declare()
        connection.Producer().publish({"job_id": "1"}, routing_key=queue.name)
        assert queue.get() is not None
        transport = connection.transport
        transport.client = None
        channel.close()
        assert channel.closed
        transport.client = connection

    with Connection(stores.broker_url, transport=Transport) as again:
        again.default_channel.qos.visibility_timeout = 0
        again.default_channel.qos.restore_visible()
        found = Queue("letterbox", channel=again.default_channel).get()
        assert found is not None
        assert found.payload == {"job_id": "1"}
