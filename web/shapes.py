"""The answers of the API, field by field: the contract that others build on. Times are UTC, sizes bytes."""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from stillframe.states import (
    JobState,
    StepState,
    VmState,
)
from web import examples

Item = TypeVar("Item")
Json = dict[str, Any]


class Shape(BaseModel):
    """What all answers share."""

    model_config = ConfigDict(extra="ignore")


class Total(Shape):
    """How many a list has. At most a thousand are counted, and not all of a long list is looked at: `more` says that there
    may be more.
    """

    count: int
    more: bool


class Page(Shape, Generic[Item]):
    """A part of a list. `next_cursor` is null on the last page; `total` is there if `count` was asked for.

    A page of a long list of which little is wanted may be short, or empty, and go on all the same.
    """

    items: list[Item]
    next_cursor: str | None
    total: Total | None = None


class Problem(Shape):
    """RFC 9457, with a stable code, what to do about it, and the names and numbers of the case."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    remedy: str
    evidence: Json


class Why(Shape):
    """Why something failed."""

    code: str
    detail: str
    remedy: str = ""
    evidence: Json = Field(default_factory=dict)


class Ref(Shape):
    """A thing by id, with its name for people."""

    id: UUID
    name: str


class Drained(Shape):
    """Since when a host takes no new jobs, who said so, and why."""

    since: datetime
    by: str
    reason: str | None


class Host(Shape):
    """A hypervisor. `alive`: its worker was heard of lately. `drained` is null while it takes jobs."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.HOST))

    name: str
    alive: bool
    drained: Drained | None
    libvirt_version: str
    qemu_version: str
    cpus: int
    memory_bytes: int
    vms: int
    jobs_queued: int
    jobs_running: int
    registered_at: datetime
    last_seen_at: datetime


class VmVolume(Shape):
    """A disk of a VM. `why_not` says why snapshots leave it out.

    `depth`: the images it is read through, 0 if not known. `home`: the folder for its layers; `free_bytes` of
    `total_bytes` are free there. Volumes with one `storage_id` share that room.
    """

    target: str
    path: str
    format: str
    storage: str
    virtual_bytes: int
    size_bytes: int
    why_not: str | None
    depth: int
    home: str | None
    free_bytes: int | None
    total_bytes: int | None
    storage_id: str | None


class Traits(Shape):
    """What decides what can be asked of a VM. `agent` is null without a channel; that it answers is not said."""

    persistent: bool
    managed_save: bool
    nvram: str | None
    tpm: str | None
    agent: Literal["connected", "disconnected"] | None
    host_devices: list[str]
    outside_devices: list[str]
    foreign_snapshots: list[str]
    internal_snapshots: list[str]
    activity: str | None
    block_jobs: dict[str, str]
    unreadable: str | None


class Vm(Shape):
    """A virtual machine as its host's worker last saw it. `current` is the snapshot it stands on."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.VM))

    id: UUID
    name: str
    host: str
    state: VmState
    reason: str
    memory_bytes: int
    current: Ref | None
    volumes: list[VmVolume]
    traits: Traits
    tags: list[str]
    account: str | None
    domain: str | None
    created_at: datetime
    seen_at: datetime


class Progress(Shape):
    """Bytes done of bytes to do, as far as they are known. `waiting` says what is in the way for the moment."""

    done: int = 0
    total: int | None = None
    unit: str = "bytes"
    rate: float | None = None
    eta_s: float | None = None
    waiting: str | None = None


class Step(Shape):
    """One act of a job."""

    name: str
    state: StepState
    started_at: datetime
    finished_at: datetime | None
    output: Json


class Recovery(Shape):
    """What a person decided when a job was stuck, the last time."""

    action: str
    actor: str
    at: datetime
    note: str


class Waiting(Shape):
    """Why a job does not go on now. Codes: `vm_gone`, `vm_on_two_hosts`, `host_silent`, `host_drained`, `behind_job`,
    `tried_later`, `no_free_worker`, `not_sent`, `lease_lapsed`, `person` (it is stuck).
    """

    code: str
    detail: str


class Together(Shape):
    """A snapshot that a job deletes together with others; `spared` is why it was left out when the job began."""

    id: UUID
    name: str
    spared: Why | None


class Trace(Shape):
    """The request that something goes back to. Its `traceparent` is that of the W3C, if it had one."""

    request_id: str
    traceparent: str | None = None


class Job(Shape):
    """One operation on one VM, from request to end. `steps` is null in lists; `waiting` while it goes on, and in the end.

    A job is about the one of `snapshot_id`, or about those of `snapshots`. `result` is what a job came to that makes
    nothing: `freed_bytes`. Not begun by `expires_at`, it expires. `no_return_at` is since when it can only go forward;
    `deaths` are the workers that died holding it.
    """

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.JOB))

    id: UUID
    kind: str
    state: JobState
    phase: str | None
    host: str
    vm: Ref
    snapshot_id: UUID | None
    snapshot_name: str | None
    snapshots: list[Together]
    volume_snapshot_id: UUID | None
    progress: Progress | None
    steps: list[Step] | None
    attempt: int
    worker: str | None
    priority: int
    requested_by: str
    idempotency_key: str | None
    request: Json
    waiting: Waiting | None
    created_at: datetime
    expires_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    no_return_at: datetime | None
    deaths: int
    recovery: Recovery | None
    trace: Trace | None
    result: Json | None
    error: Why | None


class Event(Shape):
    """An immutable fact. `job_kind` and `snapshot_name` say what the ids are about."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.EVENT))

    id: int
    at: datetime
    type: str
    level: str
    actor: str
    vm: Ref | None
    snapshot_id: UUID | None
    snapshot_name: str | None
    job_id: UUID | None
    job_kind: str | None
    message: str
    data: Json


class Comment(Shape):
    """A person's words on a snapshot."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.COMMENT))

    id: UUID
    snapshot_id: UUID
    author: str
    text: str
    created_at: datetime
