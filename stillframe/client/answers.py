"""Made by `make made` from the API's OpenAPI document: what comes back, field by field. Not to be changed by hand.

Times are ISO 8601 in UTC, sizes bytes, ids the text of UUIDs. A newer API may answer more fields than are named here.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypedDict, TypeVar

Item = TypeVar("Item")


class Page(TypedDict, Generic[Item]):
    """A part of a list. `next_cursor` is null on the last page; `total` is there if `count` was asked for."""

    items: list[Item]
    next_cursor: str | None
    total: Total | None


Consistency = Literal["stopped", "memory", "application", "filesystem", "crash"]
DeliveryState = Literal["waiting", "delivered", "dead"]
FiringState = Literal["waiting", "asked", "stuck", "succeeded", "failed", "skipped", "missed", "refused"]
JobState = Literal[
    "queued", "running", "undoing", "succeeded", "failed", "cancelled", "skipped", "expired", "stuck"
]
Level = Literal["info", "warning", "error"]
RescanState = Literal["asked", "running", "done", "failed"]
Right = Literal[
    "create",
    "revert",
    "delete",
    "extract",
    "deploy",
    "policy",
    "edit",
    "comment",
    "webhook",
    "account",
    "recover",
    "host",
]
Role = Literal["root", "domain", "user", "read_only"]
SnapshotOrigin = Literal["stillframe", "foreign"]
SnapshotState = Literal["creating", "ready", "reverting", "deleting", "deleted", "error"]
SnapshotType = Literal["cold", "hot", "memory"]
StepState = Literal["started", "done", "undone"]
VmState = Literal["running", "paused", "off", "crashed", "gone"]
VolumeSnapshotState = Literal["creating", "ready", "deleted", "error"]


class Account(TypedDict):
    """The owner of VMs and snapshots. Its name is its own in its domain. `used` is null in lists."""

    id: str
    name: str
    domain: str
    created_at: str
    deleted_at: str | None
    limits: Limits
    used: Used | None


class Action(TypedDict):
    """Whether something can be done now, and if not, why and what to do about it."""

    allowed: bool
    reason: str | None


class Brought(TypedDict):
    """What went with a VM. `policies` took some of these snapshots and do not reach the VM any more: they prune none."""

    snapshots: int
    volumes: int
    policies: list[str]


class Bytes(TypedDict):
    """`needed` at most, on all places together; `freed` by files that go; `moved` are copied."""

    needed: int
    freed: int
    moved: int
    places: list[Place]


class Coming(TypedDict):
    """A moment to come; of many VMs the first twenty."""

    at: str
    local: str
    schedule: PolicySchedule
    turns: list[Turn]


class Comment(TypedDict):
    """A person's words on a snapshot."""

    id: str
    snapshot_id: str
    author: str
    text: str
    created_at: str


class Consequence(TypedDict):
    """What will be so afterwards."""

    code: str
    detail: str


class DeletedPolicy(TypedDict):
    """Firings that waited for their turn and do not take place any more; of these, those that people had asked for."""

    skipped: int
    asked_for: int


class Domain(TypedDict):
    """A node of the tree of tenants. `used` is that of its subtree, and null in lists.

    The path of one that was deleted ends in a part of its id.
    """

    id: str
    name: str
    path: str
    parent: str | None
    created_at: str
    deleted_at: str | None
    limits: LimitsOfDomain
    used: Used | None


class Drained(TypedDict):
    """Since when a host takes no new jobs, who said so, and why."""

    since: str
    by: str
    reason: str | None


class Event(TypedDict):
    """An immutable fact. `job_kind` and `snapshot_name` say what the ids are about."""

    id: int
    at: str
    type: str
    level: str
    actor: str
    vm: Ref | None
    snapshot_id: str | None
    snapshot_name: str | None
    job_id: str | None
    job_kind: str | None
    message: str
    data: dict[str, Any]


class Finding(TypedDict):
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


class Forecast(TypedDict):
    """What a request would do. Made from what was seen of the VM at `seen_at`; the worker looks again."""

    kind: str
    vm: Ref
    host: str
    seen_at: str
    allowed: bool
    refusals: list[Refusal]
    warnings: list[Why]
    steps: list[PlannedStep]
    bytes: Bytes
    pause: Pause
    consequences: list[Consequence]
    request: dict[str, Any]


