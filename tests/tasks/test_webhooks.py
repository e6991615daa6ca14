"""Webhooks are sent what they asked for: in order, at least once, again when it was not taken, and no more when it never is."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.orm import Session

from models.events.tables import Event
from models.ids import new_id
from models.moves import Told, tell
from models.session import transaction
from models.tenants.actor import ADMIN, Actor
from models.tenants.tables import ADMIN_ACCOUNT, Account, Domain
from models.webhooks import deliver, keep
from models.webhooks.deliver import Endpoint, Went, remove_old
from models.webhooks.tables import DeliveryState, Webhook, WebhookDelivery
from stillframe.addresses import networks
from stillframe.events import EventType, Level
from stillframe.rights import Role
from stillframe.webhooks import RETRIES, secret_of, signature
from tasks.sending import Sender
from tasks.webhooks import Post, _spread, clean_up, run, send_due
from tests.postgres import until_somebody_waits
from tests.receiver import Got, Receiver, receiver
from tests.world import World

pytestmark = pytest.mark.postgres

MASTER = "m" * 32
POST = Post(MASTER, "https://snap.example.com", Sender(networks("127.0.0.0/8"), whole_s=1.0))


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def hook(engine: Engine, url: str, actor: Actor = ADMIN, **wish: Any) -> UUID:
    """A webhook for all that happens from the first event on."""
    with transaction(engine) as session:
        return keep.add_webhook(session, actor, 0, {"url": url, **wish})


def say(
    engine: Engine, type_: EventType = EventType.VM_CHANGED, *, account: UUID | None = None, **told: Any
) -> int:
    vm = told.pop("vm", None)
    with transaction(engine) as session:
        return tell(session, Told(type_, "tests", **told), vm=vm, account=account)


def types(got: list[Got]) -> list[str]:
    return [json.loads(one.body)["type"].removeprefix("io.stillframe.") for one in got]


def row(engine: Engine, webhook: UUID) -> Webhook:
    with transaction(engine) as session:
        return session.get_one(Webhook, webhook)


def deliveries(engine: Engine) -> list[WebhookDelivery]:
    with transaction(engine) as session:
        return list(session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.place)))


def let_time_pass(engine: Engine, hours: float = 0) -> None:
    """All that is to be waited for is over."""
    with transaction(engine) as session:
        session.execute(update(WebhookDelivery).values(due_at=func.now()))
        past = func.make_interval(0, 0, 0, 0, hours)
        session.execute(
            update(Webhook).values(resting_until=None, failing_since=Webhook.failing_since - past)
        )


def test_events_arrive_as_signed_cloud_events(engine: Engine, world: World, other: Receiver) -> None:
    """The receiver can check who sent it, when, and that nothing was changed."""
    webhook, vm = hook(engine, other.url), world.vm("web1")
    id_ = say(engine, EventType.VM_DRIFTED, vm=vm, level=Level.WARNING, message="é")
    assert send_due(engine, POST) == 1

    (got,) = other.got
    event = json.loads(got.body)
    assert (event["specversion"], event["id"], event["source"]) == (
        "1.0",
        str(id_),
        "https://snap.example.com",
    )
    assert (event["type"], event["subject"]) == ("io.stillframe.vm.drifted", f"vms/{vm}")
    assert event["data"]["vm"] == {"id": str(vm), "name": "web1"}
    assert event["data"]["message"] == "é"
    assert event["time"].endswith("Z")
    assert got.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert got.headers["webhook-id"] == str(id_)
    sent_at = int(got.headers["webhook-timestamp"])
    assert abs(sent_at - time.time()) < 60
    assert got.headers["webhook-signature"] == signature(
        secret_of(MASTER, str(webhook), 1), str(id_), sent_at, got.body
    )
    (delivery,) = deliveries(engine)
    assert (delivery.state, delivery.status, delivery.attempts) == (DeliveryState.DELIVERED, 204, 1)
    assert send_due(engine, POST) == 0


def test_a_webhook_gets_what_it_asked_for(engine: Engine, world: World, other: Receiver) -> None:
    """By type, level and VM; steps, and what happens to webhooks, only by their name."""
    vm, another = world.vm("a"), world.vm("b")
    say(engine, EventType.STEP_STARTED, vm=vm)
    say(engine, EventType.JOB_FAILED, vm=vm, level=Level.ERROR)
    say(engine, EventType.JOB_QUEUED, vm=another)
    say(engine, EventType.VM_GONE, vm=another, level=Level.WARNING)

    def sent(**wish: Any) -> list[str]:
        other.got.clear()
        hook(engine, other.url, **wish)
        send_due(engine, POST)
        return types(other.got)

    assert sent() == ["job.failed", "job.queued", "vm.gone"]
    assert sent(types=["job."]) == ["job.failed", "job.queued"]
    assert sent(types=["job.queued", "step."]) == ["step.started", "job.queued"]
    assert sent(level=Level.WARNING) == ["job.failed", "vm.gone"]
    assert sent(vm_id=vm) == ["job.failed"]


def test_a_webhook_sees_what_its_account_sees(engine: Engine, other: Receiver) -> None:
    """A user's sees its account's, a domain admin's its subtree's, a root admin's all; nobody else's, and none of the hosts'."""
    with transaction(engine) as session:
        top = Domain(
            id=new_id(),
            name="t",
            path="/t",
            parent_id=session.scalar(select(Domain.id).where(Domain.path == "/")),
        )
        session.add(top)
        session.flush()
        below = Domain(id=new_id(), name="b", path="/t/b", parent_id=top.id)
        session.add(below)
        session.flush()
        a, b = (
            Account(id=new_id(), name="a", domain_id=top.id),
            Account(id=new_id(), name="b", domain_id=below.id),
        )
        session.add_all([a, b])
    for account in (a.id, b.id, ADMIN_ACCOUNT, None):
        say(
            engine,
            message={a.id: "a", b.id: "b", ADMIN_ACCOUNT: "admin"}.get(account or new_id(), "host"),
            account=account,
        )

    def sent(account: UUID, role: Role) -> list[str]:
        other.got.clear()
        hook(engine, other.url, Actor("k", account, role))
        send_due(engine, POST)
        return [json.loads(one.body)["data"]["message"] for one in other.got]

    assert sent(a.id, Role.USER) == ["a"]
    assert sent(a.id, Role.DOMAIN) == ["a", "b"]
    assert sent(b.id, Role.DOMAIN) == ["b"]
    assert sent(ADMIN_ACCOUNT, Role.ROOT) == ["a", "b", "admin", "host"]


