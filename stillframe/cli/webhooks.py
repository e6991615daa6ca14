"""`stillframe webhook ...`."""

from argparse import Namespace
from time import monotonic, sleep
from typing import Any

from stillframe.cli import show
from stillframe.cli.lists import items
from stillframe.cli.refs import webhook_id
from stillframe.cli.sure import sure
from stillframe.client import Producer
from stillframe.client.answers import Page, Webhook, WebhookDelivery

OK, FAILED, STILL_GOING, REFUSED = 0, 1, 4, 5
#: Seconds for which a ping is waited for: a try that is under way and its own may take 10 each.
PING_S = 30.0


def create(client: Producer, asked: Namespace) -> int:
    """`webhook create`."""
    made = client.create_webhook({"url": asked.url} | _wish(asked))
    if asked.output == "json":
        show.data(made)
        return OK
    print(f"Webhook {made['id']} is made.")
    print(f"Secret: {made['secret']}")
    show.note("The secret is shown this once. `stillframe webhook ping` tries whether events arrive.")
    return OK


def edit(client: Producer, asked: Namespace) -> int:
    """`webhook edit`."""
    changes = ({"url": asked.url} if asked.url else {}) | _wish(asked)
    return _told(asked, client.edit_webhook(webhook_id(client, asked.webhook), changes), "is changed")


def show_list(client: Producer, asked: Namespace) -> int:
    """`webhook list`."""
    found = items(client, client.webhooks, asked, account=asked.account, domain=asked.domain)
    if asked.output == "json":
        show.data(found)
        return OK
    rows = [
        (
            one["url"],
            one["state"],
            _types(one),
            one["waiting"],
            one["dead"],
            one["account"],
            show.Id(one["id"]),
        )
        for one in found
    ]
    heads = ("URL", "STATE", "TYPES", "WAITING", "DEAD", "ACCOUNT", "ID")
    show.table(heads, rows, "No webhooks. `stillframe webhook create --help` shows how one is made.")
    return OK


def show_one(client: Producer, asked: Namespace) -> int:
    """`webhook show`."""
    one = client.webhook(webhook_id(client, asked.webhook))
    if asked.output == "json":
        show.data(one)
        return OK
    suspended = one["suspended"]
    show.fields(
        (
            ("URL", one["url"]),
            ("Id", one["id"]),
            ("Description", one["description"]),
            ("State", one["state"]),
            ("Why", suspended["reason"] if suspended else None),
            (
                "Failing",
                f"{one['failures']} tries since {show.time(one['failing_since'])}"
                if one["failures"]
                else None,
            ),
            ("Resting", f"until {show.time(one['resting_until'])}" if one["failures"] else None),
            ("Last answer", show.plain(_last(one))),
            ("Types", _types(one)),
            ("Level", f"{one['level']} or worse" if one["level"] != "info" else None),
            ("VM", one["vm"]["name"] if one["vm"] else None),
            ("Waiting", one["waiting"]),
            ("Dead", one["dead"]),
            ("Account", one["account"]),
            ("Domain", one["domain"]),
            ("Made", f"{show.time(one['created_at'])} by {one['created_by']}"),
        )
    )
    return OK


def ping(client: Producer, asked: Namespace) -> int:
    """`webhook ping`: waits for how the try went."""
    id_ = webhook_id(client, asked.webhook)
    event, until = client.ping_webhook(id_)["event_id"], monotonic() + PING_S
    tried: list[WebhookDelivery] = []
    while not tried and monotonic() < until:
        sleep(0.2)
        found = client.deliveries(id_, event=event)["items"]
        tried = [one for one in found if one["tried_at"]]
    if asked.output == "json":
        show.data(tried[0] if tried else {"event_id": event})
    elif not tried:
        show.note(
            "It is not tried yet. Does `python -m tasks.webhooks` run? `webhook deliveries` shows it later."
        )
        show.note(f"Before this: {_last(client.webhook(id_)) or 'nothing was ever tried'}.")
    else:
        print(
            f"{'It was taken' if tried[0]['state'] == 'delivered' else 'It was not taken'}: {_went(tried[0])}."
        )
    if not tried:
        return STILL_GOING
    return OK if tried[0]["state"] == "delivered" else FAILED


