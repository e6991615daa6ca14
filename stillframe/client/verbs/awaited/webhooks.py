"""Made by `make made` from verbs/webhooks.py: the same, to be awaited. Not to be changed by hand."""

from typing import Any

from stillframe.client.answers import (
    NewWebhook,
    Page,
    Pinged,
    Replayed,
    Secret,
    Webhook,
    WebhookDelivery,
)
from stillframe.client.request import Json, change, get, make, part
from stillframe.client.verbs.awaited.base import Verbs


class Webhooks(Verbs):
    """What is asked of webhooks, and what there is of them."""

    async def create_webhook(self, wish: Json, *, idempotency_key: str | None = None) -> NewWebhook:
        """Posts what happens from now on to `url`; its `secret` is in this answer and in no other."""
        return await self._ask(make("/v1/webhooks", wish, key=idempotency_key))

    async def webhooks(self, **filters: Any) -> Page[Webhook]:
        """One page of webhooks, newest first."""
        return await self._ask(get("/v1/webhooks", **filters))

    async def webhook(self, webhook_id: str) -> Webhook:
        """One webhook by its id."""
        return await self._ask(get(f"/v1/webhooks/{part(webhook_id)}"))

    async def edit_webhook(self, webhook_id: str, changes: Json) -> Webhook:
        """Changes url, types, level, vm or description; what is left out stays."""
        return await self._ask(change("PATCH", f"/v1/webhooks/{part(webhook_id)}", changes))

    async def pause_webhook(self, webhook_id: str) -> Webhook:
        """Nothing is sent until it is resumed; what happens meanwhile is kept for then."""
        return await self._ask(change("POST", f"/v1/webhooks/{part(webhook_id)}/pause"))

    async def resume_webhook(self, webhook_id: str, *, skip: bool = False) -> Webhook:
        """It goes on where it was, also one that was suspended; with `skip` with what happens from now on."""
        return await self._ask(change("POST", f"/v1/webhooks/{part(webhook_id)}/resume", {"skip": skip}))

    async def ping_webhook(self, webhook_id: str, *, idempotency_key: str | None = None) -> Pinged:
        """Sends it an event; `deliveries` with this event's id shows how that went."""
        return await self._ask(make(f"/v1/webhooks/{part(webhook_id)}/ping", key=idempotency_key))

    async def rotate_webhook_secret(self, webhook_id: str, *, idempotency_key: str | None = None) -> Secret:
        """Gives it another secret; for a day both sign."""
        return await self._ask(make(f"/v1/webhooks/{part(webhook_id)}/secret", key=idempotency_key))

    async def delete_webhook(self, webhook_id: str) -> Json:
        """Nothing is sent any more; its deliveries are forgotten."""
        return await self._ask(change("DELETE", f"/v1/webhooks/{part(webhook_id)}"))

    async def deliveries(self, webhook_id: str, **filters: Any) -> Page[WebhookDelivery]:
        """One page of what was or is to be sent, the last event first."""
        return await self._ask(get(f"/v1/webhooks/{part(webhook_id)}/deliveries", **filters))

    async def replay_delivery(self, webhook_id: str, delivery_id: str) -> Replayed:
        """Sends one again, whatever became of it."""
        path = f"/v1/webhooks/{part(webhook_id)}/deliveries/{part(delivery_id)}:replay"
        return await self._ask(change("POST", path))

    async def replay_dead(self, webhook_id: str) -> Replayed:
        """Sends all that are dead again."""
        return await self._ask(change("POST", f"/v1/webhooks/{part(webhook_id)}/deliveries:replay"))
