"""All tables in one import, so that the metadata is whole."""

from models.base import Base
from models.events.tables import Comment, Event, EventFresh, EventPlace
from models.hosts.tables import Host, Rescan
from models.jobs.tables import Job, Step
from models.once import MadeOnce
from models.policies.tables import Firing, Policy, PolicySchedule, PolicyVm
from models.snapshots.tables import Snapshot, SnapshotLayer, VolumeSnapshot
from models.tenants.tables import Account, ApiKey, Domain
from models.users.tables import LoginBucket, LoginKnown, LoginSession, User
from models.vms.tables import Layer, Vm, VmTwin, Volume
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
    "LoginBucket",
    "LoginKnown",
    "LoginSession",
    "MadeOnce",
    "Policy",
    "PolicySchedule",
    "PolicyVm",
    "Rescan",
    "Snapshot",
    "SnapshotLayer",
    "Step",
    "User",
    "Vm",
    "VmTwin",
    "Volume",
    "VolumeSnapshot",
    "Webhook",
    "WebhookDelivery",
]
