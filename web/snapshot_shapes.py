"""The answers about snapshots and volume snapshots, field by field."""

from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict

from stillframe.states import (
    Consistency,
    SnapshotOrigin,
    SnapshotState,
    SnapshotType,
    VmState,
    VolumeSnapshotState,
)
from web import examples
from web.shapes import Ref, Shape, Why


class Action(Shape):
    """Whether something can be done now, and if not, why and what to do about it."""

    allowed: bool
    reason: str | None


class SnapshotVolume(Shape):
    """The layer a snapshot froze of one volume; `size_bytes` is null while its file is not seen."""

    target: str
    layer: str
    virtual_bytes: int
    size_bytes: int | None


class Foreign(Shape):
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


class Hold(Shape):
    """Why a snapshot is neither deleted nor pruned. `until` null: until it is released."""

    reason: str
    by: str
    until: datetime | None


class Snapshot(Shape):
    """A VM at an instant. `foreign` is null but for one that another tool made, `hold` but for one that is held."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.SNAPSHOT))

    id: UUID
    name: str
    display_name: str
    description: str
    state: SnapshotState
    type: SnapshotType
    origin: SnapshotOrigin
    foreign: Foreign | None
    consistency: Consistency | None
    current: bool
    parent_id: UUID | None
    vm: Ref
    vm_state: VmState
    host: str
    account: str
    domain: str
    policy_id: UUID | None
    tags: list[str]
    held: bool
    hold: Hold | None
    created_at: datetime
    ready_at: datetime | None
    expires_at: datetime | None
    size_bytes: int
    memory_bytes: int | None
    pause_ms: float | None
    freeze_ms: float | None
    volumes: list[SnapshotVolume]
    actions: dict[str, Action]
    error: Why | None


class VolumeSnapshot(Shape):
    """One volume extracted out of a snapshot: a standalone image."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.VOLUME_SNAPSHOT))

    id: UUID
    name: str
    state: VolumeSnapshotState
    snapshot_id: UUID
    policy_id: UUID | None
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
    created_at: datetime
    ready_at: datetime | None
    actions: dict[str, Action]
    error: Why | None