class Foreign(TypedDict):
    """What is known of a snapshot that another tool made. `state` is what the VM was then, in libvirt's words.

    `kind`: internal (in the VM's images), external (in layers), mixed. `known_to_libvirt`: else only the images have it.
    """

    name: str
    kind: str
    with_memory: bool
    state: str
    parent: str | None
    current: bool
    known_to_libvirt: bool


class GivenVm(TypedDict):
    """A VM that was given to an account, and what went with it."""

    id: str
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
    created_at: str
    seen_at: str
    brought: Brought


class Hold(TypedDict):
    """Why a snapshot is neither deleted nor pruned. `until` null: until it is released."""

    reason: str
    by: str
    until: str | None


class Host(TypedDict):
    """A hypervisor. `alive`: its worker was heard of lately. `drained` is null while it takes jobs."""

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
    registered_at: str
    last_seen_at: str


class Inspection(TypedDict):
    """A job before a person decides about it. `direction` is which way it goes, or went when it became stuck.

    `vm` is null for who had it and has given it away. `events` are the job's last ones, the newest last; `ways` are resume,
    rollback and mark_done.
    """

    job: Job
    direction: Literal["forward", "back"] | None
    past_no_return: bool
    vm: Vm | None
    events: list[Event]
    ways: dict[str, WayOut]


class Job(TypedDict):
    """One operation on one VM, from request to end. `steps` is null in lists; `waiting` while it goes on, and in the end.

    A job is about the one of `snapshot_id`, or about those of `snapshots`. `result` is what a job came to that makes
    nothing: `freed_bytes`. Not begun by `expires_at`, it expires. `no_return_at` is since when it can only go forward;
    `deaths` are the workers that died holding it.
    """

    id: str
    kind: str
    state: JobState
    phase: str | None
    host: str
    vm: Ref
    snapshot_id: str | None
    snapshot_name: str | None
    snapshots: list[Together]
    volume_snapshot_id: str | None
    progress: Progress | None
    steps: list[Step] | None
    attempt: int
    worker: str | None
    priority: int
    requested_by: str
    idempotency_key: str | None
    request: dict[str, Any]
    waiting: Waiting | None
    created_at: str
    expires_at: str | None
    started_at: str | None
    finished_at: str | None
    cancel_requested_at: str | None
    no_return_at: str | None
    deaths: int
    recovery: Recovery | None
    trace: Trace | None
    result: dict[str, Any] | None
    error: Why | None


class Judged(TypedDict):
    """A snapshot or an extracted volume, whether it would stay if it were pruned now, and every reason.

    `created_at` is when the snapshot was taken.
    """

    id: str
    name: str
    created_at: str
    size_bytes: int
    keep: bool
    reasons: list[str]


class JudgedVm(TypedDict):
    """A VM's snapshots of the policy, newest first."""

    vm: Ref
    snapshots: list[Judged]


class JudgedVolume(TypedDict):
    """The images that the policy had extracted of one volume of a VM, newest first."""

    vm: Ref
    target: str
    images: list[Judged]


class Key(TypedDict):
    """`rights` are those that its role and its scopes have in common. `opens`: it is neither revoked nor expired."""

    id: str
    account: str
    domain: str
    name: str
    role: Role
    scopes: list[str] | None
    rights: list[Right]
    prefix: str
    opens: bool
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class LastAnswer(TypedDict):
    """How the last try went: a status, or an error where there was none."""

    at: str
    status: int | None
    error: str | None
    took_ms: int


class Limits(TypedDict):
    """What an account may have. `max_jobs` are those that are not over and do not wait for a person."""

    max_snapshots: int | None
    max_bytes: int | None
    max_snapshots_a_vm: int | None
    max_jobs: int | None


class LimitsOfDomain(TypedDict):
    """What all accounts of a subtree together may have. Null is no limit; what failed counts for nothing."""

    max_snapshots: int | None
    max_bytes: int | None


