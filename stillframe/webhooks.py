"""What a webhook sends: an event as a CloudEvent, signed as Standard Webhooks has it, and when it is tried again."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from stillframe.addresses import Network, why_not
from stillframe.errors import EventTypeUnknown, UrlInvalid
from stillframe.events import EventType

Json = Mapping[str, Any]

TYPE_PREFIX = "io.stillframe."
SECRET_PREFIX = "whsec_"  # noqa: S105  # what every secret begins with
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
LONGEST_URL = 2000

#: Seconds before each next try; together a day. After the last a delivery is dead.
_MINUTE, _HOUR = 60, 3600
RETRIES = (5, 30, 2 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE, _HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR, 8 * _HOUR)
#: The longest an endpoint that fails is left in peace before the next delivery is tried at it, seconds.
LONGEST_REST_S = 300.0
#: Seconds for which a secret that was replaced still signs beside the new one.
BOTH_SIGN_S = 86_400.0

#: By the first word of an event's type, the field that says what it is about, and the list where that is found.
_ABOUT = {
    "job": ("job_id", "jobs"),
    "step": ("job_id", "jobs"),
    "snapshot": ("snapshot_id", "snapshots"),
    "comment": ("snapshot_id", "snapshots"),
}


def secret_of(master: str, webhook: str, generation: int) -> str:
    """The secret that a webhook's deliveries are signed with. It is kept nowhere: who has the master key makes it again."""
    made = hmac.digest(master.encode(), f"webhook.{webhook}.{generation}".encode(), hashlib.sha256)
    return SECRET_PREFIX + base64.b64encode(made).decode()


def signature(secret: str, id_: str, timestamp: int, body: bytes) -> str:
    """One signature: `v1,` and the HMAC-SHA256 of id, timestamp and body, joined by dots."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    made = hmac.digest(key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(made).decode()


def headers(secrets: Sequence[str], id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What goes with the body. Several secrets sign side by side while one takes the other's place."""
    return {
        "Content-Type": CONTENT_TYPE,
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, id_, timestamp, body) for secret in secrets),
    }


def cloud_event(event: Json, place: int, source: str) -> dict[str, Any]:
    """CloudEvents 1.0, structured. `sequence` is the event's place among all, in a form that sorts as text."""
    found = {
        "specversion": "1.0",
        "id": str(event["id"]),
        "source": source,
        "type": TYPE_PREFIX + event["type"],
        "time": event["at"],
        "datacontenttype": "application/json",
        "sequence": f"{place:020d}",
        "data": event,
    }
    if subject := _subject(event):
        found["subject"] = subject
    if traceparent := ((event["data"] or {}).get("trace") or {}).get("traceparent"):
        found["traceparent"] = traceparent
    return found


def _subject(event: Json) -> str | None:
    field, noun = _ABOUT.get(str(event["type"]).partition(".")[0], ("", ""))
    if field and event[field]:
        return f"{noun}/{event[field]}"
    return f"vms/{event['vm']['id']}" if event["vm"] else None


def wait_s(failed: int, chance: float) -> float | None:
    """Seconds until a delivery is tried again that has failed so often; None: it is dead. `chance` is from 0 to 1."""
    return RETRIES[failed - 1] * (0.8 + 0.4 * chance) if failed <= len(RETRIES) else None


def rest_s(failures: int) -> float:
    """Seconds for which an endpoint is left in peace that has failed so many times in a row."""
    return float(min(LONGEST_REST_S, 2.0 ** min(failures, 16)))


def check_url(url: str, allowed: Sequence[Network] = ()) -> str:
    """The URL, if something can be sent there; raises UrlInvalid with the reason.

    An address in it is checked here, where a name leads when it is used. `allowed` are the networks beside public ones.
    """
    if why := _why_not(url, allowed):
        raise UrlInvalid(why=why)
    return url


def _why_not(url: str, allowed: Sequence[Network]) -> str | None:
    if len(url) > LONGEST_URL:
        return f"it has {len(url)} characters, and {LONGEST_URL} are allowed"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "it has characters that a URL has not; write names of hosts in punycode and the rest percent-encoded"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("https", "http"):
        return "it begins with neither https:// nor, for a network that is allowed, http://"
    if not parts.hostname or port == 0:
        return "it names no host"
    return _surplus(parts) or _leads(parts, allowed)


def _leads(parts: SplitResult, allowed: Sequence[Network]) -> str | None:
    host, secure = parts.hostname or "", parts.scheme == "https"
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        # Without a network that is allowed no name can be sent to without encryption.
        return None if secure or allowed else f"address refused: {host} is not encrypted; use https"
    why = why_not([host], allowed, secure=secure)
    return f"address refused: {host} {why}" if why else None


def _surplus(parts: SplitResult) -> str | None:
    if parts.username is not None or parts.password is not None:
        return "it has a user or a password in it"
    return "it has a fragment" if parts.fragment else None


def check_types(types: Sequence[str]) -> list[str]:
    """The types without repetition, sorted; raises EventTypeUnknown for one that no event has."""
    known = [one.value for one in EventType]
    for type_ in types:
        if not any(one == type_ or (type_.endswith(".") and one.startswith(type_)) for one in known):
            raise EventTypeUnknown(type=type_[:80])
    return sorted(set(types))
