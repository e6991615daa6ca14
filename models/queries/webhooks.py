"""Lists of webhooks and their deliveries."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, func, select

from models.base import AnyRow, AnySelect, Json
from models.events.tables import Event
from models.queries.owners import owned, with_owner
from models.queries.paging import Order, Wanted, instant, page
from models.queries.walk import Listing, Way, walk
from models.tenants.actor import Actor
from models.tenants.scope import mine, my_vms, no_wider
from models.vms.tables import Vm
from models.webhooks.tables import DeliveryState, Webhook, WebhookDelivery
from stillframe.errors import WebhookNotFound

NEWEST_FIRST = Order(
    "-created_at",
    Webhook.created_at.expression,
    Webhook.id.expression,
    descending=True,
    parse=instant,
)
LAST_FIRST = Order(
    "-place", WebhookDelivery.place.expression, WebhookDelivery.id.expression, descending=True, parse=int
)


def webhooks(
    connection: Connection,
    actor: Actor,
    wanted: Wanted,
    *,
    account: str | None = None,
    domain: str | None = None,
) -> Json:
    """A page, newest first; raises AccountNotFound or DomainNotFound."""
    of = owned(connection, actor, account, domain)
    found = _select(actor).where(*of.conditions(Webhook.account_id))
    return page(connection, found, NEWEST_FIRST, wanted, _items)


def webhook(connection: Connection, actor: Actor, id_: UUID) -> Json:
    """One webhook; raises WebhookNotFound."""
    row = connection.execute(_select(actor).where(Webhook.id == id_)).first()
    if row is None:
        raise WebhookNotFound(webhook=str(id_))
    return _items(connection, [row])[0]


def check_webhook(connection: Connection, actor: Actor, id_: UUID) -> UUID:
    """Its id; raises WebhookNotFound if the actor sees none of that id."""
    of = select(Webhook.id).where(
        Webhook.id == id_,
        Webhook.deleted_at.is_(None),
        mine(actor, Webhook.account_id),
        no_wider(actor, Webhook.role),
    )
    if connection.scalar(of) is None:
        raise WebhookNotFound(webhook=str(id_))
    return id_


def deliveries(
    connection: Connection,
    webhook: UUID,
    wanted: Wanted,
    states: Sequence[DeliveryState] = (),
    event: int | None = None,
) -> Json:
    """A page of what was or is to be sent, the last event first."""
    one = WebhookDelivery
    of_webhook = one.webhook_id == webhook

    def conditions(one: Any) -> Iterator[ColumnElement[bool]]:
        yield one.webhook_id == webhook
        if states:
            yield one.state.in_(states)
        if event is not None:
            yield one.event_id == event

    of_event = [Way(select(one.id).where(of_webhook, one.event_id == event))] if event is not None else []
    in_state = and_(of_webhook, one.state.in_(states)) if len(states) == 1 else of_webhook
    listing = Listing(
        entity=one,
        columns=(one.webhook_id, one.state, one.event_id),
        order=LAST_FIRST,
        conditions=conditions,
        shown=select(*one.__table__.c, Event.type.label("event_type")).outerjoin(
            Event, Event.id == one.event_id
        ),
        ways=(*of_event, Way(select(one.id).where(in_state), in_state)),
    )
    return walk(connection, listing, wanted, _plain)


def _select(actor: Actor) -> AnySelect:
    columns = Webhook.__table__.c
    its_vm = (Vm.id == Webhook.vm_id) & my_vms(actor)
    rows = select(*columns, Vm.name.label("vm_name")).select_from(Webhook).outerjoin(Vm, its_vm)
    return with_owner(rows, Webhook.account_id).where(
        Webhook.deleted_at.is_(None), mine(actor, Webhook.account_id), no_wider(actor, Webhook.role)
    )


def _items(connection: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    counted = _counts(connection, [row.id for row in rows])
    return [
        {
            **row._mapping,
            "vm": {"id": row.vm_id, "name": row.vm_name or ""} if row.vm_id else None,
            "state": _state(row),
            "suspended": {"at": row.suspended_at, "reason": row.suspended_reason}
            if row.suspended_at
            else None,
            "last_answer": _last(row),
            "waiting": counted.get((row.id, DeliveryState.WAITING), 0),
            "dead": counted.get((row.id, DeliveryState.DEAD), 0),
        }
        for row in rows
    ]


def _state(row: AnyRow) -> str:
    if row.suspended_at is not None:
        return "suspended"
    if not row.enabled:
        return "paused"
    return "failing" if row.failures else "active"


def _last(row: AnyRow) -> Json | None:
    if row.tried_at is None:
        return None
    return {"at": row.tried_at, "status": row.status, "error": row.error, "took_ms": row.took_ms}


def _counts(connection: Connection, webhooks: Sequence[UUID]) -> dict[tuple[UUID, DeliveryState], int]:
    of = (
        select(WebhookDelivery.webhook_id, WebhookDelivery.state, func.count())
        .where(WebhookDelivery.webhook_id.in_(webhooks), WebhookDelivery.state != DeliveryState.DELIVERED)
        .group_by(WebhookDelivery.webhook_id, WebhookDelivery.state)
    )
    return {(id_, state): number for id_, state, number in connection.execute(of)}


def _plain(_: Connection, rows: Sequence[AnyRow]) -> list[Json]:
    return [dict(row._mapping) for row in rows]
