"""What goes over the wire for each verb, as plain values: no network is known here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from stillframe.names import check_key
from stillframe.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    DeleteVolume,
    ExtractVolume,
    Operation,
    RevertSnapshot,
)

#: What came as JSON, and is only read.
Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request. `repeatable`: sent twice it does what it does once, so it may be sent again when no answer came.

    `wait_s` is how long the API may take on purpose before it answers.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False
    wait_s: float = 0.0


def get(path: str, **params: Any) -> Request:
    """To read one thing; parameters that are None are left out."""
    return Request(method="GET", path=path, params=_given(params), repeatable=True)


def waiting(path: str, wait_s: float) -> Request:
    """To read one thing once it is over, or when `wait_s` have passed."""
    params = {"wait": f"{wait_s:.3f}s"} if wait_s >= 0.001 else {}
    return Request(method="GET", path=path, params=params, repeatable=True, wait_s=wait_s)


def make(path: str, body: Json | None = None, *, key: str | None = None, **params: Any) -> Request:
    """To make something, once for one idempotency key; without a key one is made up."""
    return Request(
        method="POST",
        path=path,
        params=_given(params),
        body=body,
        headers=_keyed(key),
        repeatable=True,
    )


def change(method: str, path: str, body: Json | None = None, *, etag: str | None = None) -> Request:
    """To change something that is there. It is not sent again after it may have been heard."""
    headers = {"If-Match": etag} if etag else {}
    return Request(method=method, path=path, body=body, headers=headers)


def asking(operation: Operation, key: str | None) -> Request:
    """To ask for an operation."""
    method, path, wishes = _route(operation)
    if method == "POST":
        return make(path, wishes, key=key)
    headers = _keyed(key)
    return Request(method=method, path=path, params=wishes, headers=headers, repeatable=True)


def planning(operation: Operation) -> Request:
    """To ask what an operation would do."""
    method, path, wishes = _route(operation)
    path += "/delete" if method == "DELETE" else ""
    return plan_of(path, wishes)


def plan_of(path: str, wishes: Json) -> Request:
    """To ask what a request to this path would do."""
    return Request(method="POST", path=f"{path}:plan", body=wishes, repeatable=True)


def part(text: str) -> str:
    """One segment of a path. A name of dots would be taken for the path's own, so it is spelled out."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def _route(operation: Operation) -> tuple[str, str, dict[str, Any]]:
    """Method and path, and what of the request they do not say."""
    # What is left open is not sent: an API that does not know a newer word yet refuses only who uses it.
    wishes = _given(operation.to_json())
    match operation:
        case CreateSnapshot():
            return "POST", f"/v1/vms/{part(wishes.pop('vm'))}/snapshots", wishes
        case RevertSnapshot():
            return "POST", f"/v1/snapshots/{part(wishes.pop('snapshot_id'))}/revert", wishes
        case DeleteSnapshot():
            return "DELETE", f"/v1/snapshots/{part(wishes.pop('snapshot_id'))}", wishes
        case ExtractVolume():
            return "POST", f"/v1/snapshots/{part(wishes.pop('snapshot_id'))}/volumes", wishes
        case DeleteVolume():
            return "DELETE", f"/v1/volumes/{part(wishes.pop('volume_snapshot_id'))}", wishes
        case _:
            raise TypeError(f"the API has no route for {operation.kind}")


def _keyed(key: str | None) -> dict[str, str]:
    check_key(key)
    return {"Idempotency-Key": str(uuid4()) if key is None else key}


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