def pause(client: Producer, asked: Namespace) -> int:
    """`webhook pause`."""
    return _told(asked, client.pause_webhook(webhook_id(client, asked.webhook)), "is paused")


def resume(client: Producer, asked: Namespace) -> int:
    """`webhook resume`."""
    id_ = webhook_id(client, asked.webhook)
    return _told(asked, client.resume_webhook(id_, skip=asked.skip), "goes on")


def secret(client: Producer, asked: Namespace) -> int:
    """`webhook secret`."""
    found = client.rotate_webhook_secret(webhook_id(client, asked.webhook))
    if asked.output == "json":
        show.data(found)
        return OK
    print(f"Secret: {found['secret']}")
    show.note("It is shown this once. For a day the old one signs too.")
    return OK


def deliveries(client: Producer, asked: Namespace) -> int:
    """`webhook deliveries`."""
    id_ = webhook_id(client, asked.webhook)

    def page(**filters: Any) -> Page[WebhookDelivery]:
        return client.deliveries(id_, **filters)

    found = items(client, page, asked, "newest", state=asked.state)
    if asked.output == "json":
        show.data(found)
        return OK
    rows = [
        (
            *(one["event_id"], one["event_type"], one["state"], one["attempts"], show.time(one["tried_at"])),
            *(
                _went(one),
                show.time(one["due_at"]) if one["state"] == "waiting" else None,
                show.Id(one["id"]),
            ),
        )
        for one in found
    ]
    heads = ("EVENT", "TYPE", "STATE", "TRIES", "LAST", "ANSWER", "NEXT", "ID")
    show.table(heads, rows, "Nothing was or is to be sent.")
    return OK


def replay(client: Producer, asked: Namespace) -> int:
    """`webhook replay`."""
    id_ = webhook_id(client, asked.webhook)
    found = client.replay_dead(id_) if asked.dead else client.replay_delivery(id_, asked.delivery)
    if asked.output == "json":
        show.data(found)
        return OK
    number = found["replayed"]
    print(
        "Nothing is dead."
        if not number
        else f"{number} deliver{'y is' if number == 1 else 'ies are'} sent again."
    )
    return OK


def delete(client: Producer, asked: Namespace) -> int:
    """`webhook delete`."""
    one = client.webhook(webhook_id(client, asked.webhook))
    if not sure(asked, lambda: f"Delete the webhook to {one['url']}? {one['waiting']} deliveries wait."):
        return REFUSED
    client.delete_webhook(one["id"])
    if asked.output == "json":
        show.data({})
    else:
        print(f"Webhook {one['id']} is deleted.")
    return OK


def _wish(asked: Namespace) -> dict[str, Any]:
    given = {"types": asked.type, "level": asked.level, "description": asked.description}
    wish = {name: value for name, value in given.items() if value is not None}
    return wish if asked.vm is None else wish | {"vm": asked.vm or None}


def _told(asked: Namespace, webhook: Webhook, what: str) -> int:
    if asked.output == "json":
        show.data(webhook)
    else:
        print(f"Webhook {webhook['id']} {what}.")
    return OK


def _types(one: Webhook) -> str:
    return ", ".join(one["types"]) or "all but steps"


def _last(one: Webhook) -> str:
    if (last := one["last_answer"]) is None:
        return ""
    return f"{last['error'] or last['status']}, after {last['took_ms']} ms, at {show.time(last['at'])}"


def _went(one: WebhookDelivery) -> str:
    if one["tried_at"] is None:
        return ""
    return f"{one['error'] or one['status']}, after {one['took_ms']} ms"
