"""Sending what webhooks are owed: `python -m tasks.webhooks`, which may run several times over.

A process of its own and no tick: an endpoint that is slow holds up nothing else, and events are sent while Redis is away.

A sender takes an endpoint for itself and sends what is due in the order of the events; endpoints are sent to side by
side. A sender that dies has its endpoints taken over when their time is over, and what it did not write down is sent again.
"""

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from models.events.places import newest_place
from models.session import make_engine, transaction
from models.webhooks import deliver
from models.webhooks.deliver import Delivery, Endpoint, Went
from models.webhooks.spread import AT_ONCE, spread
from stillframe.addresses import networks
from stillframe.settings import Settings
from stillframe.webhooks import cloud_event, headers, secret_of
from tasks.sending import Sender

logger = logging.getLogger(__name__)

#: Endpoints that are sent to side by side.
SIDE_BY_SIDE = 16
#: Seconds between two looks for what is due, and between two clean-ups.
EVERY_S, CLEAN_UP_S = 0.5, 60.0
#: Seconds after which no further endpoint is taken, and an endpoint is left to the next round.
ROUND_S = 10.0
#: Seconds for which an endpoint is this sender's: longer than a round and the longest try, the name's look-up included.
BUSY_S = 60.0
_SOME = 20


@dataclass(frozen=True)
class Post:
    """How this installation sends: what it signs with, and what it calls itself."""

    master: str
    source: str
    sender: Sender


def send_due(engine: Engine, post: Post) -> int:
    """Writes down what has become due, and sends until nothing is or the time is over; returns how many were tried."""
    _spread(engine)
    until, tried = time.monotonic() + ROUND_S, 0
    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="webhook") as pool:
        while time.monotonic() < until:
            with transaction(engine) as session:
                endpoints = deliver.take(session, SIDE_BY_SIDE, BUSY_S)
            if not endpoints:
                break
            tried += sum(pool.map(lambda one: _send_to(engine, post, one, until), endpoints))
    return tried


def _spread(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        newest = newest_place(connection)
    while True:
        with transaction(engine) as session:
            if spread(session, newest) < AT_ONCE:
                return


def _send_to(engine: Engine, post: Post, endpoint: Endpoint, until: float) -> int:
    """Sends in order until all is sent, one is not taken, the endpoint is another, or the time is over."""
    secrets = [secret_of(post.master, str(endpoint.id), number) for number in endpoint.generations]
    tried, going_on = 0, True
    try:
        while going_on and time.monotonic() < until:
            with transaction(engine) as session:
                some = deliver.due(session, endpoint.id, _SOME)
            if not some:
                break
            for one in some:
                went = _send(post, endpoint.url, secrets, one)
                with transaction(engine) as session:
                    going_on = deliver.record(session, endpoint, one.id, went)
                tried += 1
                if not going_on or time.monotonic() >= until:
                    break
    finally:
        with transaction(engine) as session:
            deliver.give_back(session, endpoint.id)
    return tried


def _send(post: Post, url: str, secrets: list[str], one: Delivery) -> Went:
    body = json.dumps(cloud_event(_plain(one.event), one.place, post.source), ensure_ascii=False).encode()
    signed = headers(secrets, str(one.event["id"]), int(time.time()), body)
    answer = post.sender.post(url, signed, body)
    if not answer.good:
        logger.warning("event %s was not taken: %s", one.event["id"], answer.error or answer.status)
    return Went(answer.good, answer.status, answer.error, answer.took_ms)


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event as the API shows it."""
    found: dict[str, Any] = json.loads(json.dumps({name: event[name] for name in _FIELDS}, default=_text))
    return found


_FIELDS = (
    *("id", "at", "type", "level", "actor", "vm", "snapshot_id", "snapshot_name"),
    *("job_id", "job_kind", "message", "data"),
)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} in an event")


def clean_up(engine: Engine) -> None:
    """Forgets what was sent long ago."""
    removed = 1
    while removed:
        with transaction(engine) as session:
            removed = deliver.remove_old(session)


def run(engine: Engine, post: Post, over: threading.Event) -> None:
    """Until it is over: sends. Whatever goes wrong is tried again."""
    cleaned = -CLEAN_UP_S
    while not over.is_set():
        try:
            sent = send_due(engine, post)
            if time.monotonic() - cleaned >= CLEAN_UP_S:
                clean_up(engine)
                cleaned = time.monotonic()
        except Exception as error:  # whatever it is: those who wait for events must not wait for nobody
            logger.warning("no webhooks for a moment: %s", error)
            sent = 0
        over.wait(0 if sent else EVERY_S)


def main() -> int:
    """Runs until SIGTERM. Exit code 2 when a setting is missing or wrong."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings.from_env()
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if not settings.database_url or not settings.webhook_key:
        sys.stderr.write("STILLFRAME_DATABASE_URL and STILLFRAME_WEBHOOK_KEY have to be set\n")
        return 2
    over = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: over.set())
    engine = make_engine(settings.database_url, pool_size=SIDE_BY_SIDE, name="stillframe webhooks")
    sender = Sender(networks(settings.webhook_allow))
    run(engine, Post(settings.webhook_key, settings.url, sender), over)
    return 0


if __name__ == "__main__":
    sys.exit(main())
