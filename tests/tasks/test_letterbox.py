"""What a worker's transport outlives."""

import pytest
from kombu import Connection, Queue

from lab.lab import Lab
from tasks.letterbox import Transport

pytestmark = pytest.mark.broker


def test_a_message_in_hand_when_the_broker_dies_is_not_the_end(stores: Lab) -> None:
    """A connection that is closed twice while Redis is away, a message unacknowledged, is closed; the message comes again."""
    with Connection(stores.broker_url, transport=Transport) as connection:
        channel = connection.default_channel
        queue = Queue("letterbox", channel=channel)
        queue.declare()
        queue.purge()
        connection.Producer().publish({"job_id": "1"}, routing_key=queue.name)
        assert queue.get() is not None
        stores.kill_redis()
        try:
            with pytest.raises(connection.connection_errors):
                channel.close()
            connection.collect()
            channel.close()
        finally:
            stores.start_redis()
    assert channel.closed
    with Connection(stores.broker_url, transport=Transport) as again:
        again.default_channel.qos.visibility_timeout = 0
        again.default_channel.qos.restore_visible()
        found = Queue("letterbox", channel=again.default_channel).get()
        assert found is not None
        assert found.payload == {"job_id": "1"}