class MadePolicy(TypedDict):
    """A policy as it was made or changed; `warnings` say what will not go as one may think."""

    id: str
    name: str
    enabled: bool
    paused_until: str | None
    suspended: Suspended | None
    set_aside: int
    next_fire_at: str | None
    selector: PolicySelector
    schedules: list[PolicySchedule]
    retention: PolicyRetention
    mode: Literal["auto", "hot", "cold", "memory"]
    quiesce: Literal["require", "prefer", "never"]
    priority: Literal["normal", "low"]
    guards: PolicyGuards
    blackouts: list[PolicyWindow]
    extract: PolicyExtract | None
    tags: list[str]
    max_failures: int
    start_within_s: float
    account: str
    domain: str
    created_by: str
    created_at: str
    updated_at: str
    warnings: list[str]


class NewKey(TypedDict):
    """A key that was just made, with the key itself: this once, and null when the request was sent before."""

    id: str
    account: str
    domain: str
    name: str
    role: Role
    scopes: list[str] | None
    rights: list[Right]
    prefix: str
    opens: bool
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    key: str | None


class NewWebhook(TypedDict):
    """With the secret that its deliveries are signed with: it is shown this once."""

    id: str
    url: str
    description: str
    types: list[str]
    level: Level
    vm: Ref | None
    state: Literal["active", "failing", "paused", "suspended"]
    suspended: Suspension | None
    failures: int
    failing_since: str | None
    resting_until: str | None
    last_answer: LastAnswer | None
    waiting: int
    dead: int
    account: str
    domain: str
    created_by: str
    created_at: str
    updated_at: str
    rotated_at: str | None
    secret: str


class Oneself(TypedDict):
    """Who asks. `name` is what events call them; `must_change_password`: nothing else is open before."""

    name: str
    account: Ref
    domain: str
    role: Role
    rights: list[Right]
    by: Literal["key", "session"]
    key: OwnKey | None
    user: User | None
    session: Session | None
    must_change_password: bool


class OwnKey(TypedDict):
    """The key that somebody asks with."""

    id: str
    name: str
    prefix: str
    expires_at: str | None


class Pause(TypedDict):
    """How the VM will stand still. `expected_ms`: from, to; null if there is none, or it cannot be told."""

    kind: Literal["none", "pause", "power_off"]
    expected_ms: list[int] | None
    why: str


class Pinged(TypedDict):
    """The event that goes to the webhook; its delivery is in the list of deliveries under this id."""

    event_id: int


class Place(TypedDict):
    """Storage that is written to. `free` is null if it is not known."""

    where: str
    free: int | None
    needed: int
    what: str


class PlannedStep(TypedDict):
    """A step that the job will have."""

    name: str
    words: str


class Policy(TypedDict):
    """A policy. `next_fire_at` is null while it is paused, suspended, or has nothing to come."""

    id: str
    name: str
    enabled: bool
    paused_until: str | None
    suspended: Suspended | None
    set_aside: int
    next_fire_at: str | None
    selector: PolicySelector
    schedules: list[PolicySchedule]
    retention: PolicyRetention
    mode: Literal["auto", "hot", "cold", "memory"]
    quiesce: Literal["require", "prefer", "never"]
    priority: Literal["normal", "low"]
    guards: PolicyGuards
    blackouts: list[PolicyWindow]
    extract: PolicyExtract | None
    tags: list[str]
    max_failures: int
    start_within_s: float
    account: str
    domain: str
    created_by: str
    created_at: str
    updated_at: str


class PolicyExtract(TypedDict):
    """Volumes that are made standalone images after each snapshot, and how many of each VM's are kept."""

    targets: list[str]
    retention: PolicyRetention


class PolicyGuards(TypedDict):
    """When a firing is skipped, or waits for its turn (the two caps)."""

    max_depth: int
    min_free_bytes: int
    min_free_percent: float
    skip_while_merging: bool
    max_per_host: int
    max_per_storage: int


class PolicyRetention(TypedDict):
    """What is kept: whatever any rule keeps, less what the caps `max_age` and `max_count` take. Nothing set: all."""

    last: int | None
    hourly: int | None
    daily: int | None
    weekly: int | None
    monthly: int | None
    quarterly: int | None
    yearly: int | None
    within: str | float | None
    max_age: str | float | None
    max_count: int | None
    min_keep: int


class PolicySchedule(TypedDict):
    """Either `cron` (five fields, or @hourly, @daily, @weekly, @monthly, @yearly) or `every`, counted from `anchor`."""

    cron: str | None
    every: str | float | None
    anchor: str | None
    timezone: str
    start_at: str | None
    end_at: str | None
    jitter_s: float
    misfire: Literal["skip", "run_once", "run_all"]
    max_catch_up: int
    grace_s: float
    overlap: Literal["skip", "queue"]


