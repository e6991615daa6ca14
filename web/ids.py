"""Ids as they stand in paths: what is no id is no such thing either."""

from uuid import UUID

from stillframe.errors import (
    DeliveryNotFound,
    JobNotFound,
    NotFound,
    RescanNotFound,
    SnapshotNotFound,
    VolumeSnapshotNotFound,
    WebhookNotFound,
)


def snapshot_id(text: str) -> UUID:
    """The id in a path; what is no id is no snapshot either."""
    return id_or(text, SnapshotNotFound(snapshot=text[:80]))


def volume_id(text: str) -> UUID:
    """The id in a path; what is no id is no volume snapshot either."""
    return id_or(text, VolumeSnapshotNotFound(volume=text[:80]))


def job_id(text: str) -> UUID:
    """The id in a path; what is no id is no job either."""
    return id_or(text, JobNotFound(job=text[:80]))


def webhook_id(text: str) -> UUID:
    """The id in a path; what is no id is no webhook either."""
    return id_or(text, WebhookNotFound(webhook=text[:80]))


def delivery_id(text: str, webhook: str) -> UUID:
    """The id in a path; what is no id is no delivery either."""
    return id_or(text, DeliveryNotFound(delivery=text[:80], webhook=webhook[:80]))


def rescan_id(text: str, host: str) -> UUID:
    """The id in a path; what is no id is no rescan either."""
    return id_or(text, RescanNotFound(rescan=text[:80], host=host[:80]))


def id_or(text: str, otherwise: NotFound) -> UUID:
    """The id that the text is; raises what is given otherwise."""
    try:
        return UUID(text)
    except ValueError:
        raise otherwise from None
