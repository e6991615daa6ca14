"""All tables in one import, so that the metadata is whole."""

from models.account import Account, ApiKey, Domain
from models.base import Base
from models.event import Comment, Event, EventFresh, EventPlace
from models.host import Host, Rescan
from models.job import Job, Step
from models.once import MadeOnce
from models.policies.tables import Firing, Policy, PolicySchedule, PolicyVm
from models.snapshot import Snapshot, SnapshotLayer, VolumeSnapshot
from models.vm import Layer, Vm, Volume
from models.webhooks.tables import Webhook, WebhookDelivery

__all__ = [
    "Account",
    "ApiKey",
    "Base",
    "Comment",
    "Domain",
    "Event",
    "EventFresh",
    "EventPlace",
    "Firing",
    "Host",
    "Job",
    "Layer",
    "MadeOnce",
    "Policy",
    "PolicySchedule",
    "PolicyVm",
    "Rescan",
    "Snapshot",
    "SnapshotLayer",
    "Step",
    "Vm",
    "Volume",
    "VolumeSnapshot",
    "Webhook",
    "WebhookDelivery",
]