class PolicySelector(TypedDict):
    """Which VMs, at the moment it fires. Of each kind that is given one has to match, and all kinds have to.

    `names` are patterns with * and ?; `domain` means its whole subtree.
    """

    ids: list[str]
    names: list[str]
    tags: list[str]
    account: str | None
    domain: str | None
    host: str | None


class PolicyVm(TypedDict):
    """How a VM fares under a policy: failures since the last good one, whether it is set aside, and why nothing is pruned."""

    vm: Ref
    failures: int
    last_good_at: str | None
    last_bad_at: str | None
    set_aside: Suspended | None
    refused: str | None


class PolicyWindow(TypedDict):
    """A time of day in which nothing begins, by the clock of the schedule's timezone."""

    begin: str
    end: str
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]]


class Preview(TypedDict):
    """What is to come, what will not go as planned, and what would be pruned now: by the code that fires and prunes."""

    warnings: list[str]
    runs: list[Coming]
    vms: list[JudgedVm]
    volumes: list[JudgedVolume]


class ProblemKind(TypedDict):
    """A kind of problem. In `meaning` and `remedy` stand names in braces for what an answer fills in."""

    code: str
    title: str
    status: int
    meaning: str
    remedy: str


class ProblemKinds(TypedDict):
    """All kinds of problems, by code."""

    items: list[ProblemKind]


class Progress(TypedDict):
    """Bytes done of bytes to do, as far as they are known. `waiting` says what is in the way for the moment."""

    done: int
    total: int | None
    unit: str
    rate: float | None
    eta_s: float | None
    waiting: str | None


class Recovery(TypedDict):
    """What a person decided when a job was stuck, the last time."""

    action: str
    actor: str
    at: str
    note: str


class Ref(TypedDict):
    """A thing by id, with its name for people."""

    id: str
    name: str


class Refusal(TypedDict):
    """Why it would be refused. `when`: as the request is made, or by the worker once it looks at the VM itself."""

    code: str
    detail: str
    remedy: str
    evidence: dict[str, Any]
    when: Literal["request", "job"]


class Replayed(TypedDict):
    """How many deliveries are sent again."""

    replayed: int


class Rescan(TypedDict):
    """A look at a host. `findings` is null until it is done; it waits for as long as the host is not alive."""

    id: str
    host: str
    host_alive: bool
    host_seen_at: str
    vm: Ref | None
    state: RescanState
    adopt: bool
    repair: bool
    findings: list[Finding] | None
    requested_by: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    error: Why | None


class Run(TypedDict):
    """What became of one due moment of one VM. `vm` is null if there was none, or several moments were missed together."""

    id: str
    nominal_at: str
    until_at: str | None
    moments: int
    due_at: str
    vm: Ref | None
    state: FiringState
    reason: str | None
    asked_by: str | None
    job_id: str | None
    decided_at: str


class Secret(TypedDict):
    """The new secret: it is shown this once. For a day the old one signs too."""

    secret: str


class Session(TypedDict):
    """A login that goes on: until `idle_until` if it is not used, and until `expires_at` in any case. `current`: it asks."""

    id: str
    current: bool
    created_at: str
    last_seen_at: str
    idle_until: str
    expires_at: str
    address: str
    agent: str


class Snapshot(TypedDict):
    """A VM at an instant. `foreign` is null but for one that another tool made, `hold` but for one that is held."""

    id: str
    name: str
    display_name: str
    description: str
    state: SnapshotState
    type: SnapshotType
    origin: SnapshotOrigin
    foreign: Foreign | None
    consistency: Consistency | None
    current: bool
    parent_id: str | None
    vm: Ref
    vm_state: VmState
    host: str
    account: str
    domain: str
    policy_id: str | None
    tags: list[str]
    held: bool
    hold: Hold | None
    created_at: str
    ready_at: str | None
    expires_at: str | None
    size_bytes: int
    memory_bytes: int | None
    pause_ms: float | None
    freeze_ms: float | None
    volumes: list[SnapshotVolume]
    actions: dict[str, Action]
    error: Why | None


