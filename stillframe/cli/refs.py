"""From what a person types to an id."""

import re
from collections.abc import Callable
from uuid import UUID

from stillframe.client import Client, Json
from stillframe.errors import Invalid, JobNotFound, SnapshotNotFound, VolumeSnapshotNotFound

BEGINNING = re.compile(r"[0-9a-fA-F][0-9a-fA-F-]{5,35}")


class Ambiguous(Invalid):
    """ "{text}" could be any of: {candidates}."""

    code = "cli.ambiguous"
    remedy = "Give the whole id, or VM/NAME for a snapshot."


def snapshot_id(client: Client, text: str) -> str:
    """Of an id, VM/NAME, a name, or an id's beginning. Names win over ids."""
    if whole := _uuid(text):
        return whole
    vm, slash, name = text.rpartition("/")
    if not name:
        raise SnapshotNotFound(snapshot=text)
    found = list(client.every(client.snapshots, vm=vm if slash else None, q=name, limit=200))
    fits = [one for one in found if one["name"] == name]
    if not fits and not slash:
        fits = _beginning(found, name)
    if not fits:
        raise SnapshotNotFound(snapshot=text)
    return _only(text, fits, lambda one: f"{one['vm']['name']}/{one['name']} ({one['id']})")


def volume_id(client: Client, text: str) -> str:
    """Of an id, a name, or an id's beginning."""
    if whole := _uuid(text):
        return whole
    found = list(client.every(client.volumes, q=text, limit=200)) if text else []
    fits = [one for one in found if one["name"] == text] or _beginning(found, text)
    if not fits:
        raise VolumeSnapshotNotFound(volume=text)
    return _only(text, fits, lambda one: f"{one['name']} ({one['id']})")


def job_id(client: Client, text: str) -> str:
    """Of an id or its beginning."""
    if whole := _uuid(text):
        return whole
    fits = client.jobs(q=text, limit=10)["items"] if BEGINNING.fullmatch(text) else []
    if not fits:
        raise JobNotFound(job=text)
    return _only(text, fits, lambda one: one["id"])


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _beginning(found: list[Json], text: str) -> list[Json]:
    if not BEGINNING.fullmatch(text):
        return []
    wanted = text.lower().replace("-", "")
    return [one for one in found if one["id"].replace("-", "").startswith(wanted)]


def _only(text: str, fits: list[Json], worded: Callable[[Json], str]) -> str:
    if len(fits) > 1:
        raise Ambiguous(text=text, candidates=", ".join(map(worded, fits[:5])))
    return str(fits[0]["id"])
