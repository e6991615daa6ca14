"""Webhooks and their deliveries."""

from stillframe.errors.families import Invalid, NotFound, Refused


class WebhookNotFound(NotFound):
    """There is no webhook "{webhook}"."""

    code = "webhook.not_found"
    remedy = "`stillframe webhook list` shows those that exist."


class DeliveryNotFound(NotFound):
    """Webhook {webhook} has no delivery "{delivery}"."""

    code = "webhook.delivery_not_found"
    remedy = "`stillframe webhook deliveries {webhook}` shows them."


class WebhookNotActive(Refused):
    """Webhook {webhook} is {state}: nothing is sent to it."""

    code = "webhook.not_active"
    remedy = "`stillframe webhook resume {webhook}` lets it go on."


class WebhooksNotSetUp(Refused):
    """This installation sends no webhooks: it has no key to sign them with."""

    code = "webhook.not_set_up"
    remedy = "Its administrator sets STILLFRAME_WEBHOOK_KEY; docs/operations.md says how."


class UrlInvalid(Invalid):
    """No webhook can go to this URL: {why}."""

    code = "webhook.url_invalid"
    remedy = (
        "Give an absolute https:// URL of a public host, without a user or a fragment; an administrator may allow "
        "others by STILLFRAME_WEBHOOK_ALLOW."
    )


class EventTypeUnknown(Invalid):
    """There are no events of type "{type}"."""

    code = "webhook.type_unknown"
    remedy = "Give a type such as job.failed, or the beginning of several with its dot: job."
