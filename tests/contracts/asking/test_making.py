"""What is made besides jobs: each verb of either client makes it once, also when its first answer is lost."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from uuid import uuid4

import httpx
import pytest

from models.events.tables import Comment
from models.hosts.tables import Rescan
from models.policies.tables import Firing, Policy
from models.tenants.tables import Account, ApiKey, Domain
from models.users.tables import User
from models.webhooks.tables import Webhook
from stillframe import AsyncProducer, Producer
from stillframe.errors import IdempotencyMismatch
from tests.receiver import Receiver, receiver
from tests.web.conftest import Api
from tests.web.test_policies import wish
from tests.world import World

pytestmark = [pytest.mark.postgres, pytest.mark.broker]

TABLES = (Account, ApiKey, Domain, User, Policy, Firing, Webhook, Comment, Rescan)
Answer = Mapping[str, Any]
#: A verb, by its name and with its words.
Ask = Callable[..., Answer]

PASSWORD = "four words nobody joined"
MADE: dict[str, Callable[[str], tuple[str, list[Any], dict[str, Any]]]] = {
    "an account": lambda name: ("create_account", [name], {}),
    "a domain": lambda name: ("create_domain", [name], {}),
    "a key": lambda name: ("create_key", ["admin", name], {}),
    "a user": lambda name: ("create_user", ["admin", name, PASSWORD], {}),
    "a webhook": lambda name: ("create_webhook", [{"url": f"https://example.com/{name}"}], {}),
    "a policy": lambda name: ("create_policy", [wish(name, selector={"names": [name]})], {}),
    "a rescan": lambda name: ("rescan_host", [f"h-{name}"], {"repair": True}),
    "a gift": lambda name: ("assign_vm", [name, "admin"], {}),
}
made = pytest.mark.parametrize("what", MADE)


@contextmanager
def asking(client: str, url: str, key: str) -> Iterator[Ask]:
    """The verbs of one of the clients, called alike."""
    if client == "threads":
        with Producer(url, key) as producer:
            yield lambda verb, *words, **more: getattr(producer, verb)(*words, **more)
    else:
        with asyncio.Runner() as runner:
            asynchronous = AsyncProducer(url, key)
            yield lambda verb, *words, **more: runner.run(getattr(asynchronous, verb)(*words, **more))
            runner.run(asynchronous.close())


@pytest.fixture(params=["threads", "event loop"])
def client(request: pytest.FixtureRequest) -> str:
    """Which of them."""
    return str(request.param)


@pytest.fixture
def there(world: World) -> str:
    """The name of a VM, on a host of its own."""
    name = f"m{uuid4().hex[:12]}"
    world.vm(name, host=f"h-{name}")
    return name


def counts(world: World) -> list[int]:
    return [world.count(table) for table in TABLES]


@made
def test_a_key_makes_once(what: str, client: str, api: Api, world: World, there: str) -> None:
    """Asked again it is what was made first; the same key with something else is refused; without keys it is tried anew."""
    verb, words, more = MADE[what](there)
    with asking(client, api.url, api.key) as ask:
        first = ask(verb, *words, **more, idempotency_key=there)
        before = counts(world)
        again = ask(verb, *words, **more, idempotency_key=there)
        with pytest.raises(IdempotencyMismatch):
            ask("create_domain", f"{there}-other", idempotency_key=there)

    assert again["id"] == first["id"]
    assert counts(world) == before


@made
def test_a_lost_answer_makes_once(what: str, client: str, api: Api, world: World, there: str) -> None:
    """The first answer never comes back: the client asks again by itself, with the key that it made up."""
    verb, words, more = MADE[what](there)
    before = counts(world)
    with losing(api) as lost, asking(client, lost.url, api.key) as ask:
        answer = ask(verb, *words, **more)

    assert len(lost.got) == 2
    assert len({one.headers["idempotency-key"] for one in lost.got}) == 1
    assert sum(counts(world)) - sum(before) == (what != "a gift")
    if what == "a key":
        assert answer["key"] is None
    if what == "a webhook":
        assert answer["secret"]


@contextmanager
def losing(api: Api) -> Iterator[Receiver]:
    """The API behind a connection that breaks when the first answer is on its way."""
    with receiver() as between:

        def answer(handler: BaseHTTPRequestHandler) -> None:
            got = between.got[-1]
            passed = {
                name: got.headers[name] for name in ("authorization", "idempotency-key", "content-type")
            }
            said = httpx.post(
                f"{api.url}{got.path.removeprefix('/hook')}", content=got.body, headers=passed, timeout=30
            )
            if len(between.got) > 1:
                handler.send_response(said.status_code)
                handler.send_header("Content-Type", said.headers["Content-Type"])
                handler.send_header("Content-Length", str(len(said.content)))
                handler.end_headers()
                handler.wfile.write(said.content)
            else:
                handler.close_connection = True

        between.answer = answer
        yield between
