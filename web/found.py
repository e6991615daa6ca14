"""The answers about rescans, field by field."""

from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict

from stillframe.states import RescanState
from web import examples
from web.shapes import Ref, Shape, Why


class Finding(Shape):
    """What a rescan found. `drift`: it is still to be put right. `repair`: by what (`none`: a person)."""

    kind: str
    vm: str
    vm_id: str
    subject: str
    detail: str
    remedy: str
    bytes: int
    repair: str
    repaired: bool
    done: str
    drift: bool


class Rescan(Shape):
    """A look at a host. `findings` is null until it is done; it waits for as long as the host is not alive."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.RESCAN))

    id: UUID
    host: str
    host_alive: bool
    host_seen_at: datetime
    vm: Ref | None
    state: RescanState
    adopt: bool
    repair: bool
    findings: list[Finding] | None
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: Why | None
