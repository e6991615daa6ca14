"""From what a person types to an id."""

import re
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from stillframe.client import Producer
from stillframe.client.answers import Job, Key, Snapshot, VolumeSnapshot, Webhook
from stillframe.errors import (
    Invalid,
    JobNotFound,
    KeyNotFound,
    SnapshotNotFound,
    UserNotFound,
    VolumeSnapshotNotFound,
    WebhookNotFound,
)

#: Ids begin with the time they were made, so it is by their end that they are told apart.
ENDING = re.compile(r"[0-9a-f]{6,32}")
Named = TypeVar("Named", Snapshot, VolumeSnapshot, Job, Webhook, Key)


class Ambiguous(Invalid):
    """ "{text}" could be any of: {candidates}."""

    code = "cli.ambiguous"
    remedy = "Give an id, of which the last 6 characters do, or VM/NAME for a snapshot."


def snapshot_id(client: Producer, text: str) -> str:
    """Of an id, VM/NAME, a name, or an id's end. Names win over ids, VMs that are there over those that are gone."""
    if whole := _uuid(text):
        return whole
    vm, slash, name = text.rpartition("/")
    if not name:
        raise SnapshotNotFound(snapshot=text)
    found = list(client.every(client.snapshots, vm=vm if slash else None, q=name, gone=True, limit=200))
    fits = _claiming([one for one in found if one["name"] == name])
    if not fits and not slash:
        fits = _ending(found, name)
    if not fits:
        raise SnapshotNotFound(snapshot=text)
    return _only(text, fits, lambda one: f"{one['vm']['name']}/{one['name']} ({one['state']}, {one['id']})")


def volume_id(client: Producer, text: str) -> str:
    """Of an id, a name, or an id's end."""
    if whole := _uuid(text):
        return whole
    found = list(client.every(client.volumes, q=text, limit=200)) if text else []
    fits = [one for one in found if one["name"] == text] or _ending(found, text)
    if not fits:
        raise VolumeSnapshotNotFound(volume=text)
    return _only(text, fits, lambda one: f"{one['name']} ({one['id']})")


def job_id(client: Producer, text: str) -> str:
    """Of an id or its end."""
    if whole := _uuid(text):
        return whole
    fits = client.jobs(q=text, limit=10)["items"] if ENDING.fullmatch(_digits(text)) else []
    if not fits:
        raise JobNotFound(job=text)
    return _only(text, fits, lambda one: one["id"])


def webhook_id(client: Producer, text: str) -> str:
    """Of an id or its end."""
    if whole := _uuid(text):
        return whole
    found = list(client.every(client.webhooks, limit=200)) if text else []
    fits = _ending(found, text)
    if not fits:
        raise WebhookNotFound(webhook=text)
    return _only(text, fits, lambda one: f"{one['url']} ({one['id']})")


def user_ref(client: Producer, text: str) -> str:
    """Of a login, its user's id; an id or a name is what the API takes."""
    if "/" not in text:
        return text
    found = client.users(login=text)["items"]
    if not found:
        raise UserNotFound(user=text)
    return found[0]["id"]


def key_id(client: Producer, text: str) -> str:
    """Of an id, a name, a key's beginning as it is shown, or an id's end. Those that open win over those that do not."""
    if whole := _uuid(text):
        return whole
    text = text.removesuffix("...")
    found = list(client.every(client.keys, q=text, limit=200)) if text else []
    fits = [one for one in found if text in (one["name"], one["prefix"])]
    if not fits and ENDING.fullmatch(_digits(text)):
        fits = _ending(list(client.every(client.keys, limit=200)), text)
    fits = [one for one in fits if one["opens"]] or fits
    if not fits:
        raise KeyNotFound(key=text)
    return _only(text, fits, lambda one: f"{one['name']} of {one['account']} ({one['prefix']}, {one['id']})")


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _claiming(fits: list[Snapshot]) -> list[Snapshot]:
    """Of those with one name: on VMs that are there before those that are gone, good ones before failed ones, ours first."""
    there = [one for one in fits if one["vm_state"] != "gone"] or fits
    good = [one for one in there if one["state"] != "error"] or there
    return [one for one in good if not one.get("foreign")] or good


def _ending(found: list[Named], text: str) -> list[Named]:
    wanted = _digits(text)
    if not ENDING.fullmatch(wanted):
        return []
    return [one for one in found if _digits(one["id"]).endswith(wanted)]


def _digits(text: str) -> str:
    return text.lower().replace("-", "")


def _only(text: str, fits: list[Named], worded: Callable[[Named], str]) -> str:
    if len(fits) > 1:
        raise Ambiguous(text=text, candidates=", ".join(map(worded, fits[:5])))
    return str(fits[0]["id"])
