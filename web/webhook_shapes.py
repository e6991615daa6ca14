"""Webhooks over HTTP: what may be sent, and what is answered."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field

from models.webhooks.tables import DeliveryState
from stillframe.events import Level
from web.examples import Json, shown
from web.shapes import Ref, Shape
from web.typed import some
from web.wishes import Description, Wish, Words

_WEBHOOK = "01a206ea-d111-7aa0-8c54-0f6b51f24fd9"
WISH_WEBHOOK: Json = {
    "url": "https://ops.example.com/stillframe",
    "types": ["job.failed", "policy."],
    "level": "info",
    "vm": None,
    "description": "to the pager",
}
WEBHOOK: Json = {
    "id": _WEBHOOK,
    "url": "https://ops.example.com/stillframe",
    "description": "to the pager",
    "types": ["job.failed", "policy."],
    "level": "info",
    "vm": None,
    "state": "active",
    "suspended": None,
    "failures": 0,
    "failing_since": None,
    "resting_until": None,
    "last_answer": {"at": "2026-11-23T05:41:02.311Z", "status": 204, "error": None, "took_ms": 12},
    "waiting": 0,
    "dead": 0,
    "account": "admin",
    "domain": "/",
    "created_by": "admin",
    "created_at": "2026-11-23T05:39:39.065Z",
    "updated_at": "2026-11-23T05:39:39.065Z",
    "rotated_at": None,
}
DELIVERY: Json = {
    "id": "5c6f1c5e-30a7-4c39-9c4e-3f6a9d1b2c3d",
    "event_id": 4711,
    "event_type": "job.failed",
    "state": "dead",
    "attempts": 11,
    "due_at": "2026-11-23T05:39:39.065Z",
    "tried_at": "2026-11-24T05:45:00.120Z",
    "finished_at": "2026-11-24T05:45:00.120Z",
    "status": 503,
    "error": None,
    "took_ms": 31,
    "created_at": "2026-11-22T05:39:39.065Z",
}


class WishWebhook(Wish):
    """Where events are to be posted, and which: of these types (all but steps if there are none), this level or worse,
    this VM.
    """

    model_config = ConfigDict(json_schema_extra=shown(WISH_WEBHOOK))

    url: Annotated[Words, Field(max_length=2000)]
    types: Annotated[list[Annotated[Words, Field(max_length=64)]], Field(max_length=100)] = Field(
        default_factory=list
    )
    level: Level = Level.INFO
    vm: Annotated[Words, Field(max_length=255, description="A VM's name or id")] | None = None
    description: Description = ""


class WishWebhookEdit(Wish):
    """What is left out stays; `vm` null means all VMs."""

    model_config = ConfigDict(json_schema_extra=shown({"types": ["job."]}))

    url: Annotated[Words | None, Field(max_length=2000), AfterValidator(some)] = None
    types: Annotated[
        list[Annotated[Words, Field(max_length=64)]] | None, Field(max_length=100), AfterValidator(some)
    ] = None
    level: Annotated[Level | None, AfterValidator(some)] = None
    vm: Annotated[Words, Field(max_length=255)] | None = None
    description: Annotated[Description | None, AfterValidator(some)] = None


class WishWebhookResume(Wish):
    """What happened while it was paused or suspended is sent too, unless it is to be skipped."""

    model_config = ConfigDict(json_schema_extra=shown({"skip": True}))

    skip: bool = False


class Suspension(Shape):
    """Since when nothing is sent, and why."""

    at: datetime
    reason: str


class LastAnswer(Shape):
    """How the last try went: a status, or an error where there was none."""

    at: datetime
    status: int | None
    error: str | None
    took_ms: int


class Webhook(Shape):
    """A URL to which events are posted. `failing` means that it did not take the last one: until `resting_until` it is
    left in peace. `waiting` and `dead` count deliveries.
    """

    model_config = ConfigDict(json_schema_extra=shown(WEBHOOK))

    id: UUID
    url: str
    description: str
    types: list[str]
    level: Level
    vm: Ref | None
    state: Literal["active", "failing", "paused", "suspended"]
    suspended: Suspension | None
    failures: int
    failing_since: datetime | None
    resting_until: datetime | None
    last_answer: LastAnswer | None
    waiting: int
    dead: int
    account: str
    domain: str
    created_by: str
    created_at: datetime
    updated_at: datetime
    rotated_at: datetime | None


class NewWebhook(Webhook):
    """With the secret that its deliveries are signed with: it is shown this once."""

    model_config = ConfigDict(
        json_schema_extra=shown(WEBHOOK | {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
    )

    secret: str


class Secret(Shape):
    """The new secret: it is shown this once. For a day the old one signs too."""

    model_config = ConfigDict(json_schema_extra=shown({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}))

    secret: str


class Pinged(Shape):
    """The event that goes to the webhook; its delivery is in the list of deliveries under this id."""

    model_config = ConfigDict(json_schema_extra=shown({"event_id": 4711}))

    event_id: int


class Replayed(Shape):
    """How many deliveries are sent again."""

    model_config = ConfigDict(json_schema_extra=shown({"replayed": 3}))

    replayed: int


class WebhookDelivery(Shape):
    """One event for one webhook. `status` and `error` are of the last try; `due_at` is the next one's time."""

    model_config = ConfigDict(json_schema_extra=shown(DELIVERY))

    id: UUID
    event_id: int
    event_type: str | None
    state: DeliveryState
    attempts: int
    due_at: datetime
    tried_at: datetime | None
    finished_at: datetime | None
    status: int | None
    error: str | None
    took_ms: int | None
    created_at: datetime
