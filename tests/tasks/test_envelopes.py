"""What lies on a queue after sending, on a broker that is only memory."""

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from fakeredis import TcpFakeServer

from lab.places import free_port
from models.jobs.outbox import Owed
from tasks.app import make_app
from tasks.broker import Broker, BrokerAway
from tasks.messages import wake


@pytest.fixture
def memory_broker() -> Iterator[str]:
    """The address of a fake Redis that speaks the real protocol."""
    port = free_port()
    server = TcpFakeServer(("127.0.0.1", port))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{port}/0"
    server.shutdown()
    server.server_close()
    thread.join()


def owed(**facts: Any) -> Owed:
    """A message that a row owes."""
    known: dict[str, Any] = {
        "job_id": uuid4(),
        "kind": "create_snapshot",
        "host": "h1",
        "vm_name": "웹서버",
        "snapshot_name": "s1",
        "priority": 0,
        "publish_count": 0,
    }
    return Owed(**known | facts)


def test_a_message_carries_an_id_and_words_and_no_authority(memory_broker: str) -> None:
    """On the host's queue lies the wire name, the job's id, and what people want to read; nothing else is in the body."""
    message = owed()
    Broker(make_app(memory_broker)).send([wake(message)])

    (raw,) = redis.Redis.from_url(memory_broker).lrange("host.h1", 0, -1)
    letter = json.loads(raw)
    _, body, _ = json.loads(base64.b64decode(letter["body"]))
    assert letter["headers"]["task"] == "stillframe.create_snapshot"
    assert letter["headers"]["id"] == str(message.job_id)
    assert letter["headers"]["argsrepr"] == "vm=웹서버 snapshot=s1"
    assert body == {"job_id": str(message.job_id), "vm": "웹서버", "snapshot": "s1"}


def test_what_is_interactive_lies_before_what_is_scheduled(memory_broker: str) -> None:
    """Each priority has a list of its own, and a batch goes to as many queues as it names."""
    broker = Broker(make_app(memory_broker))
    broker.send([wake(owed(priority=6)), wake(owed(priority=0)), wake(owed(host="h2"))])

    client = redis.Redis.from_url(memory_broker)
    assert [client.llen(name) for name in ("host.h1", "host.h1\x06\x166", "host.h2")] == [1, 1, 1]


def test_a_broker_that_is_not_there_is_found_out() -> None:
    """Nothing listens: sending raises at once instead of waiting."""
    with pytest.raises(BrokerAway):
        Broker(make_app(f"redis://127.0.0.1:{free_port()}/0")).send([wake(owed())])
