"""All there is to know of a job before a person decides about it."""

from uuid import UUID

from sqlalchemy import Connection

from models.base import Json
from models.jobs.recovery import standing_of
from models.queries import events, hosts, jobs
from models.queries.paging import Wanted
from models.tenants.actor import Actor
from stillframe.errors import VmNotFound
from stillframe.recovering import ways
from stillframe.states import ENDED, JobState

#: How many of its last events are shown.
EVENTS = 20


def inspection(connection: Connection, actor: Actor, job: UUID) -> Json:
    """The job with its steps, where it stands, its VM as last seen, its last events, and the ways out.

    Who had the VM when the job was asked for still sees the job; `vm` is null when the VM was given away since.
    """
    shown = jobs.job(connection, actor, job)
    standing = standing_of(connection, job)
    last = events.events(connection, actor, events.Filters(job=job), Wanted(limit=EVENTS))["items"]
    begun = standing.state not in ENDED | {JobState.QUEUED}
    return {
        "job": shown,
        "direction": ("back" if standing.back else "forward") if begun else None,
        "past_no_return": standing.no_return,
        "vm": _vm(connection, actor, shown["vm_id"]),
        "events": last[::-1],
        "ways": ways(standing),
    }


def _vm(connection: Connection, actor: Actor, vm: UUID) -> Json | None:
    try:
        return hosts.vm(connection, actor, str(vm))
    except VmNotFound:
        return None