class SnapshotVolume(TypedDict):
    """The layer a snapshot froze of one volume; `size_bytes` is null while its file is not seen."""

    target: str
    layer: str
    virtual_bytes: int
    size_bytes: int | None


class Step(TypedDict):
    """One act of a job."""

    name: str
    state: StepState
    started_at: str
    finished_at: str | None
    output: dict[str, Any]


class Suspended(TypedDict):
    """Since when and why a policy stands still by itself, or a VM is skipped."""

    at: str
    reason: str


class Suspension(TypedDict):
    """Since when nothing is sent, and why."""

    at: str
    reason: str


class Together(TypedDict):
    """A snapshot that a job deletes together with others; `spared` is why it was left out when the job began."""

    id: str
    name: str
    spared: Why | None


class Total(TypedDict):
    """How many a list has. At most a thousand are counted, and not all of a long list is looked at: `more` says that there
    may be more.
    """

    count: int
    more: bool


class Trace(TypedDict):
    """The request that something goes back to. Its `traceparent` is that of the W3C, if it had one."""

    request_id: str
    traceparent: str | None


class Traits(TypedDict):
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


class Turn(TypedDict):
    """A VM and when its turn is, jitter included; `set_aside` says why it will be skipped, if so."""

    vm: Ref
    at: str
    set_aside: str | None


class Used(TypedDict):
    """What is used of the limits."""

    snapshots: int
    bytes: int
    jobs: int


class User(TypedDict):
    """A person who logs in. `rights` are those that the role and the scopes have in common. `opens`: it is neither
    disabled nor expired.
    """

    id: str
    login: str
    name: str
    display_name: str
    email: str | None
    account: str
    domain: str
    role: Role
    scopes: list[str] | None
    rights: list[Right]
    opens: bool
    must_change_password: bool
    created_by: str
    created_at: str
    expires_at: str | None
    disabled_at: str | None
    password_set_at: str
    last_login_at: str | None


class Vm(TypedDict):
    """A virtual machine as its host's worker last saw it. `current` is the snapshot it stands on."""

    id: str
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
    created_at: str
    seen_at: str


class VmVolume(TypedDict):
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


class VolumeSnapshot(TypedDict):
    """One volume extracted out of a snapshot: a standalone image."""

    id: str
    name: str
    state: VolumeSnapshotState
    snapshot_id: str
    policy_id: str | None
    vm: Ref
    host: str
    target: str
    format: str
    virtual_bytes: int | None
    size_bytes: int | None
    sha256: str | None
    path: str | None
    account: str
    domain: str
    created_at: str
    ready_at: str | None
    actions: dict[str, Action]
    error: Why | None


class Waiting(TypedDict):
    """Why a job does not go on now. Codes: `vm_gone`, `vm_on_two_hosts`, `host_silent`, `host_drained`, `behind_job`,
    `tried_later`, `no_free_worker`, `not_sent`, `lease_lapsed`, `person` (it is stuck).
    """

    code: str
    detail: str


class WayOut(TypedDict):
    """One way out of `stuck`: whether it is open, why not, and what comes of it."""

    allowed: bool
    reason: str | None
    what_happens: str


class Webhook(TypedDict):
    """A URL to which events are posted. `failing` means that it did not take the last one: until `resting_until` it is
    left in peace. `waiting` and `dead` count deliveries.
    """

    id: str
    url: str
    description: str
    types: list[str]
    level: Level
    vm: Ref | None
    state: Literal["active", "failing", "paused", "suspended"]
    suspended: Suspension | None
    failures: int
    failing_since: str | None
    resting_until: str | None
    last_answer: LastAnswer | None
    waiting: int
    dead: int
    account: str
    domain: str
    created_by: str
    created_at: str
    updated_at: str
    rotated_at: str | None


class WebhookDelivery(TypedDict):
    """One event for one webhook. `status` and `error` are of the last try; `due_at` is the next one's time."""

    id: str
    event_id: int
    event_type: str | None
    state: DeliveryState
    attempts: int
    due_at: str
    tried_at: str | None
    finished_at: str | None
    status: int | None
    error: str | None
    took_ms: int | None
    created_at: str


class Why(TypedDict):
    """Why something failed."""

    code: str
    detail: str
    remedy: str
    evidence: dict[str, Any]
