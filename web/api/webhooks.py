"""Webhooks: where events are posted, and what became of each."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query

from models.events.places import newest_place
from models.queries import hosts
from models.queries import webhooks as rows
from models.queries.paging import Wanted
from models.tenants.actor import Actor
from models.webhooks import keep
from models.webhooks.tables import DeliveryState
from stillframe.addresses import networks
from stillframe.errors import (
    DeliveryNotFound,
    EventTypeUnknown,
    UrlInvalid,
    VmNameAmbiguous,
    VmNotFound,
    WebhookNotActive,
    WebhookNotFound,
    WebhooksNotSetUp,
)
from stillframe.rights import Right
from stillframe.webhooks import check_types, check_url, secret_of
from web.auth import Reader, needs
from web.described import BODY, CHANGE, OWNED, PAGES, keyed
from web.house import House, HouseOf
from web.ids import delivery_id, webhook_id
from web.making import ONCE, Making, made
from web.shapes import Json, Page
from web.webhook_shapes import (
    NewWebhook,
    Pinged,
    Replayed,
    Secret,
    Webhook,
    WebhookDelivery,
    WishWebhook,
    WishWebhookEdit,
    WishWebhookResume,
)
from web.wishes import DomainFilter, Filter, wanted

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

UNKNOWN = WebhookNotFound(webhook="01a206ea")
WRONG = (
    UrlInvalid(why="it does not begin with https://"),
    EventTypeUnknown(type="job.exploded"),
    VmNotFound(vm="web9"),
    VmNameAmbiguous(vm="web1", candidates="8f40... on hv1, 77aa... on hv2"),
)
WebhookPath = Annotated[str, Path(description="A webhook's id")]
DeliveryPath = Annotated[str, Path(description="A delivery's id")]
Keeper = Annotated[Actor, needs(Right.WEBHOOK)]


@router.get("", summary="List webhooks", response_model=Page[Webhook], responses=keyed(*PAGES, *OWNED))
def list_webhooks(
    *,
    house: HouseOf,
    actor: Reader,
    wanted: Annotated[Wanted, Depends(wanted)],
    account: Filter = None,
    domain: DomainFilter = None,
) -> Any:
    """Newest first, with how many deliveries wait and how many are dead."""
    return house.read(rows.webhooks, actor, wanted, account=account, domain=domain)


@router.post(
    "",
    summary="Make a webhook",
    response_model=NewWebhook,
    status_code=201,
    responses={
        **made(201, NewWebhook, "/v1/webhooks/01a206ea-..."),
        **keyed(*CHANGE, *BODY, *WRONG, *ONCE, WebhooksNotSetUp()),
    },
)
def create_webhook(*, house: HouseOf, making: Making, actor: Keeper, wish: WishWebhook) -> Any:
    """Posts what happens from now on. This answer holds its secret, and no other does."""
    master = _master(house)
    asked = wish.model_dump()
    columns = _columns(house, actor, asked)
    place = _newest(house)
    id_ = making.make(
        actor,
        ("webhook", asked),
        lambda session: keep.add_webhook(session, actor, place, columns),
        at="/v1/webhooks",
    )
    return _look(house, actor, UUID(id_)) | {"secret": secret_of(master, id_, 1)}


@router.get("/{webhook}", summary="Show a webhook", response_model=Webhook, responses=keyed(UNKNOWN))
def show_webhook(*, house: HouseOf, actor: Reader, webhook: WebhookPath) -> Any:
    """One webhook."""
    return _look(house, actor, webhook_id(webhook))


@router.patch(
    "/{webhook}",
    summary="Change a webhook",
    response_model=Webhook,
    responses=keyed(*CHANGE, *BODY, UNKNOWN, *WRONG),
)
def edit_webhook(*, house: HouseOf, actor: Keeper, webhook: WebhookPath, wish: WishWebhookEdit) -> Any:
    """What is left out stays. What waits already goes to the new URL."""
    id_ = _id(house, actor, webhook)
    columns = _columns(house, actor, wish.given())
    house.write(keep.edit_webhook, id_, actor.name, columns)
    return _look(house, actor, id_)


@router.delete("/{webhook}", summary="Delete a webhook", status_code=204, responses=keyed(*CHANGE, UNKNOWN))
def delete_webhook(*, house: HouseOf, actor: Keeper, webhook: WebhookPath) -> None:
    """Nothing is sent any more; its deliveries are forgotten."""
    id_ = _id(house, actor, webhook)
    house.write(keep.delete_webhook, id_, actor.name)


@router.post(
    "/{webhook}/pause", summary="Pause a webhook", response_model=Webhook, responses=keyed(*CHANGE, UNKNOWN)
)
def pause_webhook(*, house: HouseOf, actor: Keeper, webhook: WebhookPath) -> Any:
    """Nothing is sent until it is resumed; what happens meanwhile is kept for then."""
    id_ = _id(house, actor, webhook)
    house.write(keep.pause_webhook, id_, actor.name)
    return _look(house, actor, id_)


@router.post(
    "/{webhook}/resume",
    summary="Resume a webhook",
    response_model=Webhook,
    responses=keyed(*CHANGE, *BODY, UNKNOWN),
)
def resume_webhook(
    *, house: HouseOf, actor: Keeper, webhook: WebhookPath, wish: WishWebhookResume | None = None
) -> Any:
    """It goes on where it was, also one that was suspended; with `skip` with what happens from now on."""
    id_ = _id(house, actor, webhook)
    skip_to = _newest(house) if wish and wish.skip else None
    house.write(keep.resume_webhook, id_, actor.name, skip_to)
    return _look(house, actor, id_)


@router.post(
    "/{webhook}/ping",
    summary="Try a webhook",
    response_model=Pinged,
    status_code=202,
    responses={
        **made(202, Pinged),
        **keyed(*CHANGE, UNKNOWN, WebhookNotActive(webhook="01a206ea", state="paused"), *ONCE),
    },
)
def ping_webhook(*, house: HouseOf, making: Making, actor: Keeper, webhook: WebhookPath) -> Any:
    """Sends it an event `webhook.pinged`, whatever it asks for; its delivery shows how that went."""
    id_ = _id(house, actor, webhook)
    event = making.make(actor, ("ping", id_), lambda session: keep.ping(session, id_, actor.name))
    return {"event_id": int(event)}


@router.post(
    "/{webhook}/secret",
    summary="Give a webhook another secret",
    response_model=Secret,
    responses={**made(200, Secret), **keyed(*CHANGE, UNKNOWN, WebhooksNotSetUp(), *ONCE)},
)
def rotate_webhook_secret(*, house: HouseOf, making: Making, actor: Keeper, webhook: WebhookPath) -> Any:
    """This answer holds it, and no other does. For a day both sign, so that the receiver can change over."""
    master, id_ = _master(house), _id(house, actor, webhook)
    generation = making.make(
        actor, ("secret", id_), lambda session: keep.rotate_secret(session, id_, actor.name)
    )
    return {"secret": secret_of(master, str(id_), int(generation))}


@router.get(
    "/{webhook}/deliveries",
    summary="List the deliveries of a webhook",
    response_model=Page[WebhookDelivery],
    responses=keyed(*PAGES, UNKNOWN),
)
def list_deliveries(
    *,
    house: HouseOf,
    actor: Reader,
    webhook: WebhookPath,
    wanted: Annotated[Wanted, Depends(wanted)],
    state: Annotated[Sequence[DeliveryState], Query(description="May be given several times")] = (),
    event: Annotated[int | None, Query(ge=0, le=2**63 - 1, description="An event's id")] = None,
) -> Any:
    """The last event first. What was delivered is kept for 3 days, what is dead for 30."""
    with house.reads.connect() as connection:
        id_ = rows.check_webhook(connection, actor, webhook_id(webhook))
        return rows.deliveries(connection, id_, wanted, tuple(state), event)


@router.post(
    "/{webhook}/deliveries:replay",
    summary="Send all dead deliveries again",
    response_model=Replayed,
    status_code=202,
    responses=keyed(*CHANGE, UNKNOWN),
)
def replay_deliveries(*, house: HouseOf, actor: Keeper, webhook: WebhookPath) -> Any:
    """All that were tried for a day and not taken."""
    id_ = _id(house, actor, webhook)
    return {"replayed": house.write(keep.replay_dead, id_)}


@router.post(
    "/{webhook}/deliveries/{delivery}:replay",
    summary="Send a delivery again",
    response_model=Replayed,
    status_code=202,
    responses=keyed(*CHANGE, UNKNOWN, DeliveryNotFound(webhook="01a206ea", delivery="5c6f1c5e")),
)
def replay_delivery(*, house: HouseOf, actor: Keeper, webhook: WebhookPath, delivery: DeliveryPath) -> Any:
    """Whatever became of it; the receiver sees the same id again."""
    id_ = _id(house, actor, webhook)
    house.write(keep.replay, id_, delivery_id(delivery, webhook))
    return {"replayed": 1}


def _master(house: House) -> str:
    if not house.settings.webhook_key:
        raise WebhooksNotSetUp
    return house.settings.webhook_key


def _columns(house: House, actor: Actor, wish: Json) -> Json:
    """The wish in the words of the row; raises what is wrong with it."""
    columns = dict(wish)
    if "url" in columns:
        columns["url"] = check_url(columns["url"], networks(house.settings.webhook_allow))
    if "types" in columns:
        columns["types"] = check_types(columns["types"])
    if "vm" in columns:
        vm = columns.pop("vm")
        with house.reads.connect() as connection:
            columns["vm_id"] = hosts.vm(connection, actor, vm)["id"] if vm is not None else None
    return columns


def _newest(house: House) -> int:
    return house.read(
        newest_place,
    )


def _id(house: House, actor: Actor, webhook: str) -> UUID:
    return house.read(rows.check_webhook, actor, webhook_id(webhook))


def _look(house: House, actor: Actor, id_: UUID) -> Json:
    return house.read(rows.webhook, actor, id_)
