"""`stillframe webhook`."""

import json
import threading
from collections.abc import Iterator

import pytest

from stillframe.webhooks import RETRIES
from tasks.webhooks import run, send_due
from tests.receiver import Receiver, receiver
from tests.tasks.test_webhooks import let_rest_end, let_time_pass
from tests.web.conftest import Api, Cli
from tests.web.test_webhooks import POST
from tests.world import World

pytestmark = pytest.mark.postgres


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def webhook(cli: Cli, other: Receiver) -> Iterator[str]:
    """The id of a webhook that gets nothing unasked."""
    made = json.loads(cli("webhook", "create", other.url, "--type", "host.drained", "-o", "json").out)
    yield made["id"]
    cli("webhook", "delete", made["id"], "--yes")


def test_a_webhook_is_made_and_shown(cli: Cli, world: World, name: str) -> None:
    """The secret is shown when it is made; an id's end is enough to name it."""
    world.vm(name)
    said = cli(
        "webhook", "create", "https://ops.example.com/x", "--type", "job.", "--vm", name, "--level", "warning"
    )
    assert said.code == 0, said.err
    assert "Secret: whsec_" in said.out
    id_ = said.out.split()[1]
    end = id_[-8:]
    shown = cli("webhook", "show", end).out
    assert "https://ops.example.com/x" in shown
    assert "warning or worse" in shown
    assert name in shown
    assert "whsec" not in shown
    assert end in cli("webhook", "list").out
    assert cli("webhook", "edit", end, "--vm", "", "--type", "snapshot.ready").code == 0
    edited = json.loads(cli("webhook", "show", end, "-o", "json").out)
    assert (edited["vm"], edited["types"], edited["level"]) == (None, ["snapshot.ready"], "warning")
    assert "is paused" in cli("webhook", "pause", end).out
    assert cli("webhook", "ping", end).code == 5
    assert "goes on" in cli("webhook", "resume", end, "--skip").out
    assert "Secret: whsec_" in cli("webhook", "secret", end).out
    assert cli("webhook", "delete", end).code == 2
    assert cli("webhook", "delete", end, "--yes").code == 0
    assert cli("webhook", "show", end).code == 5


def test_wrong_wishes_are_told(cli: Cli) -> None:
    """What is wrong and what to do, with the exit code of a wrong usage."""
    said = cli("webhook", "create", "https://ops.example.com/x", "--type", "job")
    assert (said.code, said.out) == (2, "")
    assert 'no events of type "job"' in said.err
    assert cli("webhook", "create", "ops.example.com").code == 2


def test_a_ping_waits_for_its_end(api: Api, cli: Cli, webhook: str, other: Receiver) -> None:
    """It says what came back, also while the endpoint rests; one that was not taken is a failure."""
    over = threading.Event()
    sender = threading.Thread(target=run, args=(api.engine, POST, over))
    sender.start()
    try:
        said = cli("webhook", "ping", webhook)
        assert (said.code, said.out.startswith("It was taken: 204")) == (0, True), said.out
        other.answer = 500
        said = cli("webhook", "ping", webhook)
        assert (said.code, said.out.startswith("It was not taken: 500")) == (1, True), said.out
        shown = cli("webhook", "show", webhook).out
        assert "Last answer  500, after " in shown
        assert "Resting      until 2" in shown
        other.answer = 204
        said = cli("webhook", "ping", webhook)
        assert (said.code, said.out.startswith("It was taken: 204")) == (0, True), said.out
        assert "Resting" not in cli("webhook", "show", webhook).out
    finally:
        over.set()
        sender.join()


def test_what_is_dead_is_listed_and_sent_again(api: Api, cli: Cli, webhook: str, other: Receiver) -> None:
    """All of them, or one."""
    other.answer = 500
    with api.http as http:
        http.post(f"/v1/webhooks/{webhook}/ping")
    for _ in range(len(RETRIES) + 1):
        let_time_pass(api.engine)
        send_due(api.engine, POST)
    said = cli("webhook", "deliveries", webhook, "--state", "dead")
    assert "webhook.pinged" in said.out
    assert "500, after" in said.out
    (dead,) = json.loads(cli("webhook", "deliveries", webhook, "-o", "json").out)
    assert dead["state"] == "dead"

    other.answer = 200
    let_rest_end(api.engine)
    assert cli("webhook", "replay", webhook, "--dead").out == "1 delivery is sent again.\n"
    send_due(api.engine, POST)
    assert cli("webhook", "replay", webhook, "--dead").out == "Nothing is dead.\n"
    assert cli("webhook", "replay", webhook, dead["id"]).code == 0
    send_due(api.engine, POST)
    assert len(other.got) == len(RETRIES) + 3
    assert cli("webhook", "replay", webhook).code == 2
