"""The answer about a job that a person is to decide about, field by field."""

from typing import Literal

from pydantic import ConfigDict

from web import examples
from web.shapes import Event, Job, Shape, Vm


class WayOut(Shape):
    """One way out of `stuck`: whether it is open, why not, and what comes of it."""

    allowed: bool
    reason: str | None
    what_happens: str


class Inspection(Shape):
    """A job before a person decides about it. `direction` is which way it goes, or went when it became stuck.

    `vm` is null for who had it and has given it away. `events` are the job's last ones, the newest last; `ways` are resume,
    rollback and mark_done.
    """

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.INSPECTION))

    job: Job
    direction: Literal["forward", "back"] | None
    past_no_return: bool
    vm: Vm | None
    events: list[Event]
    ways: dict[str, WayOut]