def test_what_is_not_taken_is_tried_again_and_the_others_go_on(engine: Engine, other: Receiver) -> None:
    """First tries are in the order of events; one that fails is tried later and does not keep back those behind it."""
    webhook = hook(engine, other.url)
    ids = [str(say(engine)) for _ in range(4)]
    other.answer = _refusing(ids[1])
    send_due(engine, POST)
    assert [one.headers["webhook-id"] for one in other.got] == ids[:2]
    assert row(engine, webhook).failures == 1
    send_due(engine, POST)
    assert len(other.got) == 2  # it rests

    let_rest_end(engine)
    send_due(engine, POST)
    assert [one.headers["webhook-id"] for one in other.got] == ids
    assert row(engine, webhook).failures == 0
    other.answer = 200
    let_time_pass(engine)
    send_due(engine, POST)
    assert [one.headers["webhook-id"] for one in other.got[4:]] == [ids[1]]
    assert {one.state for one in deliveries(engine)} == {DeliveryState.DELIVERED}
    assert [one.attempts for one in deliveries(engine)] == [1, 2, 1, 1]


def _refusing(id_: str) -> Any:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(500 if handler.headers["webhook-id"] == id_ else 200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def let_rest_end(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(update(Webhook).values(resting_until=None))


def test_after_a_day_a_delivery_is_dead_and_can_be_sent_again(engine: Engine, other: Receiver) -> None:
    """It keeps the last answer, is tried no more, and a replay begins anew with the same id."""
    webhook = hook(engine, other.url)
    id_ = say(engine)
    other.answer = 503
    for _ in range(len(RETRIES) + 3):
        let_time_pass(engine)
        send_due(engine, POST)
    (dead,) = deliveries(engine)
    assert (dead.state, dead.attempts, dead.status) == (DeliveryState.DEAD, len(RETRIES) + 1, 503)
    assert len(other.got) == len(RETRIES) + 1

    other.answer = 204
    let_rest_end(engine)
    with transaction(engine) as session:
        assert keep.replay_dead(session, webhook) == 1
    send_due(engine, POST)
    assert other.got[-1].headers["webhook-id"] == str(id_)
    assert deliveries(engine)[0].state is DeliveryState.DELIVERED
    with transaction(engine) as session:
        keep.replay(session, webhook, dead.id)
    send_due(engine, POST)
    assert len(other.got) == len(RETRIES) + 3


def test_an_endpoint_that_takes_nothing_for_a_day_is_suspended_and_nothing_is_lost(
    engine: Engine, other: Receiver
) -> None:
    """That is told with a warning; what happens meanwhile is sent once it is resumed."""
    webhook = hook(engine, other.url)
    say(engine)
    other.answer = 500
    for _ in range(9):
        let_time_pass(engine)
        send_due(engine, POST)
    assert row(engine, webhook).suspended_at is None
    let_time_pass(engine, hours=25)
    send_due(engine, POST)

    assert "nothing for a day, in 10 tries; the last: it answered 500" in (
        row(engine, webhook).suspended_reason or ""
    )
    with transaction(engine) as session:
        told = session.scalars(select(Event).where(Event.type == "webhook.suspended")).one()
    assert (told.level, told.data["webhook"]) == (Level.WARNING, str(webhook))
    other.answer = 200
    other.got.clear()
    say(engine, EventType.VM_SEEN)
    let_time_pass(engine)
    assert send_due(engine, POST) == 0
    with transaction(engine) as session:
        keep.resume_webhook(session, webhook, "kim")
    send_due(engine, POST)
    assert types(other.got) == ["vm.changed", "vm.seen"]


def test_an_endpoint_that_is_gone_is_suspended_at_once(engine: Engine, other: Receiver) -> None:
    """410 says that nobody wants them any more."""
    webhook = hook(engine, other.url)
    say(engine)
    other.answer = 410
    send_due(engine, POST)
    assert "410" in (row(engine, webhook).suspended_reason or "")


def test_a_pause_keeps_and_a_resume_may_skip(engine: Engine, other: Receiver) -> None:
    """While it is paused nothing is sent; afterwards what happened meanwhile, unless it is to be skipped."""
    webhook = hook(engine, other.url)
    with transaction(engine) as session:
        keep.pause_webhook(session, webhook, "kim")
    say(engine, EventType.VM_SEEN)
    assert send_due(engine, POST) == 0
    with transaction(engine) as session:
        keep.resume_webhook(session, webhook, "kim")
    send_due(engine, POST)
    assert types(other.got) == ["vm.seen"]

    with transaction(engine) as session:
        keep.pause_webhook(session, webhook, "kim")
    say(engine, EventType.VM_GONE)
    send_due(engine, POST)
    newest = max(one.place for one in deliveries(engine)) + 100
    with transaction(engine) as session:
        keep.resume_webhook(session, webhook, "kim", skip_to=newest)
    assert send_due(engine, POST) == 0


@pytest.mark.parametrize("change", ["paused", "moved", "signed anew", "deleted"])
def test_a_change_counts_from_the_next_delivery_on(engine: Engine, other: Receiver, change: str) -> None:
    """Also in the middle of many that are due: nothing more goes to where, or is signed as, it is not to be any more."""
    webhook = hook(engine, other.url)
    for _ in range(5):
        say(engine)

    def changing(handler: BaseHTTPRequestHandler) -> None:
        if len(other.got) == 1:
            with transaction(engine) as session:
                _CHANGES[change](session, webhook, other.url)
        _ok(handler)

    other.answer = changing
    send_due(engine, POST)
    there = [one for one in other.got[1:] if one.path == "/hook"]
    if change == "signed anew":
        assert [len(one.headers["webhook-signature"].split(" ")) for one in other.got] == [1, 2, 2, 2, 2]
    else:
        assert there == []
        assert len(other.got) == (5 if change == "moved" else 1)


_CHANGES: dict[str, Callable[[Session, UUID, str], Any]] = {
    "paused": lambda session, one, _: keep.pause_webhook(session, one, "kim"),
    "moved": lambda session, one, url: keep.edit_webhook(session, one, "kim", {"url": f"{url}/elsewhere"}),
    "signed anew": lambda session, one, _: keep.rotate_secret(session, one, "kim"),
    "deleted": lambda session, one, _: keep.delete_webhook(session, one, "kim"),
}


def test_who_changes_a_webhook_and_who_writes_down_how_a_try_went_take_turns(
    engine: Engine, other: Receiver
) -> None:
    """Neither fails: both take the webhook's row before those of its deliveries."""
    webhook = hook(engine, other.url)
    say(engine)
    _spread(engine)
    (one,) = deliveries(engine)
    failed: list[BaseException] = []

    def write() -> None:
        try:
            with transaction(engine) as session:
                deliver.record(session, Endpoint(webhook, other.url, (1,)), one.id, Went(True, 200, None, 1))
        except BaseException as error:
            failed.append(error)

    with transaction(engine) as session:
        keep.lock_webhook(session, webhook)
        beside = threading.Thread(target=write)
        beside.start()
        until_somebody_waits(engine)
        assert keep.replay_dead(session, webhook) == 0
        keep.replay(session, webhook, one.id)
    beside.join(30)
    assert failed == []
    assert [row.state for row in deliveries(engine)] == [DeliveryState.DELIVERED]


def test_a_ping_arrives_whatever_is_asked_for(engine: Engine, other: Receiver) -> None:
    """At the webhook that was meant, and at no other."""
    webhook = hook(engine, other.url, types=["job.failed"])
    hook(engine, other.url)
    with transaction(engine) as session:
        keep.ping(session, webhook, "kim")
    send_due(engine, POST)
    assert types(other.got) == ["webhook.pinged"]


def test_a_ping_waits_for_no_rest_and_goes_first(engine: Engine, other: Receiver) -> None:
    """Its first try; one that fails lengthens the rest, and one that is taken ends it."""
    webhook = hook(engine, other.url)
    other.answer = 500
    say(engine, EventType.VM_GONE)
    say(engine, EventType.VM_CHANGED)
    send_due(engine, POST)
    assert types(other.got) == ["vm.gone"]

    def ping() -> None:
        with transaction(engine) as session:
            keep.ping(session, webhook, "kim")
        send_due(engine, POST)

    ping()
    assert types(other.got) == ["vm.gone", "webhook.pinged"]
    assert row(engine, webhook).failures == 2
    send_due(engine, POST)
    assert len(other.got) == 2  # it rests again

    other.answer = 204
    ping()
    assert types(other.got)[2:] == ["webhook.pinged", "vm.changed"]
    now = row(engine, webhook)
    assert (now.failures, now.resting_until, now.status) == (0, None, 204)


def test_for_a_day_after_a_change_both_secrets_sign(engine: Engine, other: Receiver) -> None:
    """The receiver has time to change over; then only the new one signs."""
    webhook = hook(engine, other.url)
    with transaction(engine) as session:
        assert keep.rotate_secret(session, webhook, "kim") == 2

    def signatures() -> list[str]:
        say(engine)
        send_due(engine, POST)
        got = other.got[-1]
        at = int(got.headers["webhook-timestamp"])
        made = [
            signature(secret_of(MASTER, str(webhook), number), got.headers["webhook-id"], at, got.body)
            for number in (1, 2)
        ]
        sent = got.headers["webhook-signature"].split(" ")
        assert set(sent) <= set(made)
        return ["old" if one == made[0] else "new" for one in sent]

    assert signatures() == ["new", "old"]
    with transaction(engine) as session:
        session.execute(update(Webhook).values(rotated_at=func.now() - text("interval '25 hours'")))
    assert signatures() == ["new"]


def test_a_slow_endpoint_holds_up_no_other(engine: Engine, other: Receiver) -> None:
    """Endpoints are sent to side by side, and those that fail rest."""
    all_there, waited = threading.Event(), list[bool]()
    patient = Post(MASTER, "https://snap.example.com", Sender(networks("127.0.0.0/8"), whole_s=90))
    with receiver() as slow:
        slow.answer = lambda _handler: waited.append(all_there.wait(60))
        for _ in range(3):
            hook(engine, slow.url)
        hook(engine, other.url)
        for _ in range(5):
            say(engine)

        def note(handler: BaseHTTPRequestHandler) -> None:
            if len(other.got) == 5:
                all_there.set()
            _ok(handler)

        other.answer = note
        send_due(engine, patient)
    assert waited == [True] * 3


def test_endpoints_take_turns(engine: Engine, other: Receiver) -> None:
    """Those that have much to get and are slow to take it are not taken again before the others had their turn."""
    hooks = {hook(engine, other.url) for _ in range(6)}
    for _ in range(3):
        say(engine)
    _spread(engine)
    for _ in range(3):
        turn: list[UUID] = []
        for _ in range(3):
            with transaction(engine) as session:
                turn += (some := [one.id for one in deliver.take(session, 2, 60)])
            for one in some:
                with transaction(engine) as session:
                    deliver.give_back(session, one)
        assert set(turn) == hooks


def _ok(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def test_two_senders_at_once_send_nothing_twice_and_keep_the_order(engine: Engine, other: Receiver) -> None:
    """An endpoint is one sender's at a time."""
    for _ in range(3):
        hook(engine, other.url)
    for _ in range(30):
        say(engine)
    over = threading.Event()
    senders = [threading.Thread(target=run, args=(engine, POST, over)) for _ in range(2)]
    for one in senders:
        one.start()
    end = time.monotonic() + 60
    while len(other.got) < 90 and time.monotonic() < end:
        time.sleep(0.05)
    over.set()
    for one in senders:
        one.join()

    assert len(other.got) == 90
    by_hook: dict[str, list[int]] = {}
    for got in other.got:
        by_hook.setdefault(_signed_by(engine, got), []).append(int(got.headers["webhook-id"]))
    assert len(by_hook) == 3
    assert all(ids == sorted(ids) for ids in by_hook.values())


def _signed_by(engine: Engine, got: Got) -> str:
    at, id_ = int(got.headers["webhook-timestamp"]), got.headers["webhook-id"]
    with transaction(engine) as session:
        hooks = session.scalars(select(Webhook.id)).all()
    return next(
        str(one)
        for one in hooks
        if got.headers["webhook-signature"] == signature(secret_of(MASTER, str(one), 1), id_, at, got.body)
    )


def test_what_a_dead_sender_had_in_hand_is_sent_again(engine: Engine, other: Receiver) -> None:
    """Its hold of an endpoint ends by itself."""
    hook(engine, other.url)
    say(engine)
    with transaction(engine) as session:
        session.execute(update(Webhook).values(busy_until=func.now() + text("interval '1 minute'")))
    assert send_due(engine, POST) == 0
    with transaction(engine) as session:
        session.execute(update(Webhook).values(busy_until=func.now()))
    assert send_due(engine, POST) == 1
    assert send_due(engine, POST) == 0
    say(engine)
    assert send_due(engine, POST) == 1


def test_what_was_sent_long_ago_is_forgotten(engine: Engine, other: Receiver) -> None:
    """What was delivered after three days, what is dead after thirty; what waits stays."""
    webhook = hook(engine, other.url)
    with transaction(engine) as session:
        for number, (state, days) in enumerate(
            (
                (DeliveryState.DELIVERED, 2),
                (DeliveryState.DELIVERED, 4),
                (DeliveryState.DEAD, 29),
                (DeliveryState.DEAD, 31),
            )
        ):
            finished = func.now() - func.make_interval(0, 0, 0, days)
            session.add(
                WebhookDelivery(
                    webhook_id=webhook, event_id=number, place=number, state=state, finished_at=finished
                )
            )
        session.add(WebhookDelivery(webhook_id=webhook, event_id=9, place=9))
    clean_up(engine)
    assert [one.place for one in deliveries(engine)] == [0, 2, 9]
    with transaction(engine) as session:
        assert remove_old(session) == 0


def test_an_address_inside_is_never_reached(engine: Engine, other: Receiver) -> None:
    """Without a setting that allows it, the loopback is refused, and the delivery says why."""
    hook(engine, other.url)
    say(engine)
    send_due(engine, Post(MASTER, "x", Sender()))
    (refused,) = deliveries(engine)
    assert "127.0.0.1 is not public" in (refused.error or "")
    assert other.got == []
