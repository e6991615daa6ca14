"""What is answered of policies."""

from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict

from models.policies.tables import FiringState
from stillframe.operations import Quiesce
from web import policy_examples as examples
from web.examples import shown
from web.policy_wishes import (
    Mode,
    PolicyExtract,
    PolicyGuards,
    PolicyRetention,
    PolicySchedule,
    PolicySelector,
    PolicyWindow,
    Priority,
)
from web.shapes import Ref, Shape


class Suspended(Shape):
    """Since when and why a policy stands still by itself, or a VM is skipped."""

    at: datetime
    reason: str


class Policy(Shape):
    """A policy. `next_fire_at` is null while it is paused, suspended, or has nothing to come."""

    model_config = ConfigDict(json_schema_extra=shown(examples.POLICY))

    id: UUID
    name: str
    enabled: bool
    paused_until: datetime | None
    suspended: Suspended | None
    #: VMs of which its snapshots kept failing.
    set_aside: int
    next_fire_at: datetime | None
    selector: PolicySelector
    schedules: list[PolicySchedule]
    retention: PolicyRetention
    mode: Mode
    quiesce: Quiesce
    priority: Priority
    guards: PolicyGuards
    blackouts: list[PolicyWindow]
    extract: PolicyExtract | None
    tags: list[str]
    max_failures: int
    start_within_s: float
    account: str
    domain: str
    created_by: str
    created_at: datetime
    updated_at: datetime


class MadePolicy(Policy):
    """A policy as it was made or changed; `warnings` say what will not go as one may think."""

    model_config = ConfigDict(json_schema_extra=shown(examples.MADE_POLICY))

    warnings: list[str]


class DeletedPolicy(Shape):
    """Firings that waited for their turn and do not take place any more; of these, those that people had asked for."""

    model_config = ConfigDict(json_schema_extra=shown(examples.DELETED_POLICY))

    skipped: int
    asked_for: int


class Run(Shape):
    """What became of one due moment of one VM. `vm` is null if there was none, or several moments were missed together."""

    model_config = ConfigDict(json_schema_extra=shown(examples.RUN))

    id: UUID
    nominal_at: datetime
    until_at: datetime | None
    moments: int
    due_at: datetime
    vm: Ref | None
    state: FiringState
    reason: str | None
    asked_by: str | None
    job_id: UUID | None
    decided_at: datetime


class PolicyVm(Shape):
    """How a VM fares under a policy: failures since the last good one, whether it is set aside, and why nothing is pruned."""

    model_config = ConfigDict(json_schema_extra=shown(examples.POLICY_VM))

    vm: Ref
    failures: int
    last_good_at: datetime | None
    last_bad_at: datetime | None
    set_aside: Suspended | None
    refused: str | None


class Turn(Shape):
    """A VM and when its turn is, jitter included; `set_aside` says why it will be skipped, if so."""

    vm: Ref
    at: datetime
    set_aside: str | None


class Coming(Shape):
    """A moment to come; of many VMs the first twenty."""

    at: datetime
    local: str
    schedule: PolicySchedule
    turns: list[Turn]


class Judged(Shape):
    """A snapshot or an extracted volume, whether it would stay if it were pruned now, and every reason.

    `created_at` is when the snapshot was taken.
    """

    id: UUID
    name: str
    created_at: datetime
    size_bytes: int
    keep: bool
    reasons: list[str]


class JudgedVm(Shape):
    """A VM's snapshots of the policy, newest first."""

    vm: Ref
    snapshots: list[Judged]


class JudgedVolume(Shape):
    """The images that the policy had extracted of one volume of a VM, newest first."""

    vm: Ref
    target: str
    images: list[Judged]


class Preview(Shape):
    """What is to come, what will not go as planned, and what would be pruned now: by the code that fires and prunes."""

    model_config = ConfigDict(json_schema_extra=shown(examples.PREVIEW))

    warnings: list[str]
    runs: list[Coming]
    vms: list[JudgedVm]
    volumes: list[JudgedVolume]
